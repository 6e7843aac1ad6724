"""Rounds, collisions and answer lengths, from one set of random steps: `python benchmarks/paper/steps.py`.

Steps of the run of 20 disks are drawn at random, asked from their true states, and sampled by each member at
temperature 1. Three figures come of the same samples:

- *rounds*: a race of each step (ahead by 3, the embedded model's red flags), for each member alone and for the three
  in rotation: how many steps are still open after so many votes. They are compared with the record run of all
  1,048,575 steps (docs/record/record.json) and, as a check against theory, with the noise sampler;
- *collisions*: steps whose first two votes are both wrong, by the strict and by the repairing parser;
- *answers*: errors by the length of a step's first answer, and by its mean log-probability.
"""

import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from math import comb, exp, floor, log10
from pathlib import Path
from random import Random

from findings import Section, measure, share
from noise import noise, still_open
from voters import Ensemble, Question, Voter, hold, parts, question

from unerring.adapters.embedded.catalog import EMBEDDED_POLICY
from unerring.adapters.embedded.engine import GreedyAnswer, ScoredAnswer
from unerring.core.voting.race import Race, Won
from unerring.processes.hanoi import MOVE_PARSERS, Hanoi, Move, answer

DISKS = 20
STEPS = 60_000
SEED = 0
FIRST = 3  # samples of every step, as many as an undisputed race takes
DEEP = 200  # samples of a step where these do not settle everything
MOST_VOTES = 60  # followed in a race
NOISE, NOISE_STEPS = 0.9, 100_000
SUREST = 1e-7  # a mean log-probability nearer to 0 counts as this
RECORD = Path(__file__).parents[2] / "docs" / "record" / "record.json"
OUTCOMES = ("right", "wrong", "malformed")


@dataclass
class Collisions:
    """Steps whose first two votes were both wrong, of all that had two, under one parser."""

    steps: int = 0
    counted: int = 0
    agreeing: int = 0  # of those, the ones with the same wrong answer twice
    by_chance: float = 0.0  # the same count, with a step in doubt weighed by its chance to collide
    votes: int = 0  # first and second ones
    wrong: int = 0

    def add(self, votes: Sequence[str], truth: str, in_doubt: bool) -> None:
        """Count one step, by all the votes drawn of it; the first two may collide."""
        first = votes[:2]
        self.votes += len(first)
        self.wrong += sum(vote != truth for vote in first)
        if len(first) < 2:
            return
        collide = truth not in first
        self.steps += 1
        self.counted += collide
        self.agreeing += collide and first[0] == first[1]
        wrong = sum(vote != truth for vote in votes)
        self.by_chance += comb(wrong, 2) / comb(len(votes), 2) if in_doubt else collide

    def to_json(self) -> Section:
        """The shares; `independent` is what they would be were the votes of a step independent."""
        return {
            "collisions": share(self.counted, self.steps),
            "agreeing": self.agreeing,
            "by_chance": self.by_chance / self.steps,
            "wrong_votes": share(self.wrong, self.votes),
            "independent": (self.wrong / self.votes) ** 2,
        }


@dataclass
class Findings:
    """What one voter did on some steps."""

    races: Counter[int] = field(default_factory=Counter)  # votes -> races decided with so many
    wrong: int = 0  # races that a wrong answer won
    starved: int = 0  # races left open because most samples of the step were flagged
    collisions: dict[str, Collisions] = field(default_factory=lambda: {name: Collisions() for name in MOVE_PARSERS})
    repaired: Counter[str] = field(default_factory=Counter)  # outcomes of samples that only the repairing parser takes
    lengths: Counter[tuple[int, str]] = field(default_factory=Counter)  # (tokens beyond the right answer's, outcome)
    logprobs: Counter[tuple[int, str]] = field(default_factory=Counter)  # (half decade of minus the mean, outcome)

    def add_race(self, race: Race[str], truth: str) -> None:
        """Count a race; one that was not decided counts as open after any number of votes."""
        if isinstance(race.verdict, Won):
            self.races[race.votes] += 1
            self.wrong += race.verdict.choice != truth
        else:
            self.starved += race.votes < MOST_VOTES

    def add_repaired(self, voter: Voter, one: Question, written: ScoredAnswer) -> None:
        """Count a sample if the repairing parser takes it and the strict one does not."""
        choice = one.choice("repairing", voter.member, written)
        if choice is not None and one.choice("strict", voter.member, written) is None:
            self.repaired["right" if choice == one.truth else "wrong"] += 1

    def add_answer(self, voter: Voter, one: Question, written: ScoredAnswer) -> None:
        """Count an answer by its length and by how probable it was."""
        choice = one.choice("strict", voter.member, written)
        outcome = "malformed" if choice is None else "right" if choice == one.truth else "wrong"
        self.lengths[len(written.tokens) - right_length(voter, one), outcome] += 1
        self.logprobs[floor(2 * log10(max(SUREST, -written.mean_logprob()))), outcome] += 1


def right_length(voter: Voter, one: Question) -> int:
    """Tokens of the right answer, its end token included."""
    right = json.loads(one.truth)
    return len(voter.member.tokenizer.encode(answer(Move(*right["move"]), right["next_state"]))) + 1


def raced(votes: Iterable[str | None]) -> Race[str]:
    return hold(Race(EMBEDDED_POLICY.rule, MOST_VOTES), votes)


@dataclass(frozen=True)
class Drawn:
    """One member's likeliest answer to a step and the samples drawn of it so far."""

    voter: Voter
    path: GreedyAnswer
    samples: list[ScoredAnswer]

    def sample(self, one: Question, slot: int) -> ScoredAnswer:
        """Sample number `slot`, drawn now if it has not been."""
        if slot < len(self.samples):
            return self.samples[slot]
        return self.voter.samples([(one, self.path, slot)], SEED)[0]


def studied(voter: Voter, asked: Sequence[Question], paths: Sequence[GreedyAnswer], into: Findings) -> list[Drawn]:
    """Sample every step for one member, deeply where it matters, and count what comes of it."""
    several = [(one, path, slot) for one, path in zip(asked, paths, strict=True) for slot in range(FIRST)]
    first = iter(voter.samples(several, SEED))
    drawn = [Drawn(voter, path, [next(first) for _ in range(FIRST)]) for path in paths]
    for one, each in zip(asked, drawn, strict=True):
        path, samples = each.path, each.samples
        into.add_answer(voter, one, samples[0])
        for sample in samples:
            into.add_repaired(voter, one, sample)
        # decided by the likeliest answer and not by what was drawn, so that the chance to collide stays unbiased
        in_doubt = one.choice("strict", voter.member, path.whole) != one.truth or exp(sum(path.whole.logprobs)) < 0.5
        if in_doubt or any(voter.vote(one, sample) != one.truth for sample in samples):
            samples.extend(voter.samples([(one, path, slot) for slot in range(FIRST, DEEP)], SEED))
        for name, collisions in into.collisions.items():
            votes = [vote for s in samples if (vote := one.choice(name, voter.member, s)) is not None]
            collisions.add(votes, one.truth, in_doubt)
        into.add_race(raced(voter.vote(one, sample) for sample in samples), one.truth)
    return drawn


def rotating(one: Question, drawn: Sequence[Drawn]) -> Iterator[str | None]:
    """The votes of one step's samples as they go round the members."""
    for slot in range(DEEP):
        each = drawn[slot % len(drawn)]
        yield each.voter.vote(one, each.sample(one, slot))


def study(ensemble: Ensemble, asked: Sequence[Question]) -> dict[str, Findings]:
    """Everything of some steps, for the three together and for each member."""
    findings = {name: Findings() for name in ("embedded", *(voter.name for voter in ensemble.voters))}
    done = 0
    for part in parts(asked):

        def work(voter: Voter, paths: Sequence[GreedyAnswer], part: Sequence[Question] = part) -> list[Drawn]:
            return studied(voter, part, paths, findings[voter.name])

        for one, *drawn in zip(part, *ensemble.each(part, work), strict=True):
            findings["embedded"].add_race(raced(rotating(one, drawn)), one.truth)
        done += len(part)
        print(f"{done:,} of {len(asked):,} steps", file=sys.stderr, flush=True)
    return findings


def rounds(findings: dict[str, Findings], steps: int, noisy: int) -> Section:
    """Open steps after each vote, of every set of voters, of the record, and of the noise sampler."""
    rows = [
        {
            "voter": name,
            "steps": steps,
            "open": still_open(one.races, steps, MOST_VOTES),
            "wrong": one.wrong,
            "starved": one.starved,
        }
        for name, one in findings.items()
    ]
    rule = EMBEDDED_POLICY.rule
    check = noise(NOISE, rule.lacking(0, 0), noisy, MOST_VOTES)
    return {"rule": rule.name, "rows": rows, "record": recorded(rule.lacking(0, 0)), "noise": check}


def recorded(k: int) -> Section:
    """The same of the record run, which is over the whole game."""
    report = json.loads(RECORD.read_text(encoding="utf-8"))["report"]
    races = Counter({int(votes): number for votes, number in report["votes_histogram"].items()})
    steps, hardest = report["steps"], report["hardest"][0]
    return {
        "steps": steps,
        "open": still_open(races, steps, max(races)),
        "share_of_votes_in_first_k": k * steps / sum(votes * number for votes, number in races.items()),
        "hardest": {"step": hardest["step"], "votes": sum(hardest["tally"])},
    }


def table(counts: Counter[tuple[int, str]]) -> list[Section]:
    """Rows of counts by outcome, with the share of errors."""
    rows = []
    for key in sorted({key for key, _ in counts}):
        each = {outcome: counts[key, outcome] for outcome in OUTCOMES}
        trials = sum(each.values())
        rows.append({"at": key, **each, "errors": share(trials - each["right"], trials)})
    return rows


def answers(findings: dict[str, Findings]) -> Section:
    """All members' first answers together, by length and by log-probability."""
    lengths: Counter[tuple[int, str]] = Counter()
    logprobs: Counter[tuple[int, str]] = Counter()
    for one in findings.values():
        lengths += one.lengths
        logprobs += one.logprobs
    return {"by_length": table(lengths), "by_half_decade_of_logprob": table(logprobs)}


def steps(quick: bool) -> dict[str, Section]:
    ensemble, game = Ensemble(), Hanoi(DISKS)
    numbers = Random(SEED).sample(range(game.length()), 300 if quick else STEPS)
    findings = study(ensemble, [question(game, number) for number in numbers])
    said = {"engine": ensemble.engine, "disks": DISKS, "steps": len(numbers)}
    members = {name: one for name, one in findings.items() if name != "embedded"}
    collisions = {
        name: {parser: found.to_json() for parser, found in one.collisions.items()} for name, one in members.items()
    }
    repaired = sum((one.repaired for one in members.values()), Counter())
    only_repairing = share(repaired["wrong"], repaired.total())
    return {
        "rounds": said | rounds(findings, len(numbers), 1_000 if quick else NOISE_STEPS),
        "collisions": said | {"members": collisions, "only_repairing_wrong": only_repairing},
        "answers": said | answers(findings),
    }


if __name__ == "__main__":
    measure(__doc__, steps)
