"""The demonstration: what the embedded model does alone, greedily, and by voting, on the same puzzle."""

import asyncio
import time
from pathlib import Path

import click

from unerring import api, reading
from unerring.adapters.embedded import EmbeddedSampler
from unerring.processes import Hanoi
from unerring.runtime.unaided import derailed_at
from unerring.ui.progress import Progress

MEMBERS = ("embedded/a", "embedded/b", "embedded/c")
CHAINS_PER_MEMBER = 4


def demonstrate(disks: int, seed: int, journal: Path) -> int:
    """Run all three and print them beside each other; returns the exit code."""
    from rich.console import Console

    console = Console(highlight=False)
    chain = Hanoi(disks)
    started = time.monotonic()
    console.print(
        f"\n[bold]Towers of Hanoi, {disks} disks: {chain.length():,} steps, each depending on the one before.[/]"
    )
    console.print(
        "The model is a tiny language model shipped in this package (three members of about 0.6M parameters).\n"
    )
    console.print("[bold]1. One sample a step[/], temperature 1, no voting:")
    console.print(asyncio.run(_table(chain, 1.0, seed, CHAINS_PER_MEMBER)))
    console.print("[bold]2. Greedy decoding[/] (temperature 0), no voting:")
    console.print(asyncio.run(_table(chain, 0.0, seed, 1)))
    console.print("[bold]3. Voting[/], first to be ahead by k votes, over the three members:")
    before = time.monotonic()
    with Progress() as progress:
        result = api.run(chain, "embedded", journal, seed=seed, options=api.Options(observer=progress))
    report, seconds = result.report, time.monotonic() - before
    samples = report["samples"]
    console.print(
        f"   {result.steps:,} steps decided in {seconds:.1f} s with {samples['voted']:,} votes "
        f"({report['votes_per_step']:.2f} a step), {samples['flagged']} samples red-flagged,\n"
        f"   {report['disagreements']} steps where a vote went against the winner."
    )
    return _verdict(console, journal, chain, time.monotonic() - started)


async def _table(chain: Hanoi, temperature: float, seed: int, chains: int) -> object:
    """Where unaided chains derail: one row a member, one column a seed; all chains run side by side."""
    from rich.table import Table

    table = Table("member", *(f"seed {seed + i}" for i in range(chains)), box=None, padding=(0, 3))
    for member in MEMBERS:
        sampler = EmbeddedSampler(member, seed)
        try:
            walks = (derailed_at(chain, sampler, temperature, seed + i) for i in range(chains))
            ends = await asyncio.gather(*walks)
        finally:
            sampler.close()
        table.add_row(member, *(_end(chain, end) for end in ends))
    return table


def _end(chain: Hanoi, step: int | None) -> str:
    return f"[green]all {chain.length():,} right[/]" if step is None else f"[red]derailed at step {step:,}[/]"


def _verdict(console: object, journal: Path, chain: Hanoi, seconds: float) -> int:
    found = reading.verify(journal)
    if found.problem is not None or not found.finished:
        click.echo(f"\nThe verifier objects: {found.problem or 'the run did not finish'}", err=True)
        return 1
    click.secho(
        f"\nVerified by the rules of the game alone: {found.steps:,} of {chain.length():,} steps right, zero errors.",
        fg="green",
        bold=True,
    )
    click.echo(
        f"All of this took {seconds:.0f} s. The run is in {journal}. Try next:\n"
        f"  unerring report {journal}\n"
        f"  unerring export {journal} --what votes | head\n"
        "  unerring run hanoi --set disks=12 --journal h12.db --seed 1    (Ctrl-C it, then: unerring resume h12.db)\n"
        "  unerring run hanoi --set disks=8 --model noise/p=0.9,v=0.9 --k 5"
    )
    return 0
