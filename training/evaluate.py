"""Measure the shipped members and the ensemble: ``python evaluate.py --steps 100000 --card``.

Random steps of the real run of 20 disks, each asked from its true state, and every step of the games of 1 to 12
disks. A member writes its most probable answer to a step once, and all its samples of that step are drawn from it
(see ``unerring.adapters.embedded.engine``), so that many samples cost little more than one. The figures go
to evaluation.json and, with --card, into MODEL_CARD.md.
"""

import argparse
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import combinations
from pathlib import Path

import ctranslate2
import numpy as np

from card import figures, write_card
from unerring.adapters.embedded.catalog import EMBEDDED_POLICY, MEMBERS, WEIGHTS_FOLDER
from unerring.adapters.embedded.engine import (
    MAX_ANSWER_TOKENS,
    MAX_PASS_PROMPTS,
    Drafter,
    EnsembleMember,
    GreedyAnswer,
    ScoredAnswer,
)
from unerring.core.voting.canonical import Json, canonical
from unerring.core.voting.policy import Policy
from unerring.core.voting.race import Race, Won
from unerring.core.voting.redflag import FlagRules, RedFlag
from unerring.core.voting.sample import Finish, Sample, Usage
from unerring.processes.hanoi import Hanoi, parse_strict

HERE = Path(__file__).parent
TOGETHER = 1024  # steps in memory at once, with their logits
SAMPLES = 3  # of each step, member and temperature, for p and v
DOUBTS = 200  # of a step whose likeliest answer is in doubt, to see which valid answer leads
THRESHOLDS = (-0.3, -0.1, -0.03, -0.01, -0.003, -0.001, -0.0003, -0.0001)
RULES = {"parser": FlagRules(max_output_tokens=MAX_ANSWER_TOKENS), "default": EMBEDDED_POLICY.flags}


@dataclass
class Step:
    """One step of a run, such as `disks:number`: its question, the right choice, and what answers hold."""

    name: str
    parse: Callable[[str], Json]
    prompt: str
    truth: str
    choices: dict[tuple[int, ...], str | None] = field(default_factory=dict)

    def choice(self, member: EnsembleMember, written: ScoredAnswer) -> str | None:
        """The canonical choice of an answer, None if the strict parser flags it."""
        if written.tokens not in self.choices:
            try:
                value = self.parse(member.tokenizer.decode(written.tokens))
                self.choices[written.tokens] = canonical(value)
            except RedFlag:
                self.choices[written.tokens] = None
        return self.choices[written.tokens]

    def vote(self, member: EnsembleMember, written: ScoredAnswer, rules: FlagRules) -> str | None:
        """The choice that a sample votes for, None if it is flagged."""
        finish = Finish.STOP if written.tokens[-1] == member.tokenizer.end else Finish.LENGTH
        sample = Sample("", Usage(0, len(written.tokens)), finish, written.mean_logprob())
        return None if rules.screen(sample) is not None else self.choice(member, written)


def step_of(chain: Hanoi, number: int) -> Step:
    state = chain.state_at(number)
    subtask = chain.subtask(state)
    if subtask is None or subtask.compact is None:
        raise ValueError(f"the game of {chain.disks} disks has no step {number}")
    parse = partial(parse_strict, disks=chain.disks)
    return Step(f"{chain.disks}:{number}", parse, subtask.compact, canonical(chain.truth(state)))


@dataclass
class Tally:
    """Counts of one member's samples at one temperature. A kept sample is one that no flag of the rules meets."""

    samples: int = 0
    right: int = 0
    kept: dict[str, int] = field(default_factory=lambda: dict.fromkeys(RULES, 0))
    kept_right: dict[str, int] = field(default_factory=lambda: dict.fromkeys(RULES, 0))
    pairs: int = 0
    collisions: int = 0  # pairs of a step's first two kept samples, both wrong
    agreeing: int = 0  # of those, the ones with the same wrong choice
    above: dict[str, list[int]] = field(default_factory=lambda: {str(limit): [0, 0] for limit in THRESHOLDS})
    valid: list[int] = field(default_factory=lambda: [0, 0])  # wrong and right ones that the parser keeps

    def add(self, step: Step, member: EnsembleMember, samples: Sequence[ScoredAnswer]) -> None:
        """Count the samples of one step."""
        first: list[str] = []
        for written in samples:
            choice = step.choice(member, written)
            self.samples += 1
            self.right += choice == step.truth
            for name, rules in RULES.items():
                if step.vote(member, written, rules) is not None:
                    self.kept[name] += 1
                    self.kept_right[name] += choice == step.truth
            if choice is not None:
                first.append(choice)
                self.valid[choice == step.truth] += 1
                for limit, counts in self.above.items():
                    counts[choice == step.truth] += written.mean_logprob() >= float(limit)
        if len(first) >= 2:
            self.pairs += 1
            self.collisions += step.truth not in first[:2]
            self.agreeing += first[0] == first[1] != step.truth


@dataclass
class Findings:
    """What is known of one member."""

    greedy_wrong: list[str] = field(default_factory=list)  # valid and wrong
    greedy_flagged: list[str] = field(default_factory=list)
    doubtful: int = 0
    pathological: dict[str, list[str]] = field(default_factory=lambda: {name: [] for name in RULES})
    silent: dict[str, list[str]] = field(default_factory=lambda: {name: [] for name in RULES})
    temperatures: dict[str, Tally] = field(default_factory=dict)


@dataclass
class Races:
    """What came of voting."""

    decided: int = 0
    wrong: list[str] = field(default_factory=list)
    undecided: list[str] = field(default_factory=list)
    votes: int = 0
    flagged: int = 0
    split: int = 0  # races in which some vote was wrong
    most_votes: int = 0


def samples_of(
    member: EnsembleMember, paths: Sequence[GreedyAnswer], temperatures: Sequence[float], rng: np.random.Generator
) -> list[ScoredAnswer]:
    """One sample from each path's start."""
    return member.draw(paths, temperatures, list(rng.random((len(paths), MAX_ANSWER_TOKENS))))


def study(
    member: EnsembleMember,
    steps: Sequence[Step],
    temperatures: Sequence[float],
    findings: Findings,
    rng: np.random.Generator,
) -> list[GreedyAnswer]:
    """Add what one member does on some steps to its findings; returns its likeliest answers."""
    starts = [(member.tokenizer.begin, *member.tokenizer.encode(step.prompt)) for step in steps]
    paths = member.likeliest(starts)
    for step, path in zip(steps, paths, strict=True):
        choice = step.choice(member, path.whole)
        if choice is None:
            findings.greedy_flagged.append(step.name)
        elif choice != step.truth:
            findings.greedy_wrong.append(step.name)
        if choice != step.truth or sum(path.whole.logprobs) < np.log(0.5):
            doubt(member, step, path, findings, rng)
    for temperature in temperatures:
        tally = findings.temperatures.setdefault(str(temperature), Tally())
        several = [path for path in paths for _ in range(SAMPLES)]
        samples = iter(samples_of(member, several, [temperature] * len(several), rng))
        for step in steps:
            tally.add(step, member, [next(samples) for _ in range(SAMPLES)])
    return paths


def doubt(
    member: EnsembleMember, step: Step, path: GreedyAnswer, findings: Findings, rng: np.random.Generator
) -> None:
    """See which valid answer leads where the likeliest is not right with more than even chance.

    Where it is, the right answer leads for certain, and this is skipped.
    """
    findings.doubtful += 1
    samples = samples_of(member, [path] * DOUBTS, [1.0] * DOUBTS, rng)
    for name, rules in RULES.items():
        votes = Counter(choice for s in samples if (choice := step.vote(member, s, rules)) is not None)
        right = votes.pop(step.truth, 0)
        if not right and not votes:
            findings.silent[name].append(step.name)
        elif right <= max(votes.values(), default=-1):
            findings.pathological[name].append(step.name)


@dataclass
class Contest:
    """One step's race, and how many samples it has drawn."""

    step: Step
    paths: Sequence[GreedyAnswer]
    race: Race[str]
    drawn: int = 0
    flagged: int = 0

    def asks(self, policy: Policy) -> range:
        """Numbers of the samples to draw next; none if the race is over."""
        missing = self.race.missing()
        if self.flagged >= policy.flag_cap * (self.race.votes + missing):
            return range(0)
        return range(self.drawn, self.drawn + missing)


def hold(
    contests: list[Contest], members: Sequence[EnsembleMember], policy: Policy, rng: np.random.Generator
) -> Races:
    """Race all steps to their end, round by round: each asks for the votes it lacks, members in rotation."""
    going = contests
    while going := [contest for contest in going if contest.asks(policy)]:
        asked = [(contest, slot) for contest in going for slot in contest.asks(policy)]
        answers: dict[tuple[int, int], ScoredAnswer] = {}
        for number, member in enumerate(members):
            mine = [(contest, slot) for contest, slot in asked if slot % len(members) == number]
            warmth = [policy.temperature(slot) for _, slot in mine]
            written = samples_of(member, [contest.paths[number] for contest, _ in mine], warmth, rng)
            answers |= {(id(c), slot): w for (c, slot), w in zip(mine, written, strict=True)}
        for contest, slot in asked:
            choice = contest.step.vote(members[slot % len(members)], answers[id(contest), slot], policy.flags)
            contest.drawn += 1
            if choice is None:
                contest.flagged += 1
            else:
                contest.race.tell(choice)
    return outcome(contests)


def outcome(contests: Sequence[Contest]) -> Races:
    races = Races()
    for contest in contests:
        step, race = contest.step, contest.race
        races.votes += race.votes
        races.flagged += contest.flagged
        races.most_votes = max(races.most_votes, race.votes)
        races.split += race.tally[step.truth] < race.votes
        if not isinstance(race.verdict, Won):
            races.undecided.append(step.name)
        elif race.verdict.choice != step.truth:
            races.wrong.append(step.name)
        else:
            races.decided += 1
    return races


def add_races(sum_: Races, more: Races) -> None:
    for name, value in vars(more).items():
        setattr(sum_, name, max(sum_.most_votes, value) if name == "most_votes" else getattr(sum_, name) + value)


class Evaluation:
    """The members, their findings on one set of steps, and the ensemble's races."""

    def __init__(self, members: dict[str, EnsembleMember], temperatures: Sequence[float], seed: int) -> None:
        self.members = members
        self.temperatures = temperatures
        self.findings = {name: Findings() for name in members}
        self.races = {name: Races() for name in ["embedded", *(f"embedded/{name}" for name in members)]}
        self._seeds = np.random.SeedSequence(seed)

    def run(self, steps: Sequence[Step], label: str) -> None:
        started = time.monotonic()
        with ThreadPoolExecutor(len(self.members)) as threads:
            for at in range(0, len(steps), TOGETHER):
                self._some(steps[at : at + TOGETHER], threads)
                done = min(at + TOGETHER, len(steps))
                wrong = len(self.races["embedded"].wrong)
                seconds = time.monotonic() - started
                print(
                    f"{label}: {done}/{len(steps)} steps, {wrong} wrong, {seconds:.0f} s", file=sys.stderr, flush=True
                )

    def _some(self, steps: Sequence[Step], threads: ThreadPoolExecutor) -> None:
        # every use has a generator of its own, so that threads cannot change what is drawn
        *own, voting = (np.random.default_rng(seed) for seed in self._seeds.spawn(len(self.members) + 1))
        studies = [
            threads.submit(study, member, steps, self.temperatures, self.findings[name], rng)
            for (name, member), rng in zip(self.members.items(), own, strict=True)
        ]
        paths = [future.result() for future in studies]
        sets = {"embedded": list(range(len(paths))), **{f"embedded/{n}": [i] for i, n in enumerate(self.members)}}
        everyone = list(self.members.values())
        for name, voters in sets.items():
            contests = [
                Contest(step, [paths[i][row] for i in voters], Race(EMBEDDED_POLICY.rule, EMBEDDED_POLICY.vote_cap))
                for row, step in enumerate(steps)
            ]
            add_races(self.races[name], hold(contests, [everyone[i] for i in voters], EMBEDDED_POLICY, voting))

    def to_json(self) -> dict[str, object]:
        names = list(self.members)
        stubborn = {name: set(self.findings[name].pathological["parser"]) for name in names}
        groups = [group for size in range(2, len(names) + 1) for group in combinations(names, size)]
        return {
            "members": {name: asdict(findings) for name, findings in self.findings.items()},
            "races": {name: asdict(races) for name, races in self.races.items()},
            "shared_pathological": {
                " ".join(group): sorted(set.intersection(*(stubborn[name] for name in group))) for group in groups
            },
        }


def drafted(drafter: Drafter, steps: Sequence[Step]) -> dict[str, object]:
    """Which of some steps the drafter does not draft correctly."""
    tokenizer, wrong = drafter.tokenizer, []
    for at in range(0, len(steps), MAX_PASS_PROMPTS):
        some = steps[at : at + MAX_PASS_PROMPTS]
        drafts = drafter.drafts([(tokenizer.begin, *tokenizer.encode(step.prompt)) for step in some])
        for step, draft in zip(some, drafts, strict=True):
            try:
                right = canonical(step.parse(tokenizer.decode(draft))) == step.truth
            except RedFlag:
                right = False
            if not right:
                wrong.append(step.name)
    return {"steps": len(steps), "wrong": wrong}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=100_000, help="random steps of the run of 20 disks")
    parser.add_argument("--temperatures", type=float, nargs="+", default=[1.0, 0.6])
    parser.add_argument("--members", nargs="+", default=list(MEMBERS), choices=MEMBERS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--weights", type=Path, default=WEIGHTS_FOLDER, help="folder of the members' CTranslate2 models"
    )
    parser.add_argument("--out", type=Path, default=HERE / "evaluation.json")
    parser.add_argument("--card", action="store_true", help="write the tables into MODEL_CARD.md")
    parser.add_argument("--drafter", action="store_true", help="measure the drafter only; the rest stays as it was")
    options = parser.parse_args()

    drafter = Drafter(options.weights / "draft")
    large, small = Hanoi(20), [Hanoi(disks) for disks in range(1, 13)]
    numbers = random.Random(options.seed).sample(range(large.length()), options.steps)
    many = [step_of(large, number) for number in numbers]
    few = [step_of(chain, number) for chain in small for number in range(chain.length())]
    if options.drafter:
        results = json.loads(options.out.read_text(encoding="utf-8"))
    else:
        members = {name: EnsembleMember(options.weights / name, drafter) for name in options.members}
        of_large = Evaluation(members, sorted({*options.temperatures, 1.0}), options.seed)
        of_large.run(many, "20 disks")
        of_small = Evaluation(members, [1.0], options.seed + 1)
        of_small.run(few, "1 to 12 disks")
        results = {
            "steps": options.steps,
            "seed": options.seed,
            "engine": f"ctranslate2 {ctranslate2.__version__}, {next(iter(members.values())).arithmetic}",
            "policy": EMBEDDED_POLICY.to_json(),
            "large": of_large.to_json(),
            "small": {"steps": len(few), **of_small.to_json()},
        }
    results["drafter"] = {"large": drafted(drafter, many), "small": drafted(drafter, few)}
    options.out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    if options.card:
        write_card("evaluate", figures(results), HERE / "MODEL_CARD.md")


if __name__ == "__main__":
    main()
