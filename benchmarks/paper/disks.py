"""Error rate against the number of disks, single samples: `python benchmarks/paper/disks.py`.

For each number of disks, steps of the game are drawn at random (with replacement: small games have few) and each is
asked of each member once, from its true state, at temperature 1 and without red flags. So a member's answers are
independent trials, and the intervals are exact. An answer is right, malformed (what the strict parser flags), or
well-formed and wrong.
"""

from collections.abc import Sequence
from random import Random

from findings import Section, measure, share
from scipy.stats import chi2_contingency
from voters import Ensemble, Question, Voter, parts, question

from unerring.adapters.embedded.engine import GreedyAnswer
from unerring.processes.hanoi import Hanoi

DISKS = range(2, 21)
SAMPLES = 5_000  # of each member and number of disks
SEED = 0


def counted(voter: Voter, asked: Sequence[tuple[Question, int]], paths: dict[int, GreedyAnswer]) -> tuple[int, int]:
    """Of one member's samples: how many were malformed, and how many were well-formed and wrong."""
    samples = voter.samples([(one, paths[one.number], slot) for one, slot in asked], SEED)
    choices = [one.choice("strict", voter.member, sample) for (one, _), sample in zip(asked, samples, strict=True)]
    malformed = sum(choice is None for choice in choices)
    right = sum(choice == one.truth for (one, _), choice in zip(asked, choices, strict=True))
    return malformed, len(choices) - malformed - right


def of_game(ensemble: Ensemble, disks: int, draws: int) -> dict[str, tuple[int, int]]:
    """The counts of each member for one number of disks."""
    game, chance = Hanoi(disks), Random(f"{SEED} {disks}")
    slots: dict[int, list[int]] = {}
    for slot in range(draws):
        slots.setdefault(chance.randrange(game.length()), []).append(slot)
    totals = {voter.name: (0, 0) for voter in ensemble.voters}
    for part in parts([question(game, number) for number in slots]):
        drawn = [(one, slot) for one in part for slot in slots[one.number]]

        def work(voter: Voter, paths: Sequence[GreedyAnswer], part=part, drawn=drawn) -> tuple[int, int]:
            return counted(voter, drawn, {one.number: path for one, path in zip(part, paths, strict=True)})

        for voter, (malformed, wrong) in zip(ensemble.voters, ensemble.each(part, work), strict=True):
            before = totals[voter.name]
            totals[voter.name] = (before[0] + malformed, before[1] + wrong)
    return totals


def disks(quick: bool) -> dict[str, Section]:
    ensemble, draws = Ensemble(), 60 if quick else SAMPLES
    sizes = DISKS[::6] if quick else DISKS
    found = {size: of_game(ensemble, size, draws) for size in sizes}
    names = [voter.name for voter in ensemble.voters]

    def shares(name: str) -> list[Section]:
        """Each size's shares for a member, or for all three together."""
        rows = []
        for size in sizes:
            counts = [found[size][one] for one in names if name in (one, "all")]
            malformed, wrong, trials = sum(c[0] for c in counts), sum(c[1] for c in counts), draws * len(counts)
            errors, in_form = share(malformed + wrong, trials), share(wrong, trials - malformed)
            rows.append({"disks": size, "errors": errors, "malformed": malformed, "wrong_in_form": in_form})
        return rows

    members = {name: shares(name) for name in (*names, "all")}
    counts = [row["errors"] for row in members["all"]]
    table = [[one["hits"] for one in counts], [one["trials"] - one["hits"] for one in counts]]
    # how probably rates that are all the same would differ so much (chi-squared)
    flat = float(chi2_contingency(table).pvalue) if any(table[0]) else 1.0
    return {"disks": {"engine": ensemble.engine, "samples": draws, "members": members, "chance_if_flat": flat}}


if __name__ == "__main__":
    measure(__doc__, disks)
