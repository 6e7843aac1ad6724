"""What it costs to decide m steps in one subtask: `python benchmarks/paper/subtasks.py`.

A chain of s steps has s/m subtasks, a vote on one is the writing of m steps, so the cost of a step of the chain, with
that of writing one step once as the unit, is the votes of a race. Two cases bound what wrong answers do:

- *agree*: all wrong answers to a subtask are the same one. Then the formulas hold with p^m in place of p, and from
  p^m = 1/2 on no k helps.
- *scatter*: a step can go wrong in one way only, so an answer to the subtask is known by the set of its wrong steps.
  The strongest rivals have one wrong step and are p/(1-p) times less probable than the right answer, for any m. Votes
  for other answers decide nothing, so a race takes about k / (p^(m-1) (2p-1)) votes: this grows as p^-m.

The dots are races held with the engine's own `Race`, on answers drawn step by step.
"""

from collections.abc import Callable
from functools import partial
from random import Random
from statistics import fmean, stdev

from costs import STEPS, TARGET
from findings import Section, measure

from unerring.core.voting.odds import expected_votes_upper, k_min
from unerring.core.voting.race import AheadBy, Race, Won
from unerring.errors import NoKCanHelp

CHANCES = (0.95, 0.99)
SIZES = (1, 2, 4, 6, 8, 10, 12, 16, 20, 25, 30, 35, 40, 45, 50, 55, 60, 64, 70, 80, 90, 100)
VOTES = 40_000  # of the races at each dot, about
MOST_VOTES = 2_000  # a race on average: more would take too long to race


def formula_agree(p: float, m: int) -> tuple[int, float] | None:
    """The margin and the expected votes of a race where all wrong answers agree; None where no k helps."""
    try:
        k = k_min(p, STEPS, TARGET, m)
        return k, expected_votes_upper(p, k, m)
    except NoKCanHelp:
        return None


def formula_scatter(p: float, m: int) -> tuple[int, float]:
    """The same where wrong answers scatter: as for m = 1, on a chain of s/m steps, by votes of which few count."""
    k = k_min(p, STEPS / m, TARGET)
    return k, expected_votes_upper(p, k) / p ** (m - 1)


def answer(p: float, m: int, chance: Random) -> int:
    """An answer to a subtask, as the set of its wrong steps (bits); 0 is right."""
    wrong = 0
    for step in range(m):
        if chance.random() >= p:
            wrong |= 1 << step
    return wrong


def verdict(p: float, m: int, chance: Random) -> int:
    """The same where all wrong answers are one."""
    return int(answer(p, m, chance) != 0)


ANSWERS = {"agree": verdict, "scatter": answer}


def raced(m: int, k: int, races: int, vote: Callable[[], int]) -> Section:
    """Hold races and count their votes, and the races that a wrong answer won."""
    counts, wrong = [], 0
    for _ in range(races):
        race: Race[int] = Race(AheadBy(k))
        while race.missing():
            race.tell(vote())
        counts.append(race.votes)
        wrong += race.verdict != Won(0)
    error = stdev(counts) / len(counts) ** 0.5
    return {"m": m, "k": k, "races": races, "votes": fmean(counts), "standard_error": error, "wrong": wrong}


def curve(p: float, quick: bool) -> list[Section]:
    """Formulas and races at one p, for both cases."""
    cases: dict[str, Section] = {name: {"p": p, "case": name, "law": [], "raced": []} for name in ("agree", "scatter")}
    for m in range(1, SIZES[-1] + 1):
        for case, found in (("agree", formula_agree(p, m)), ("scatter", formula_scatter(p, m))):
            if found is None or found[1] > MOST_VOTES:
                continue
            k, votes = found
            cases[case]["law"].append({"m": m, "k": k, "votes": votes})
            if m in SIZES[:: 6 if quick else 1]:
                chance = Random(f"{p} {m} {case}")
                races = max(20, int((VOTES / 50 if quick else VOTES) / votes))
                cases[case]["raced"].append(raced(m, k, races, partial(ANSWERS[case], p, m, chance)))
    return list(cases.values())


def subtasks(quick: bool) -> dict[str, Section]:
    curves = [one for p in CHANCES for one in curve(p, quick)]
    return {"subtasks": {"steps": STEPS, "target": TARGET, "most_votes": MOST_VOTES, "curves": curves}}


if __name__ == "__main__":
    measure(__doc__, subtasks)
