"""Parts of several benchmarks: a light chain, an instant sampler, a plain voting loop, and the writing of figures."""

import argparse
import json
import os
import platform
import shlex
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from resource import getpagesize
from typing import Any, TypeVar

import unerring
from unerring.core.chain import Rehearsal
from unerring.core.voting.canonical import canonical, parsed
from unerring.core.voting.policy import Policy
from unerring.core.voting.race import AheadBy, Race, Won

T = TypeVar("T")
MEGABYTE = 1e6


class Counter:
    """The lightest chain there is: each step adds one.

    A wrong answer adds two and the chain continues from there. So the last state less the number of steps taken is the
    number of wrong steps, and the chain ends even where it derailed.
    """

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def start(self) -> int:
        return 0

    def subtask(self, state: int) -> unerring.Subtask | None:
        return None if state >= self.steps else unerring.Subtask(f"{state}", json.loads)

    def advance(self, state: int, choice: int) -> int:
        return choice

    def rehearse(self, prompt: str) -> Rehearsal:
        # one wrong answer only: the exact expectation of votes is that of a race between two
        return Rehearsal(f"{int(prompt) + 1}", (f"{int(prompt) + 2}",))


class Instant:
    """Answers at once and correctly; `paid` decides whether intents are made durable before each call."""

    compact = False
    name = "instant"

    def __init__(self, paid: bool) -> None:
        self.paid = paid

    async def sample(self, prompt: str, settings: unerring.Settings, n: int) -> Sequence[unerring.Sample]:
        return [unerring.Sample(instant_answer(prompt), unerring.Usage(1, 1), voter="instant")] * n


def instant_answer(prompt: str) -> str:
    """What the instant sampler answers, as text."""
    return str(int(prompt) + 1)


def voted(subtask: unerring.Subtask, k: int) -> int:
    """Decide one step by the rule that the engine uses, in a plain loop over instant answers."""
    race: Race[str] = Race(AheadBy(k))
    while not isinstance(race.verdict, Won):
        race.tell(canonical(subtask.parse(instant_answer(subtask.prompt))))
    return parsed(race.verdict.choice)


def one_at_a_time(**given: Any) -> unerring.Options:
    """Options under which steps are decided one after the other, so that votes are those of the chain alone.

    All samples are drawn at one temperature, so that those of a round are one call, as they are one loop elsewhere.
    """
    given.setdefault("policy", Policy(first_temperature=0.1, later_temperature=0.1))
    return unerring.Options(speculate="off", **given)


def in_fresh_process(work: Callable[..., T], *given: Any) -> T:
    """Call `work` in a new Python process: no memory, thread or cache is left over from what was measured before."""
    with ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn")) as pool:
        return pool.submit(work, *given).result()


def resident() -> float:
    """Resident memory of this process now, in megabytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * getpagesize() / MEGABYTE


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table of figures: `must` is what has to hold, and `holds` whether it does (None: no claim)."""

    what: str
    figure: str
    must: str = ""
    holds: bool | None = None


def parser_for(doc: str | None) -> argparse.ArgumentParser:
    """A parser with the options every benchmark has."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE as one JSON object")
    parser.add_argument("--check", action="store_true", help="exit with 1 if something that must hold does not")
    return parser


def give_out(args: argparse.Namespace, figures: dict[str, Any], rows: Sequence[Row]) -> int:
    """Print the rows that claim something, write all as JSON where that is asked for; returns the exit status."""
    claims = [row for row in rows if row.holds is not None]
    if claims:
        print()
    for row in claims:
        print(f"{'holds ' if row.holds else 'MISSED'}  {row.what}: {row.figure} (must: {row.must})")
    if args.json is not None:
        output = {
            "benchmark": Path(sys.argv[0]).stem,
            "command": _command(),
            "machine": f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}",
            "software": f"Python {platform.python_version()}",
            "figures": figures,
            "rows": [asdict(row) for row in rows],
        }
        args.json.write_text(json.dumps(output, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return 1 if args.check and not all(row.holds for row in claims) else 0


def _command() -> str:
    """The command line that gives these figures again, without the places of one machine."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--json")
    parser.add_argument("--folder")
    parser.add_argument("--check", action="store_true")
    return shlex.join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *parser.parse_known_args()[1]])
