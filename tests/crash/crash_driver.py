"""One paid run in a process of its own, to be killed: python crash_driver.py JOURNAL LEDGER [options].

It starts or resumes a small puzzle whose model is paid and keeps a ledger of its own: every call it received is
written there and fsynced before it is answered, as a provider's bill would be. Exits with 0 when the run is done and
with 3 when it stopped.
"""

import argparse
import asyncio
import json
import os
import signal
import sys
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from stretch import Kept

import unerring
from unerring.testing import NoisySampler


class LedgerSampler:
    """A paid model that writes every call to its ledger, and may die or hang at one of them."""

    paid = True
    compact = True
    name = "ledger"

    def __init__(
        self,
        sampler: Any,
        ledger: str | Path,
        latency: float,
        die_at: int | None = None,
        hang_at: int | None = None,
        spin_at: int | None = None,
    ) -> None:
        self._sampler = sampler
        self._ledger = os.open(ledger, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._latency, self._die_at, self._hang_at, self._spin_at = latency, die_at, hang_at, spin_at
        self._kept = Kept()
        self._calls = 0

    async def sample(self, prompt: str, settings: unerring.Settings, n: int) -> Sequence[unerring.Sample]:
        self._calls += 1
        ids = [f"{os.getpid()}-{self._calls}-{offset}" for offset in range(n)]
        call = {"step": settings.step, "slot": settings.slot, "count": n, "ids": ids}
        os.write(self._ledger, json.dumps(call).encode() + b"\n")
        os.fsync(self._ledger)
        if self._calls == self._die_at:
            os.kill(os.getpid(), signal.SIGKILL)
        if self._calls == self._hang_at:
            await asyncio.Event().wait()
        if self._calls == self._spin_at:
            while True:
                pass
        await asyncio.sleep(self._latency)
        await self._kept.held(settings.step)
        samples = await self._sampler.sample(prompt, settings, n)
        return [replace(sample, reply_id=name) for sample, name in zip(samples, ids, strict=True)]


def stuck(prompt: str, settings: unerring.Settings) -> str:
    """A plain function that never returns, like a request without a deadline."""
    sys.stdout.write("asked\n")
    sys.stdout.flush()
    threading.Event().wait()
    return ""


def paid_model(chain: unerring.Hanoi, options: argparse.Namespace) -> LedgerSampler:
    noise = NoisySampler(chain.rehearse, p=0.9, v=0.9)
    return LedgerSampler(noise, options.ledger, options.latency, options.die_at, options.hang_at, options.spin_at)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("journal", type=Path)
    parser.add_argument("ledger")
    parser.add_argument("--disks", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--latency", type=float, default=0.0)
    parser.add_argument("--die-at", type=int)
    parser.add_argument("--hang-at", type=int)
    parser.add_argument("--spin-at", type=int)
    parser.add_argument("--stuck", action="store_true")
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--one-by-one", action="store_true", help="take one step after the other")
    options = parser.parse_args()
    chain = unerring.Hanoi(options.disks)
    model = stuck if options.stuck else paid_model(chain, options)
    # one temperature for all samples: each round is then a single call
    policy = unerring.Policy(unerring.AheadBy(3), first_temperature=0.1)
    how = unerring.Options(speculate="off" if options.one_by_one else "auto", grace=120.0)
    try:
        if options.resume:
            unerring.resume(options.journal, model=model, options=how)
        else:
            unerring.run(chain, model, options.journal, seed=options.seed, options=replace(how, policy=policy))
    except unerring.Stopped as error:
        sys.stderr.write(f"{error}\n")
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
