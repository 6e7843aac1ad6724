"""If a process that asks in batches is killed, the next one pays for no sample twice."""

import asyncio
import json
import sys
from collections import Counter
from pathlib import Path

import pytest
from batch_provider import CREATE, DOWNLOAD, KEY, LIST, MODEL, POLL, UPLOAD, Provider, hang, listening

from faults.server import serving
from faults.trials import Trials
from tables import each

CHILD = Path(__file__).with_name("batch_provider.py")
STEPS = 6
PATIENCE_SECONDS = 60.0


async def child(spec, steps=STEPS, n=1, identity="run 1"):
    """A process that asks for the first samples of so many steps."""
    return await asyncio.create_subprocess_exec(
        sys.executable, CHILD, spec, identity, str(steps), str(n), stdout=-1, env={"UNERRING_API_KEY": KEY}
    )


async def ended(process):
    """The output of a process that has ended."""
    out, _ = await asyncio.wait_for(process.communicate(), PATIENCE_SECONDS)
    assert process.returncode == 0
    return [json.loads(line) for line in out.splitlines()]


def spec_of(url, options=""):
    return f"openai-batch/{MODEL}@{url},gather=0.1,poll=0.01{options}"


AFTER = [(LIST, 0), (UPLOAD, 0), (CREATE, 0), (POLL, 0), (POLL, 1), (DOWNLOAD, 0)]
BEFORE = [(UPLOAD, 0), (CREATE, 0)]  # a kill before any other request is one after the request before it


def assert_nothing_is_paid_for_twice(effective, point):
    """Assert that after SIGKILL at a request a second process gets every answer, and no request is computed again."""
    provider = Provider()
    killed = asyncio.Event()

    async def main():
        async with listening(provider):
            first = await child(spec_of(provider.url))

            async def kill(request, kind, turn):
                if (kind, turn) != point or killed.is_set():
                    return None
                first.kill()
                killed.set()
                return await hang(request)  # no process is left to read a reply

            setattr(provider, "after" if effective else "before", kill)
            await asyncio.wait_for(killed.wait(), PATIENCE_SECONDS)
            await first.wait()
            return await ended(await child(spec_of(provider.url)))

    assert asyncio.run(main()) == [[f"p{step}"] for step in range(STEPS)]
    assert len(provider.computed) == STEPS
    assert set(provider.computed.values()) == {1}
    assert len(provider.batches) == 1


@each(("effective", "point"), [(False, (CREATE, 0)), (True, (CREATE, 0)), (True, (DOWNLOAD, 0))])
def test_a_kill_at_the_creation_or_download_of_a_batch_costs_nothing(effective, point):
    """Killed before or after the request takes effect, a process is followed by one that pays for nothing again."""
    assert_nothing_is_paid_for_twice(effective, point)


@pytest.mark.slow
@each(("effective", "point"), [*((True, point) for point in AFTER), *((False, point) for point in BEFORE)])
def test_a_kill_at_any_request_costs_nothing(effective, point):
    """The same before or after each of the requests that a batch takes."""
    assert_nothing_is_paid_for_twice(effective, point)


def test_another_run_does_not_take_over_batches():
    """A process of another run recovers nothing, and sends all requests itself."""

    async def main():
        async with listening(Provider()) as provider:
            for identity in ("run 1", "run 2"):
                await ended(await child(spec_of(provider.url), identity=identity))
            return provider

    provider = asyncio.run(main())
    assert len(provider.computed) == 2 * STEPS


def four_polled(totals):
    """Whether four batches were created, and each was polled for the first time."""
    return sum("batch_" in path for path in totals.paths) >= 4


def test_hundreds_of_requests_survive_a_kill_after_they_were_sent():
    """After SIGKILL once all batches are created, the second process sends nothing again and gets all answers.

    The server's records show it, while batches end shuffled, with duplicates and in part expired.
    """
    trials = [Trials(polls=10**9, shuffled=True, doubled=0.2, seed=number) for number in range(4)]
    with serving(batch=lambda number: trials[number]) as server:
        spec = f"openai-batch/noise@{server.url},gather=5,poll=0.02,batch=100"

        async def main():
            first = await child(spec, 400, 2)
            assert await asyncio.to_thread(server.ledger.wait_for, four_polled, PATIENCE_SECONDS)
            assert first.returncode is None
            first.kill()
            await first.wait()
            for trial in trials:
                object.__setattr__(trial, "polls", 1)
            return await ended(await child(spec, 400, 2))

        got = asyncio.run(main())
        lines = Counter(entry.custom_id for entry in server.ledger.entries if entry.custom_id)
        totals = server.ledger.totals
    assert [len(texts) for texts in got] == [2] * 400
    assert len(lines) == 400
    assert set(lines.values()) == {1}
    assert totals.paths["/v1/files"] == 4
