"""The page's parts on what the embedded model did: what each figure shows, what the paper found, and what differs."""

from collections.abc import Sequence
from statistics import median

from findings import Section
from telling import AGREES, DIFFERS, PARTLY, Part, listed, percent, small

SMALL_GAMES = 10  # disks, where the text divides them in two
SIGNIFICANT = 0.001
UNSURE = -2  # half decade of the log-probability from which answers count as unsure, 10^-1


def rate(shares: Sequence[Section]) -> float:
    """Hits in a thousand of several shares together."""
    return 1000 * sum(one["hits"] for one in shares) / max(1, sum(one["trials"] for one in shares))


def disks(section: Section) -> Part:
    """Errors against disks."""
    rows = section["members"]["all"]
    few = [row for row in rows if row["disks"] <= SMALL_GAMES]
    many = [row for row in rows if row["disks"] > SMALL_GAMES]
    worst = max(rows, key=lambda row: row["errors"]["rate"])
    all_few, all_many = (rate([row["errors"] for row in some]) for some in (few, many))
    form_few, form_many = (rate([row["wrong_in_form"] for row in some]) for some in (few, many))
    flat = section["chance_if_flat"]
    differs = f"{DIFFERS}: {all_many / max(all_few, 1e-9):.1f} times as many errors beyond {SMALL_GAMES} disks"
    return Part(
        title="Error rate against the number of disks",
        text=(
            f"Errors of single samples on random steps, {section['samples']:,} for each member and number of disks, "
            f"with exact 95 % intervals. The rate is not flat: up to {SMALL_GAMES} disks {all_few:.2f} of 1,000 "
            f"answers are wrong or malformed, beyond that {all_many:.2f}; equal rates would differ so much with a "
            f"chance of {'less than one in a million' if flat < 1e-6 else small(flat)}. Nor does it climb steadily: "
            f"it is worst, {1000 * worst['errors']['rate']:.2f}, at {worst['disks']} disks. Wrong "
            f"answers in the right format, which red flags do not see, go from {form_few:.2f} to {form_many:.2f} in "
            "1,000."
        ),
        paper="the error rate of a step is about flat as disks are added",
        verdict=differs if flat < SIGNIFICANT else AGREES,
        section="disks",
        figures=(("disks", "Errors in a thousand answers against disks, by member and by kind"),),
    )


def rounds(section: Section) -> Part:
    """Undecided steps."""
    record, noise, rows = section["record"], section["noise"], section["rows"]
    together, *alone = rows
    k = int(section["rule"].split()[1])
    after = 3 * k
    left = [row["open"][-1] for row in alone]
    by_member = [f"{count} ({row['voter']})" for count, row in zip(left, alone, strict=True)]
    floor = f"{PARTLY}: the three together as in the paper, one member alone reaches a floor"
    return Part(
        title="Undecided steps against votes",
        text=(
            f"Steps still undecided after so many votes ({section['rule']}). The noise sampler follows the theory of "
            f"a random walk: after {after} votes {noise['open'][after]:,} of {noise['steps']:,} steps are open, and "
            f"{noise['theory'][after] * noise['steps']:,.0f} expected. In the record run of the three members, "
            f"{percent(record['share_of_votes_in_first_k'], 2)} of all votes were among the first {k} of their step; "
            f"{record['open'][k]:,} of {record['steps']:,} steps took more than {k} votes, {record['open'][after]} "
            f"more than {after}, and one, step {record['hardest']['step']:,}, took {record['hardest']['votes']}. A "
            f"member alone falls to a floor: of {together['steps']:,} random steps, {listed(by_member)} stay open, "
            f"{sum(row['starved'] for row in alone)} of these {sum(left)} because most samples there are flagged. "
            f"Alone they decided {sum(row['wrong'] for row in alone)} races wrongly, the three together "
            f"{together['wrong']}."
        ),
        paper="undecided steps fall exponentially, nearly all cost is in the first k rounds, one step took 18 rounds",
        verdict=floor if any(left) else AGREES,
        section="rounds",
        figures=(("rounds", "Share of undecided steps against votes, logarithmic"),),
    )


def collisions(section: Section) -> Part:
    """Collisions by parser."""
    members, repaired = section["members"].values(), section["only_repairing_wrong"]
    strict, repairing = ([found[parser] for found in members] for parser in ("strict", "repairing"))
    counts = [sum(one["collisions"]["hits"] for one in found) for found in (strict, repairing)]
    excess = [one["collisions"]["rate"] / one["independent"] for one in strict if one["independent"]] or [0.0]
    unseen = f"{PARTLY}: errors are correlated, and repaired answers worse, but collisions are as many"
    return Part(
        title="Collisions, strict and repairing",
        text=(
            f"Steps whose first two votes are both wrong, of {section['steps']:,} random steps for each member, at "
            f"temperature 1 and with no red flags but the parser's. Strict: {counts[0]}, of them "
            f"{sum(one['agreeing'] for one in strict)} with the same wrong answer twice; repairing: {counts[1]}. "
            f"Independent votes would collide {min(excess):,.0f} to {max(excess):,.0f} times less often: an average "
            "error rate hides that the same steps go wrong again and again. Of the samples that only the repairing "
            f"parser accepts, {repaired['hits']:,} of {repaired['trials']:,} are wrong, "
            f"{percent(repaired['rate'] or 0)}, where votes by the strict one are in "
            f"{small(rate([one['wrong_votes'] for one in strict]) / 10)} % of "
            f"cases{'' if counts[0] < counts[1] else '; but there are too few of them to make collisions'}."
        ),
        paper="errors are correlated, and a strict parser gives fewer collisions than a repairing one",
        verdict=AGREES if counts[0] < counts[1] else unseen,
        section="collisions",
        figures=(("collisions", "Share of steps with a collision by member and parser, far above independence"),),
    )


def counted(rows: Sequence[Section]) -> str:
    """Errors of all answers in some rows."""
    shares = [row["errors"] for row in rows]
    return f"{sum(one['hits'] for one in shares):,} of {sum(one['trials'] for one in shares):,}"


def answers(section: Section) -> Part:
    """Errors by length and by log-probability."""
    by_length, by_probability = section["by_length"], section["by_half_decade_of_logprob"]
    right = next(row for row in by_length if row["at"] == 0)
    others = [row for row in by_length if row["at"] != 0]
    return Part(
        title="Error rate against the answer's length",
        text=(
            "Errors by the length of an answer and by its mean log-probability: first samples of "
            f"{section['steps']:,} random steps, all members. The embedded model writes nothing but the answer, and "
            f"the right one always has the same number of tokens. So {counted(others)} answers of another length are "
            "errors, by necessity, "
            f"and of that length {percent(right['errors']['rate'], 2)}; length says nothing of the "
            f"{sum(row['wrong'] for row in by_length)} answers that are well-formed and wrong. What length is for a "
            "model that thinks aloud, a sign of confusion, is here the probability it gives to its own answer: below "
            f"a mean of -0.1, {counted([row for row in by_probability if row['at'] >= UNSURE])} are errors; above it, "
            f"{counted([row for row in by_probability if row['at'] < UNSURE])}, the fewer the surer it is."
        ),
        paper="errors jump once a response passes about 700 tokens, so such responses are red-flagged",
        verdict="cannot show this, as there is no reasoning that could grow; log-probability takes its place",
        section="answers",
        figures=(("answers", "Share of errors against length and against log-probability"),),
    )


def chains(section: Section, hardest: Section) -> Part:
    """How far chains get, and what tells the rules apart."""
    lines = [("way of deciding", "chains", "first wrong step: earliest", "median", "latest", "right to the cap")]
    for way in dict.fromkeys(row["way"] for row in section["rows"]):
        ends = [end for row in section["rows"] if row["way"] == way for end in row["derailed_at"]]
        wrong = sorted(end for end in ends if end is not None)
        places = [f"{value:,.0f}" for value in (wrong[0], median(wrong), wrong[-1])] if wrong else ["", "", ""]
        lines.append((way, str(len(ends)), *places, str(len(ends) - len(wrong))))
    success = [f"{percent(row['all_right'], 1)} by {row['rule']}" for row in hardest["rows"]]
    voted = [end for row in section["rows"] if row["way"].startswith("ahead") for end in row["derailed_at"]]
    return Part(
        title="How far each chain gets",
        text=(
            f"The first wrong step of the {section['disks']}-disk run by each way of deciding, followed to step "
            f"{section['cap']:,}. More votes of one member help little: it is wrong on the same steps again. "
            "Rules that vote over three members differ on rare steps only: on the "
            f"{len(hardest['steps'])} that took most votes in the record run, raced {hardest['races']} times each, "
            f"the chance to decide all of them correctly is {listed(success)}. A majority of a fixed number must "
            "end where votes are close; an ahead-by-k race continues."
        ),
        paper="a chain derails after a few hundred steps at most; decided by voting, it does not",
        verdict=AGREES if all(end is None for end in voted) else DIFFERS,
        section="chains",
        figures=(
            ("chains", "First wrong step of each chain by way of deciding"),
            ("hardest", "Share of races decided correctly on ten hard steps, by rule"),
        ),
        table=tuple(lines),
    )
