"""The demonstration: one puzzle solved by the embedded model alone, with greedy decoding, and by voting."""

import asyncio
import time
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rich.console import Console
from rich.table import Table

from unerring import api
from unerring.adapters.embedded.sampler import EmbeddedSampler
from unerring.api.journals import history as reading
from unerring.api.journals.verify import verify
from unerring.cli.hints import quoted
from unerring.cli.progress import Progress
from unerring.cli.run import watched
from unerring.errors import StepLimit
from unerring.processes import Hanoi
from unerring.runtime.baseline import derailed_at

DEMO_MODELS = ("embedded/a", "embedded/b", "embedded/c")
UNAIDED_CHAINS = 4  # of each member, each with a seed of its own
LARGE_PUZZLE_STEPS = 2_500
LARGE_DISKS = 20


def demonstrate(disks: int, seed: int, journal: Path) -> int:
    """Solve the puzzle in all three ways and print the results; returns the exit code."""
    EmbeddedSampler(DEMO_MODELS[0], seed).close()  # fails before anything is printed where its extra is missing
    console = Console(highlight=False)
    chain = Hanoi(disks)
    started = time.monotonic()
    console.print(
        f"\n[bold]Towers of Hanoi, {disks} disks: {chain.length():,} steps, each building on the one before.[/]\n"
        "A real language model answers, tiny enough to ship in this package:\n"
        "three members of 0.6 million parameters each.\n"
    )
    console.print("[bold]1  The model alone, one sample a step[/] (temperature 1)")
    _alone(console, chain, 1.0, seed, UNAIDED_CHAINS)
    console.print("[bold]2  The model alone, greedy decoding[/] (temperature 0)")
    _alone(console, chain, 0.0, seed, 1)
    console.print("[bold]3  The same model, voting[/] (the first answer to lead all others by k votes wins)")
    before = time.monotonic()
    result = watched(
        lambda shown: api.run(chain, "embedded", journal, seed=seed, options=api.Options(observer=shown)),
        journal,
        Progress(),
    )
    report = result.report
    console.print(
        f"    {result.steps:,} steps in {time.monotonic() - before:.0f} s, rule {report['policy']['rule']}: "
        f"{report['samples']['voted']:,} votes ({report['votes_per_step']:.2f} a step);\n"
        f"    {_dissent(report)}"
    )
    _voted_large(console, seed)
    return _verdict(console, journal, chain, time.monotonic() - started)


def _alone(console: Console, chain: Hanoi, temperature: float, seed: int, chains: int) -> None:
    """Print where chains without voting go wrong, on the given puzzle and on the large one."""
    large = Hanoi(LARGE_DISKS)
    table = Table(box=None, padding=(0, 2), pad_edge=True, show_edge=False)
    table.add_column("  ")
    for column in (
        f"{chain.disks} disks ({chain.length():,} steps)",
        f"{LARGE_DISKS} disks ({large.length():,} steps)",
    ):
        table.add_column(column)
    with console.status("solving without voting"):
        small, tall = asyncio.run(_walked([chain, large], temperature, seed, chains))
    for member, ends, high in zip(DEMO_MODELS, small, tall, strict=True):
        table.add_row(f"  {member}", _outcomes(ends, chain.length()), _outcomes(high, LARGE_PUZZLE_STEPS))
    console.print(table)
    console.print()


def _dissent(report: dict[str, Any]) -> str:
    flagged, dissent = report["samples"]["flagged"], report["disagreements"]
    return f"samples red-flagged and drawn again: {flagged:,}; steps with a dissenting vote: {dissent:,}"


def _voted_large(console: Console, seed: int) -> None:
    """Solve by voting the first steps of the large puzzle, as many as were tried without."""
    with TemporaryDirectory() as folder, Progress(most_steps=LARGE_PUZZLE_STEPS) as progress:
        path = Path(folder) / "large.db"
        with suppress(StepLimit):
            options = api.Options(observer=progress, max_steps=LARGE_PUZZLE_STEPS)
            api.run(Hanoi(LARGE_DISKS), "embedded", path, seed=seed, options=options)
        found, report = verify(path), reading.report(path)
    outcome = f"[red]{found.problem}[/]" if found.problem else "[green]all right[/]"
    console.print(f"    The first {found.steps:,} steps of {LARGE_DISKS} disks: {outcome};\n    {_dissent(report)}")


async def _walked(puzzles: list[Hanoi], temperature: float, seed: int, chains: int) -> list[list[list[int | None]]]:
    """For each puzzle and member, the step at which each chain goes wrong; all chains run concurrently."""
    samplers = [EmbeddedSampler(member, seed) for member in DEMO_MODELS]
    try:
        walks = [
            derailed_at(puzzle, sampler, temperature, seed + number, LARGE_PUZZLE_STEPS)
            for puzzle in puzzles
            for sampler in samplers
            for number in range(chains)
        ]
        ends = await asyncio.gather(*walks)
    finally:
        for sampler in samplers:
            sampler.close()
    each = [list(ends[at : at + chains]) for at in range(0, len(ends), chains)]
    return [each[at : at + len(DEMO_MODELS)] for at in range(0, len(each), len(DEMO_MODELS))]


def _outcomes(ends: list[int | None], steps: int) -> str:
    """The results of chains in words: the step of each wrong answer, or that there was none."""
    derailed = sorted(end for end in ends if end is not None)
    came_through = len(ends) - len(derailed)
    words = []
    if derailed:
        words.append("[red]derailed at " + ", ".join(f"{end:,}" for end in derailed) + "[/]")
    if came_through:
        who = f"{came_through} of {len(ends)} " if len(ends) > 1 else ""
        words.append(f"[green]{who}right for {steps:,}[/]")
    return "\n".join(words)


def _verdict(console: Console, journal: Path, chain: Hanoi, seconds: float) -> int:
    found = verify(journal)
    if found.problem is not None or not found.finished:
        console.print(f"\n[bold red]Not verified: {found.problem or 'the run did not finish'}[/]")
        return 1
    console.print(
        f"\n[bold green]Verified by the rules of the game alone: all {found.steps:,} steps right, zero errors.[/]\n"
        f"\nAll of this took {seconds:.0f} s. The journal of the voted run is {journal}. Try next:\n\n"
        f"  unerring report {quoted(journal)}\n"
        f"  unerring export {quoted(journal)} --what votes | head\n"
        "  unerring run hanoi --set disks=12 --journal h12.db --seed 1\n"
        "      # press Ctrl-C, then: unerring resume h12.db\n"
        "  unerring run hanoi --set disks=8 --model noise/p=0.9,v=0.9 --k 5\n",
        soft_wrap=True,
    )
    return 0
