"""Deadlines of many calls share one timer."""

import asyncio

import pytest

from unerring.adapters.http.deadlines import Deadlines

LONG, SHORT = 60.0, 0.02  # seconds


def run(work, seconds=SHORT):
    async def main():
        return await work(Deadlines(asyncio.get_running_loop(), seconds))

    return asyncio.run(main())


async def forever():
    await asyncio.get_running_loop().create_future()


def test_a_call_past_its_deadline_times_out():
    """A `TimeoutError` is raised when the time is over, not sooner."""

    async def work(deadlines):
        loop = asyncio.get_running_loop()
        began = loop.time()
        with pytest.raises(TimeoutError), deadlines():
            await forever()
        assert loop.time() - began >= SHORT
        assert asyncio.current_task().cancelling() == 0

    run(work)


def test_a_call_in_time_is_left_alone():
    """A result or exception passes, and no timer stays that could end a later call."""

    async def work(deadlines):
        with deadlines():
            await asyncio.sleep(0)
        with pytest.raises(ValueError, match="mine"), deadlines():
            raise ValueError("mine")
        await asyncio.sleep(2 * SHORT)  # past the deadline of both

    run(work)


def test_a_cancellation_stays_a_cancellation():
    """A task cancelled by other code ends as cancelled, also if its deadline comes at the same time."""

    async def work(deadlines):
        async def held():
            with deadlines():
                await forever()

        task = asyncio.create_task(held())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

        async def both():
            with deadlines() as deadline:
                deadline.expire()
                asyncio.current_task().cancel()
                await forever()

        with pytest.raises(asyncio.CancelledError):
            await asyncio.create_task(both())

    run(work, LONG)


def test_calls_end_in_their_order():
    """Calls that began one after the other each have their own deadline, in any order of ending."""

    async def work(deadlines):
        loop = asyncio.get_running_loop()
        ended = []

        async def call(number, quick):
            began = loop.time()
            try:
                with deadlines():
                    await (asyncio.sleep(0) if quick else forever())
            except TimeoutError:
                assert loop.time() - began >= SHORT
                ended.append(number)

        calls = []
        for number in range(30):
            calls.append(asyncio.create_task(call(number, number % 3 == 0)))
            await asyncio.sleep(SHORT / 20)
        await asyncio.gather(*calls)
        assert ended == [number for number in range(30) if number % 3]

    run(work)


def test_one_timer_serves_thousands_of_calls():
    """For any number of calls at most one timer waits in the loop."""

    async def work(deadlines):
        loop = asyncio.get_running_loop()
        for _ in range(2000):
            with deadlines():
                pass
        assert len(loop._scheduled) <= 1

    run(work, LONG)


def test_a_call_that_lingers_after_its_end_is_cancelled_once():
    """A call that takes time to clean up is not cancelled a second time when others are."""

    async def work(deadlines):
        cancelled = []

        async def cleaned_up():
            try:
                await forever()
            except asyncio.CancelledError:
                cancelled.append(1)
                await asyncio.sleep(3 * SHORT)
                raise

        async def lingering():
            with pytest.raises(TimeoutError), deadlines():
                await cleaned_up()

        async def other():
            await asyncio.sleep(SHORT / 2)
            with pytest.raises(TimeoutError), deadlines():
                await forever()

        await asyncio.gather(lingering(), other())
        assert cancelled == [1]

    run(work)


def test_a_restarted_deadline_has_its_whole_time_again():
    """A call whose deadline is restarted in time continues, and ends once it is no longer restarted."""

    async def work(deadlines):
        loop = asyncio.get_running_loop()
        began = loop.time()

        async def restarting():
            with deadlines() as deadline:
                while loop.time() - began < 3 * SHORT:
                    deadline.restart()
                    await asyncio.sleep(0)
                await forever()

        with pytest.raises(TimeoutError):
            await restarting()
        assert loop.time() - began >= 3 * SHORT

    run(work)
