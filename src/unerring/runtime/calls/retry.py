"""Send a call and retry it until it is answered. No other module retries.

Samplers send one request and never retry, so that each try is one request, and the journal has every request. The call
that failed waits before its retry; where the provider is rate-limiting, all calls of the account wait.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any, NamedTuple, Protocol

from unerring.core.short_text import short
from unerring.core.user_code import add_method_note, wrong_return
from unerring.core.voting.sample import Sample, Settings
from unerring.core.voting.sample_check import UnusableValue, checked_sample
from unerring.errors import FailureKind, Interrupted, ProviderBusy, ProviderDown, ProviderError, ProviderGone
from unerring.runtime.calls.failure_notices import FailureNotices
from unerring.runtime.calls.rate_control import FIRST_WINDOW_CALLS
from unerring.runtime.calls.rate_limiter import NoRateLimiter, RateLimiter
from unerring.runtime.calls.token_counts import with_possible_counts
from unerring.runtime.config import RunConfig, StopRequest, unless_stopped
from unerring.runtime.ensemble import as_failure, own_cancellation
from unerring.runtime.protocols import BatchEndpoint, Endpoint, Sampler


class CallRequest(NamedTuple):
    """A call for `n` samples of a prompt."""

    sampler: Sampler
    prompt: str
    settings: Settings
    n: int


class CallAccounting(Protocol):
    """Records the tries of a call and their cost."""

    async def begin(self, asked: CallRequest) -> None:
        """Record that a try is about to be sent; returns once that is durable and within the budget."""

    def failed(self, error: ProviderError) -> None:
        """Record that the try brought no sample."""

    def cancelled(self) -> None:
        """Record that the try was abandoned while in flight."""


class Caller:
    """Sends calls, with a rate limiter for each account."""

    def __init__(self, config: RunConfig, most: int = 256) -> None:
        """At most `most` calls to an account are in flight at once."""
        self._config = config
        self._most = most
        self._limiters: dict[str, RateLimiter] = {}
        self._limiter_by_sampler: dict[int, tuple[RateLimiter | NoRateLimiter, bool]] = {}
        self._failures = FailureNotices(config)
        self._calls = 0
        self._seconds = 0.0

    @property
    def latency(self) -> float | None:
        """The mean duration of calls so far, seconds; None before the first."""
        return self._seconds / self._calls if self._calls else None

    async def call(self, asked: CallRequest, accounting: CallAccounting, *halts: StopRequest) -> list[Sample]:
        """Send a call, retried after passing failures, and return its samples, at least one.

        Raises `ProviderGone` for a lasting failure or once the run's patience is over, and `Interrupted` where a stop
        of the run or one of `halts` is requested before it is answered. A try in flight at that moment is awaited,
        without counting in the rate limiter.
        """
        stops, account = (self._config.stop, *halts), account_of(asked.sampler)
        limiter, later = self._limiter_of(asked.sampler)
        failures, since = 0, 0.0
        for halt in halts:
            if halt.reason is not None:  # before it was sent
                raise Interrupted(halt.reason)
        while True:
            ticket = limiter.enter_now() or await limiter.enter(*stops)
            leave_limiter = _Once(limiter.end)
            for halt in halts:
                halt.call_on_stop(leave_limiter)
            try:
                samples = await self._sent(asked, accounting, stops if later else None, halts)
            except ProviderBusy as failure:
                since = since if failures else self._config.clock.time()
                self._failures.failed(account, asked.sampler.name, failure)
                wait = self._config.patience.wait(failures, failure.retry_after, self._config.chance)
                shared = leave_limiter.done or limiter.leave(ticket, failure, wait)
                self._config.patience.require_left(failure, self._config.clock.time() - since, wait)
                failures += 1
            except BaseException:
                leave_limiter()
                raise
            else:
                self._failures.answered(account)
                if not leave_limiter.done:
                    limiter.leave(ticket)
                return samples
            finally:
                for halt in halts:
                    halt.release(leave_limiter)
            if not shared:
                await unless_stopped(self._config.clock.sleep(wait), *stops)
            for stop in stops:
                if stop.reason is not None:
                    raise Interrupted(stop.reason)

    async def _sent(
        self,
        asked: CallRequest,
        accounting: CallAccounting,
        stops: tuple[StopRequest, ...] | None,
        halts: tuple[StopRequest, ...],
    ) -> list[Sample]:
        """Record and send one try; abandon it where one of `stops` is requested meanwhile."""
        await record_try(asked, accounting)
        started = self._config.clock.time()
        stop, abandoning = self._config.stop, [halt for halt in halts if halt.abandons]
        stop.in_flight += 1
        end = _Once(stop.count_ended_call)
        for halt in abandoning:
            halt.call_on_stop(end)
        try:
            samples = await receive(asked, accounting, stops)
        finally:
            end()
            for halt in abandoning:
                halt.release(end)
        self._calls += 1
        self._seconds += self._config.clock.time() - started
        return samples

    def _limiter_of(self, sampler: Sampler) -> tuple[RateLimiter | NoRateLimiter, bool]:
        """The rate limiter of a sampler's account, and whether its answers come hours later."""
        entry = self._limiter_by_sampler.get(id(sampler))  # cached: the type check takes longer than all the rest
        if entry is None:
            limiter: RateLimiter | NoRateLimiter = _UNLIMITED
            if isinstance(sampler, Endpoint):
                first = sampler.batch_calls if isinstance(sampler, BatchEndpoint) else FIRST_WINDOW_CALLS
                new = RateLimiter(self._config.clock, self._config.patience, max(self._most, first), first)
                limiter = self._limiters.setdefault(sampler.account, new)
            entry = self._limiter_by_sampler[id(sampler)] = limiter, isinstance(sampler, BatchEndpoint)
        return entry


class _Once:
    """A function that takes effect once, however often it is called: at the end of a call, or earlier by a stop."""

    __slots__ = ("_do", "done")

    def __init__(self, do: Callable[[], None]) -> None:
        self._do = do
        self.done = False

    def __call__(self) -> None:
        if not self.done:
            self.done = True
            self._do()


_UNLIMITED = NoRateLimiter()


async def record_try(asked: CallRequest, accounting: CallAccounting) -> None:
    """Record that a try is about to be sent; where that is interrupted, nothing was sent."""
    try:
        await accounting.begin(asked)
    except (asyncio.CancelledError, Interrupted):
        accounting.cancelled()
        raise


async def receive(
    asked: CallRequest, accounting: CallAccounting, stops: tuple[StopRequest, ...] | None = None
) -> list[Sample]:
    """Send one try and return its samples, at least one; every other outcome is recorded and raised.

    Raises `ProviderBusy` for a passing failure, `ProviderGone` for a lasting one, `Interrupted` where one of `stops`
    was requested, and `CancelledError` where the run cancelled the call. Any other error of the model's own code is
    raised with a note of model and step, and not retried.
    """
    try:
        sampling = asked.sampler.sample(asked.prompt, asked.settings, asked.n)
        samples = require_samples(await (sampling if stops is None else unless_stopped(sampling, *stops)), asked)
        if not samples:
            raise ProviderBusy("the model returned no sample")
        samples = with_possible_counts(asked.sampler, asked.prompt, asked.settings, samples)
    except Interrupted:
        accounting.cancelled()
        raise
    except asyncio.CancelledError as error:
        if cancelled_by_the_run():
            accounting.cancelled()
            raise
        failure = own_cancellation()
        accounting.failed(failure)
        raise failure from error
    except ProviderDown as error:
        accounting.failed(error)
        raise ProviderGone(str(error)) from error
    except ProviderBusy as error:
        accounting.failed(error)
        raise
    except (Exception, SystemExit) as error:
        accounting.failed(ProviderError(f"{type(error).__name__}: {error}", FailureKind.UNKNOWN))
        own = as_failure(error)
        add_method_note(own, asked.sampler.name, asked.settings.step)
        if own is error:
            raise
        raise own from error
    return samples


def cancelled_by_the_run() -> bool:
    """Whether the run cancelled the running task; if not, its `CancelledError` comes from the model's own code."""
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


def failure_of(call: "asyncio.Task[Any]") -> BaseException | None:
    """The error that ended a call, if any; a cancellation counts as one of the user's own code."""
    if call.cancelled():
        return RuntimeError("the model's or the process's own code cancelled a call (CancelledError)")
    return call.exception()


async def wait_for_all(work: Sequence[Coroutine[Any, Any, None]], halt: StopRequest) -> None:
    """Run all of this at once and wait for all of it; raises the first failure.

    After a failure `halt` is requested: calls in flight are paid for and still recorded, but none is retried.
    """
    if len(work) < 2:
        for one in work:
            await one
        return
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        _, unfinished = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        if unfinished:
            halt.ask("another call of the step failed")
            await asyncio.wait(unfinished)
    except asyncio.CancelledError:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        raise
    raise_first(map(failure_of, tasks))


def raise_first(failures: Iterable[BaseException | None]) -> None:
    """Raise the first failure, if any; an `Interrupted` only where there is no other, since another one caused it."""
    for error in sorted(filter(None, failures), key=lambda error: isinstance(error, Interrupted)):
        raise error


def account_of(sampler: Sampler) -> str:
    """The account that a sampler's failures are counted by, or its name where it has none."""
    account: str = getattr(sampler, "account", sampler.name)
    return account


def require_samples(samples: Sequence[Sample], asked: CallRequest) -> list[Sample]:
    """Return the samples as a list, with fields of exact types; raise `WrongReturn` for wrong ones."""
    sampler = asked.sampler
    try:
        if type(samples) is not list and (not isinstance(samples, Sequence) or isinstance(samples, str)):
            raise UnusableValue(f"returned {short(samples)}; a sampler returns a list of samples")
        has_worst_case = hasattr(sampler, "worst")
        return [checked_sample(sample, has_worst_case) for sample in samples]
    except UnusableValue as error:
        raise wrong_return(f"{sampler.name}.sample", str(error), asked.settings.step, sampler.sample) from None
