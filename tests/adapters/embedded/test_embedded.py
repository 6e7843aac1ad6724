"""Samplers of the embedded models."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Coroutine
from typing import TypeVar

import pytest
from embedded_steps import GAME, prompt, some_steps

from tables import each
from unerring.adapters.embedded import engine as embedded_member
from unerring.adapters.embedded.catalog import EMBEDDED_POLICY, MEMBERS
from unerring.adapters.embedded.engine import EnsembleMember, GreedyAnswer, Tokens
from unerring.adapters.embedded.sampler import EmbeddedSampler
from unerring.core.voting.canonical import canonical
from unerring.core.voting.race import Race, Won
from unerring.core.voting.redflag import RedFlag
from unerring.core.voting.sample import Finish, Sample, Settings
from unerring.errors import InputError

T = TypeVar("T")


def at(step: int, temperature: float = 1.0, slot: int = 0, seed: int = 0, limit: int = 32) -> Settings:
    return Settings(temperature, limit, seed, step, slot)


def using(work: Callable[[EmbeddedSampler], Coroutine[None, None, T]], spec: str = "embedded", seed: int = 0) -> T:
    """Run some work with a sampler, and close it."""

    async def run() -> T:
        sampler = EmbeddedSampler(spec, seed)
        try:
            return await work(sampler)
        finally:
            sampler.close()

    return asyncio.run(run())


def test_votes_rotate_over_the_members() -> None:
    """Sample number i of a step is answered by member a, b or c in turn, whichever numbers a call asks for."""
    samples = using(lambda sampler: sampler.sample(prompt(5), at(5, slot=4), 5))
    assert [sample.voter for sample in samples] == [f"embedded/{name}" for name in "bcabc"]


@each("name", MEMBERS)
def test_a_member_can_be_asked_alone(name: str) -> None:
    """`embedded/b` answers all samples with member b."""
    samples = using(lambda sampler: sampler.sample(prompt(5), at(5), 4), f"embedded/{name}")
    assert [sample.voter for sample in samples] == [f"embedded/{name}"] * 4


@each("spec", ["embedded/d", "embedded/", "embedded/a/b", "embedded/digits/d", "digits", "other"])
def test_an_unknown_member_is_refused(spec: str) -> None:
    """A member other than the three is refused in one line."""
    with pytest.raises(
        InputError, match=r"there are: embedded and embedded/digits, their members \(/a, /b, /c, /draft\)$"
    ):
        EmbeddedSampler(spec)


@each("text", ["What is the capital of France?", prompt(5) + "!", "clockwise last = [1, 21x"])
def test_words_outside_the_vocabulary_are_refused(text: str) -> None:
    """A prompt that is not one of the compact prompts is refused, not answered."""
    with pytest.raises(InputError, match="knows only the compact Towers of Hanoi prompts"):
        using(lambda sampler: sampler.sample(text, at(0), 1))


def test_without_its_engine_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """If ctranslate2 is missing, one line names the extra to install."""
    for module in ("worker", "engine"):
        monkeypatch.delitem(sys.modules, f"unerring.adapters.embedded.{module}", raising=False)
    monkeypatch.setitem(sys.modules, "ctranslate2", None)
    with pytest.raises(InputError, match=r"pip install 'unerring\[embedded\]'"):
        EmbeddedSampler()


def test_the_policy_loads_without_the_engine() -> None:
    """Importing the adapter loads neither ctranslate2 nor numpy; making a sampler does."""
    code = (
        "import sys, unerring.adapters.embedded.sampler; sys.exit(bool({'ctranslate2', 'numpy'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_calls_made_at_once_are_answered_in_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls that wait while the member is busy share passes of the engine."""
    passes: list[int] = []
    one_pass = EnsembleMember._pass

    def counted(
        self: EnsembleMember, starts: list[Tokens], proposals: list[Tokens], settled: list[int]
    ) -> list[GreedyAnswer]:
        passes.append(len(starts))
        return one_pass(self, starts, proposals, settled)

    monkeypatch.setattr(EnsembleMember, "_pass", counted)

    async def work(sampler: EmbeddedSampler) -> None:
        await asyncio.gather(*(sampler.sample(prompt(step), at(step, 0.0), 1) for step in some_steps(96)))

    using(work, "embedded/a")
    assert 96 <= sum(passes) <= 100  # a wrong draft takes another pass
    assert len(passes) < 96 / 4
    assert max(passes) == embedded_member.MAX_PASS_PROMPTS


def test_the_event_loop_runs_while_the_engine_works(monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine works in another thread, so a long batch does not block the loop."""
    entered, leave = threading.Event(), threading.Event()
    one_pass = EnsembleMember._pass

    def held(
        self: EnsembleMember, starts: list[Tokens], proposals: list[Tokens], settled: list[int]
    ) -> list[GreedyAnswer]:
        entered.set()
        assert leave.wait(10)
        return one_pass(self, starts, proposals, settled)

    monkeypatch.setattr(EnsembleMember, "_pass", held)

    async def work(sampler: EmbeddedSampler) -> None:
        asked = asyncio.ensure_future(sampler.sample(prompt(5), at(5), 1))
        while not entered.is_set():
            await asyncio.sleep(0)
        assert not asked.done()
        leave.set()
        assert len(await asked) == 1

    using(work, "embedded/a")


def test_a_failure_of_the_engine_reaches_every_caller_that_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error in the engine's thread is raised in the calls of its batch, and the next call works."""
    broken = [True]
    one_pass = EnsembleMember._pass

    def failing(
        self: EnsembleMember, starts: list[Tokens], proposals: list[Tokens], settled: list[int]
    ) -> list[GreedyAnswer]:
        if broken[0]:
            raise MemoryError("no room")
        return one_pass(self, starts, proposals, settled)

    monkeypatch.setattr(EnsembleMember, "_pass", failing)

    async def work(sampler: EmbeddedSampler) -> None:
        calls = [sampler.sample(prompt(step), at(step), 3) for step in some_steps(4)]
        assert [type(e) for e in await asyncio.gather(*calls, return_exceptions=True)] == [MemoryError] * 4
        broken[0] = False
        assert len(await sampler.sample(prompt(5), at(5), 3)) == 3

    using(work)


def test_a_cancelled_call_leaves_the_others_alone() -> None:
    """After one waiting call is cancelled, the other calls of its batch get their answers."""

    async def work(sampler: EmbeddedSampler) -> None:
        calls = [asyncio.ensure_future(sampler.sample(prompt(step), at(step), 3)) for step in some_steps(40)]
        await asyncio.sleep(0)
        for call in calls[::2]:
            call.cancel()
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert all(isinstance(result, asyncio.CancelledError) for result in results[::2])
        assert all(isinstance(result, list) and len(result) == 3 for result in results[1::2])

    using(work)


def test_closing_cancels_waiting_calls() -> None:
    """A call still in the queue when the sampler closes is cancelled."""

    async def work() -> None:
        sampler = EmbeddedSampler()
        calls = [asyncio.ensure_future(sampler.sample(prompt(step), at(step), 3)) for step in some_steps(200)]
        await asyncio.sleep(0)
        sampler.close()
        results = await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), 10)
        assert any(isinstance(result, asyncio.CancelledError) for result in results)
        with pytest.raises(RuntimeError, match="closed"):
            await sampler.sample(prompt(5), at(5), 1)

    asyncio.run(work())


BUSY = """
import asyncio, sys
from unerring.adapters.embedded.sampler import EmbeddedSampler
from unerring.core.voting.sample import Settings
sampler = EmbeddedSampler()
text = "clockwise last = none state = [[3, 2, 1], [], []]\\n"
async def work():
    calls = [asyncio.ensure_future(sampler.sample(text, Settings(3.0, 64, 0, i, 0), 3)) for i in range(20000)]
    await calls[0]
    print("busy", flush=True)
    if sys.argv[1] == "interrupted":
        await asyncio.gather(*calls)
asyncio.run(work())
"""


@each("ending", ["interrupted", "left"])
def test_python_ends_promptly_with_an_open_sampler(ending: str) -> None:
    """Neither Ctrl-C nor leaving with calls in the queue makes the process hang or crash."""
    with subprocess.Popen(
        [sys.executable, "-c", BUSY, ending], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"busy\n"
            if ending == "interrupted":
                os.kill(process.pid, signal.SIGINT)
            _, errors = process.communicate(timeout=150)
        finally:
            process.kill()
    if ending == "interrupted":
        assert b"KeyboardInterrupt" in errors
        assert process.returncode in (1, 130, -signal.SIGINT)
    else:
        assert (process.returncode, errors) == (0, b"")


def test_a_sample_depends_on_seed_step_and_slot_only() -> None:
    """The same seed, step and slot give the same sample: alone or among many, in one call or in several."""
    steps = some_steps(3)

    async def together(sampler: EmbeddedSampler) -> list[list[Sample]]:
        calls = (sampler.sample(prompt(step), at(step, 3.0), 6) for step in steps)
        return [list(samples) for samples in await asyncio.gather(*calls)]

    async def apart(sampler: EmbeddedSampler) -> list[list[Sample]]:
        found = []
        for step in reversed(steps):
            slots = (await sampler.sample(prompt(step), at(step, 3.0, slot), 2) for slot in (0, 2, 4))
            found.append([sample async for samples in slots for sample in samples])
        return found[::-1]

    assert using(together) == using(apart)


def test_another_seed_gives_other_samples() -> None:
    """Another seed of the run, or of the sampler, gives different samples."""

    def texts(run: int, own: int) -> list[str]:
        async def work(sampler: EmbeddedSampler) -> list[str]:
            calls = (sampler.sample(prompt(step), at(step, 3.0, seed=run), 3) for step in some_steps(2))
            return [sample.text for samples in await asyncio.gather(*calls) for sample in samples]

        return using(work, seed=own)

    first, other_run, other_sampler = texts(0, 0), texts(1, 0), texts(0, 1)
    assert len({tuple(first), tuple(other_run), tuple(other_sampler)}) == 3


def test_greedy_samples_are_all_the_same() -> None:
    """At temperature 0 a member always gives its most likely answer, whatever the seed."""

    async def work(sampler: EmbeddedSampler) -> None:
        samples = [
            *await sampler.sample(prompt(5), at(5, 0.0), 3),
            *await sampler.sample(prompt(5), at(6, 0.0, 9, 1), 3),
        ]
        assert len({sample.text for sample in samples}) == 1

    using(work, "embedded/a")


def test_an_answer_over_the_limit_is_cut_off() -> None:
    """An answer is cut at max_output_tokens, and the sample says so."""

    async def work(sampler: EmbeddedSampler) -> None:
        (whole,) = await sampler.sample(prompt(5), at(5, 0.0, limit=64), 1)
        length = whole.usage.output_tokens
        (just,) = await sampler.sample(prompt(5), at(5, 0.0, limit=length), 1)
        (cut,) = await sampler.sample(prompt(5), at(5, 0.0, limit=length - 1), 1)
        assert whole == just
        assert whole.finish is Finish.STOP
        assert (cut.finish, cut.usage.output_tokens) == (Finish.LENGTH, length - 1)
        assert cut.usage.input_tokens == whole.usage.input_tokens == 29
        assert cut.text == whole.text  # only the end token is missing

    using(work)


def test_an_endless_answer_ends_at_the_models_own_maximum() -> None:
    """Whatever a call allows, no answer has more than 64 tokens."""

    async def work(sampler: EmbeddedSampler) -> list[Sample]:
        return list(await sampler.sample(prompt(5), at(5, 50.0, limit=10_000), 8))

    longest = max(using(work, "embedded/a"), key=lambda sample: sample.usage.output_tokens)
    assert (longest.usage.output_tokens, longest.finish) == (64, Finish.LENGTH)


def test_voting_by_the_shipped_policy_is_right_on_two_hundred_steps() -> None:
    """Each of 200 random steps of the run of 20 disks is decided correctly."""
    policy = EMBEDDED_POLICY

    async def decide(sampler: EmbeddedSampler, step: int) -> None:
        state = GAME.state_at(step)
        subtask = GAME.subtask(state)
        assert subtask is not None
        race: Race[str] = Race(policy.rule, policy.vote_cap)
        slot = 0
        while missing := race.missing():
            settings = at(step, policy.temperature(slot), slot, limit=policy.flags.max_output_tokens)
            for sample in await sampler.sample(prompt(step), settings, missing):
                slot += 1
                try:
                    if policy.flags.screen(sample) is None:
                        race.tell(canonical(subtask.parse(sample.text)))
                except RedFlag:
                    continue
        assert race.verdict == Won(canonical(GAME.truth(state)))

    async def work(sampler: EmbeddedSampler) -> None:
        await asyncio.gather(*(decide(sampler, step) for step in some_steps(200, seed=2)))

    using(work)
