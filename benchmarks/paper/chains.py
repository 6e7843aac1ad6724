"""How far a chain gets by each way of deciding its steps: `python benchmarks/paper/chains.py`.

The run of 20 disks from its beginning, followed up to a cap. A chain ends at its first wrong step, so the states of
all the steps that it reaches are known beforehand. The voting ways use the embedded model's own red flags and draw a
flagged sample again; where no answer has a majority the step stays open, and that ends the chain as well. Single
samples and greedy answers are taken as they come.

The rules that get through so far are then compared on the steps that took most votes in the record run of the whole
game (docs/record/record.json): each is raced again and again with other samples. The product over these steps bounds
the chance to get through the game, because all its other steps have to come out right as well.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from math import prod
from pathlib import Path

from findings import Section, measure
from voters import Ensemble, Question, Voter, hold, parts, question

from unerring.adapters.embedded.catalog import EMBEDDED_POLICY
from unerring.adapters.embedded.engine import GreedyAnswer
from unerring.core.voting.race import AheadBy, Majority, Race, Rule, Won
from unerring.processes.hanoi import Hanoi

DISKS = 20
CAP = 3_000  # steps followed
SEEDS = range(8)
REPEATS = range(1, 201)  # seeds of the races on hard steps; the record's own was 0
RECORD = Path(__file__).parents[2] / "docs" / "record" / "record.json"

Paths = Sequence[GreedyAnswer]
Ask = Callable[[int, Question], bool]  # whether step number i comes out right


def derailed(asked: Sequence[Question], right: Ask) -> int | None:
    """The first step that does not come out right, None if all do."""
    return next((one.number for i, one in enumerate(asked) if not right(i, one)), None)


def single(voter: Voter, paths: Paths, seed: int, temperature: float) -> Ask:
    """One sample decides, whatever it is."""

    def right(i: int, one: Question) -> bool:
        (sample,) = voter.samples([(one, paths[i], 0)], seed, temperature)
        return one.choice("strict", voter.member, sample) == one.truth

    return right


def voted(voters: Sequence[tuple[Voter, Paths]], rule: Rule, seed: int) -> Ask:
    """A race decides; the step's samples go round the voters."""

    def votes(i: int, one: Question) -> Iterator[str | None]:
        slot = 0
        while True:
            voter, paths = voters[slot % len(voters)]
            yield voter.vote(one, voter.samples([(one, paths[i], slot)], seed)[0])
            slot += 1

    def right(i: int, one: Question) -> bool:
        race: Race[str] = Race(rule, EMBEDDED_POLICY.vote_cap)
        return hold(race, votes(i, one)).verdict == Won(one.truth)

    return right


def ways(everyone: Sequence[tuple[Voter, Paths]], seeds: range) -> Iterator[tuple[str, str, list[Ask]]]:
    """Every way of deciding, who decides, and a chain for each seed."""
    for voter, paths in everyone:
        yield "single sample", voter.name, [single(voter, paths, seed, 1.0) for seed in seeds]
    for voter, paths in everyone:
        yield "greedy", voter.name, [single(voter, paths, 0, 0.0)]
    for rule in (Majority(3), Majority(5)):
        for one in everyone:
            yield f"{rule.name}, one member", one[0].name, [voted([one], rule, seed) for seed in seeds]
    yield "majority 5, three members", "embedded", [voted(everyone, Majority(5), seed) for seed in seeds]
    yield "ahead-by 3, three members", "embedded", [voted(everyone, AheadBy(3), seed) for seed in seeds]


def with_paths(ensemble: Ensemble, asked: Sequence[Question]) -> list[tuple[Voter, Paths]]:
    """Every member with its likeliest answers to all the questions."""
    paths: list[list[GreedyAnswer]] = [[] for _ in ensemble.voters]
    for part in parts(asked):
        for kept, more in zip(paths, ensemble.each(part, lambda _, found: found), strict=True):
            kept.extend(more)
    return list(zip(ensemble.voters, paths, strict=True))


def hardest(ensemble: Ensemble, repeats: range) -> Section:
    """How often each rule, with votes of all three members, decides the record's hardest steps correctly."""
    steps = [one["step"] for one in json.loads(RECORD.read_text(encoding="utf-8"))["report"]["hardest"]]
    asked = [question(Hanoi(DISKS), step) for step in steps]
    everyone, rows = with_paths(ensemble, asked), []
    for rule in (Majority(3), Majority(5), AheadBy(3)):
        asks = [voted(everyone, rule, seed) for seed in repeats]
        right = [sum(ask(i, one) for ask in asks) for i, one in enumerate(asked)]
        rows.append({"rule": rule.name, "right": right, "all_right": prod(each / len(repeats) for each in right)})
    return {"engine": ensemble.engine, "steps": steps, "races": len(repeats), "rows": rows}


def chains(quick: bool) -> dict[str, Section]:
    ensemble, game = Ensemble(), Hanoi(DISKS)
    cap, seeds, repeats = (40, SEEDS[:2], REPEATS[:4]) if quick else (CAP, SEEDS, REPEATS)
    asked = [question(game, number) for number in range(cap)]
    rows = [
        {"way": way, "voter": voter, "derailed_at": list(map(partial(derailed, asked), asks))}
        for way, voter, asks in ways(with_paths(ensemble, asked), seeds)
    ]
    far = {"engine": ensemble.engine, "disks": DISKS, "cap": cap, "rows": rows}
    return {"chains": far, "hardest": hardest(ensemble, repeats)}


if __name__ == "__main__":
    measure(__doc__, chains)
