"""Exceptions in a model's own code are a failure or end the run, and are never retried without end."""

import asyncio
from decimal import Decimal
from enum import IntEnum
from itertools import product

import pytest

import unerring
from chain_runs import K1, Words, arun, opening, run
from replay import replay
from unerring.adapters.function import FunctionSampler
from unerring.core.checked_chain import CheckedChain
from unerring.core.journal.entries import Cancelled, Failed, Intent, Replies
from unerring.core.user_code import WrongReturn
from unerring.core.voting.policy import Policy
from unerring.errors import ProviderGone
from unerring.runtime.calls.ledger import Ledger
from unerring.runtime.calls.patience import Patience
from unerring.runtime.config import RunConfig, Speculation, StopRequest
from unerring.runtime.outcome_guard import MAX_UNANSWERED_SAMPLES, OutcomeGuard
from unerring.runtime.pilot import pilot_policy
from unerring.runtime.question import question_of
from unerring.runtime.sampling import Sampling
from unerring.testing import MemoryJournal
from virtual_time import LoopClock, Says, Slow, ahead, always_a, virtually

MOST_CALLS = 200  # of a run of 3 steps within its patience: what asks without end makes thousands
PATIENCE = Patience(first=1.0, longest=8.0, total=60.0)


class Raising:
    """A sampler whose calls raise what `does` makes, or return nothing, from step 1 on; it counts them."""

    name = "raising"
    compact = False

    def __init__(self, does, paid=True, directly=True):
        self.paid = paid
        self.calls = 0
        self._does = does
        self._directly = directly

    async def sample(self, prompt, settings, n):
        self.calls += 1
        await asyncio.sleep(0.01)
        if settings.step == 0:
            return [unerring.Sample("a", voter=self.name)] * n
        if self.calls > 2 * MOST_CALLS:
            raise ConnectionAbortedError("asked without end")
        if self._directly:
            return await self._child()
        return (await asyncio.gather(self._child()))[0]

    async def _child(self):
        error = self._does()
        if error is not None:
            raise error
        return []


def cancel_own_task():
    """Cancel the task that the call runs in, as a wrong use of cancel scopes does."""
    asyncio.current_task().cancel()
    return asyncio.CancelledError()


def nothing():
    return None


# what a call does -> what ends the run, None where any end is right
OUTCOMES = {
    asyncio.CancelledError: ProviderGone,
    cancel_own_task: None,
    asyncio.InvalidStateError: asyncio.InvalidStateError,
    SystemExit: RuntimeError,
    StopIteration: RuntimeError,
    StopAsyncIteration: None,
    MemoryError: MemoryError,
    RecursionError: RecursionError,
    nothing: ProviderGone,
}


def rows():
    """Every outcome of a paid or a free model, with speculation or without, in a task of its own or not.

    Two are left out: `SystemExit` in a task that a sampler made itself ends the event loop whatever is done here, and
    what cancels its own task has cancelled the run where that asks one step after the other.
    """
    for does, paid, looks_ahead, directly in product(OUTCOMES, (True, False), (True, False), (True, False)):
        if (does, directly) != (SystemExit, False) and (does, looks_ahead, directly) != (cancel_own_task, False, True):
            yield does, paid, looks_ahead, directly


def test_no_outcome_without_a_sample_is_retried_without_end():
    """If calls bring anything but samples, a run ends within its patience after few calls, and says what happened.

    A call that the model's own code cancelled is not one that the run abandoned, and each call of a paid model has its
    outcome on record.
    """
    wrong = []
    for does, paid, looks_ahead, directly in rows():
        sampler = Raising(does, paid, directly)
        speculation = Speculation(lambda _: "a") if looks_ahead else None
        outcome = virtually(arun(Words(3), sampler, K1, clock=LoopClock(), patience=PATIENCE, speculation=speculation))
        intents, replies, failed = outcome.of(Intent), outcome.of(Replies), outcome.of(Failed, Cancelled)
        held = (
            sampler.calls <= MOST_CALLS
            and isinstance(outcome.error, OUTCOMES[does] or BaseException)
            and (does is cancel_own_task or len(intents) == (len(replies) + len(failed)) * paid)
        )
        if not held:
            wrong.append((does.__name__, paid, looks_ahead, directly, sampler.calls, outcome.error, len(intents)))
    assert wrong == []


def test_a_model_function_that_cancels_itself_is_asked_again_a_few_times_only():
    """A function that raises `CancelledError` by itself is retried with backoff, and then the run stops."""
    called = []

    async def model(prompt, settings):
        called.append(settings.step)
        assert len(called) < 2 * MOST_CALLS, "asked without end"
        await asyncio.sleep(0.001)
        raise asyncio.CancelledError

    options = unerring.Options(policy=K1, clock=LoopClock(), patience=PATIENCE)
    with pytest.raises(ProviderGone, match="CancelledError"):
        virtually(unerring.arun(Words(3), model, options=options))
    assert len(called) < MOST_CALLS


def test_what_threads_of_a_model_raise_ends_the_run_and_not_the_process():
    """`sys.exit()`, `KeyboardInterrupt` and `GeneratorExit` of a plain function are errors of its own code."""

    def raising(error):
        def model(prompt, settings):
            raise error

        return model

    for error in (SystemExit(3), KeyboardInterrupt(), GeneratorExit(), StopIteration()):
        for speculate in ("leader", "off"):
            with pytest.raises(RuntimeError, match=type(error).__name__) as raised:
                unerring.run(Words(2), raising(error), options=unerring.Options(policy=K1, speculate=speculate))
            assert any("model() of step 0" in note for note in raised.value.__notes__)


def test_a_drafting_model_that_cancels_itself_is_left_alone_for_a_while():
    """A draft that cancels itself is a failed one, with backoff: guessing continues, and the votes decide."""
    drafter = Raising(asyncio.CancelledError)
    outcome = virtually(
        arun(
            Words(60),
            Slow(Says(always_a)),
            K1,
            clock=LoopClock(),
            patience=PATIENCE,
            speculation=Speculation(drafter),
        )
    )
    assert (outcome.error, outcome.at) == (None, ["a"] * 60)
    assert 1 < drafter.calls < 20
    assert len(outcome.of(Failed)) >= 1


def test_a_process_that_cancels_itself_ends_the_run():
    """`CancelledError` from a process's own parser or guess ends the run, without a retry."""

    def cancels(text):
        raise asyncio.CancelledError

    sampler = Slow(Says(always_a), paid=True)
    outcome, _ = ahead(Words(3, parse=cancels), sampler, K1)
    assert isinstance(outcome.error, RuntimeError)
    assert len(sampler.calls) < 10
    outcome, _ = ahead(Words(3), Slow(Says(always_a)), K1, Speculation(cancels))
    assert isinstance(outcome.error, RuntimeError)


def test_a_step_asked_too_often_without_an_outcome_stops_the_run():
    """Past its caps a step is not asked for further samples if its calls have no outcome.

    A pilot's caps are beyond any number of samples that it draws: there the number of calls in flight bounds them.
    """

    async def main(policy, silent):
        state, chain = replay([opening(Words(1), policy)]), Words(1)
        sampling = Sampling(Slow(Says(always_a), 60.0), Ledger(state, MemoryJournal()), RunConfig())
        question = question_of(CheckedChain(chain), state, 0, [], state.last_digest)
        in_flight = []
        for _ in range(silent):
            [call] = sampling.calls(question, [0], StopRequest())
            call.drawn.send(None)  # it is sent, and has no outcome
            in_flight.append(call.drawn)
        [call] = sampling.calls(question, [0], StopRequest())
        with pytest.raises(ProviderGone, match="step 0 was asked for"):
            await call.drawn
        for drawn in in_flight:
            drawn.close()

    asyncio.run(main(K1, K1.vote_cap * (1 + K1.flag_cap)))
    asyncio.run(main(pilot_policy(Policy(), 0.1), MAX_UNANSWERED_SAMPLES + 2 * RunConfig().in_flight))


def test_calls_with_an_outcome_and_abandoned_calls_do_not_count():
    """Only calls without an outcome count for that guard, however many calls a step had."""
    state, most = replay([opening(Words(1), K1)]), K1.vote_cap * (1 + K1.flag_cap)
    guard, question = (
        OutcomeGuard(Ledger(state, MemoryJournal()), 256),
        question_of(CheckedChain(Words(1)), state, 0, [], "at"),
    )
    for _ in range(2 * most):
        guard.asked(question, 1)
        guard.ended(question, 1, given_up=False)
    for _ in range(most - 1):
        guard.asked(question, 1)  # no outcome
        guard.asked(question, 1)
        guard.ended(question, 1, given_up=True)
    guard.asked(question, 1)
    with pytest.raises(ProviderGone):
        guard.asked(question, 1)


WRONG_FIELDS = [
    {"text": b"a"},
    {"usage": None},
    {"usage": unerring.Usage(1.5, 1)},
    {"usage": unerring.Usage(1, Decimal(1))},
    {"usage": unerring.Usage(1, 1, True)},
    {"usage": unerring.Usage(-250, 1)},
    {"usage": unerring.Usage(1, -1)},
    {"usage": unerring.Usage(100, 1, 101)},
    {"usage": unerring.Usage(10**16, 1)},
    *({"logprob": value} for value in (5.0, float("-inf"), float("nan"), "-0.5", True)),
    {"finish": "stop"},
    {"cached": "no"},
    {"seconds": "1"},
    *({name: value} for name in ("voter", "reply_id", "served", "reason", "note") for value in (7, b"id")),
]


@pytest.mark.parametrize("given", WRONG_FIELDS, ids=str)
def test_a_sample_with_a_wrong_field_is_refused_before_it_is_written(given):
    """The error names the model, the step, the field and the line of the model's function."""

    def model(prompt, settings):
        return unerring.Sample(**({"text": "a", "usage": unerring.Usage(1, 1), "voter": "own"} | given))

    outcome = run(Words(2), FunctionSampler(model), K1)
    assert isinstance(outcome.error, WrongReturn)
    [field] = given
    line = model.__code__.co_firstlineno
    said = str(outcome.error)
    assert said.startswith(f"function model() of step 0 returned a Sample whose {field} is "), said
    assert said.endswith(f"({__file__}, line {line})"), said
    assert not [entry for entry in outcome.journal.entries() if isinstance(entry, Replies)]


def test_a_sampler_with_a_wrong_sample_or_a_wrong_worst_case_is_named():
    """The error of a sampler class names its method, the step and the line, also for the worst case of a call."""

    class Wrong:
        name, paid, compact, account = "own", True, False, "own"

        def __init__(self, worst, sample):
            self._worst, self._sample = worst, sample

        def worst(self, prompt, settings, n):
            return self._worst

        async def sample(self, prompt, settings, n):
            return [self._sample] * n

        async def aclose(self):
            pass

    negative, fine = unerring.Usage(-5, 1), unerring.Usage(50, 50)
    for worst, used, method in ((negative, fine, "worst"), (None, fine, "worst"), (fine, negative, "sample")):
        outcome = run(Words(2), Wrong(worst, unerring.Sample("a", used)), K1)
        assert isinstance(outcome.error, WrongReturn)
        assert str(outcome.error).startswith(f"own.{method}() of step 0 returned ")
        assert f"({__file__}, line " in str(outcome.error)


class Text(str):
    """A subclass of `str`, like numpy's."""

    __slots__ = ()

    def __str__(self):
        return "another"


class Number(IntEnum):
    """Whole numbers of a subclass of `int`."""

    FIVE = 5


@pytest.mark.parametrize("whole", [False, True], ids=["text", "sample"])
def test_texts_and_numbers_of_subclasses_are_journaled_as_built_in_ones(tmp_path, whole):
    """A model whose texts and counts are of subclasses of `str` and `int` runs and resumes like any other."""
    names = {name: Text(name) for name in ("voter", "reply_id", "served", "reason", "note")}

    def model(prompt, settings):
        text = Text("a")
        usage = unerring.Usage(Number.FIVE, Number.FIVE, Number.FIVE)
        return unerring.Sample(text, usage, logprob=-1, **names) if whole else text

    journal = tmp_path / "run.db"
    with pytest.raises(unerring.Stopped):
        unerring.run(Words(4), model, journal, k=2, options=unerring.Options(max_steps=2))
    assert unerring.run(Words(4), model, journal, k=2).state == ["a"] * 4
