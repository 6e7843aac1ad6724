"""Sending a call until it is answered: the one owner of retries.

Samplers make one request and never try again, so that a try here is a request there, and a journal that has every try
has every request. A failure is waited out by the call that met it; where it is the provider that wants peace, by all
calls of the account.
"""

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from random import Random
from typing import Protocol

from unerring.core.pacing import FIRST
from unerring.core.sample import Sample, Settings
from unerring.errors import Interrupted, ProviderBusy, ProviderDown, ProviderError, ProviderGone
from unerring.runtime.gate import Gate, OpenGate, unless_stopped
from unerring.runtime.limits import StopRequest, Surroundings
from unerring.runtime.ports import Endpoint, Sampler

_CHANCE = Random()  # spreads waits; decides nothing


@dataclass(frozen=True, slots=True)
class Asked:
    """What one call asks: n samples of a prompt."""

    sampler: Sampler
    prompt: str
    settings: Settings
    n: int


class Book(Protocol):
    """Who keeps account of the tries of a call."""

    async def begin(self, asked: Asked) -> None:
        """A try is about to be sent; returns once that is on record, and there is money for it."""

    def failed(self, error: ProviderError) -> None:
        """It brought no sample."""

    def cancelled(self) -> None:
        """It was given up while under way."""


class NoBook:
    """Keeps no account."""

    async def begin(self, asked: Asked) -> None:
        pass

    def failed(self, error: ProviderError) -> None:
        pass

    def cancelled(self) -> None:
        pass


class Caller:
    """Sends calls, those of each account through its own gate."""

    def __init__(self, around: Surroundings, most: int = 256) -> None:
        """At most `most` calls to an account are under way at once."""
        self._around = around
        self._most = most
        self._gates: dict[str, Gate] = {}
        self._gate_of: dict[int, Gate | OpenGate] = {}
        self._calls = 0
        self._seconds = 0.0

    @property
    def latency(self) -> float | None:
        """How long calls took so far, seconds on average."""
        return self._seconds / self._calls if self._calls else None

    async def call(self, asked: Asked, book: Book, halt: StopRequest | None = None) -> list[Sample]:
        """The samples that a call brings, one at least, through all passing failures.

        Raises `ProviderGone` for a lasting failure or past all patience, and `Interrupted` where the run is to stop
        before it was answered, or `halt` is asked for.
        """
        stops = (self._around.stop,) if halt is None else (self._around.stop, halt)
        gate = self._gate(asked.sampler)
        failures, since = 0, 0.0
        while True:
            ticket = await gate.enter(*stops)
            try:
                samples = await self._sent(asked, book, stops)
            except ProviderBusy as failure:
                since = since if failures else self._around.clock.time()
                wait = self._around.patience.wait(failures, failure.retry_after, _CHANCE)
                shared = gate.leave(ticket, failure, wait)
                self._require_patience(failure, since, wait)
                failures += 1
            except BaseException:
                gate.end()
                raise
            else:
                gate.leave(ticket)
                return samples
            if not shared:
                await unless_stopped(self._around.clock, wait, *stops)
            for stop in stops:
                if stop.reason is not None:
                    raise Interrupted(stop.reason)

    async def _sent(self, asked: Asked, book: Book, stops: tuple[StopRequest, ...]) -> list[Sample]:
        """The samples of one try, with its account kept."""
        try:
            await book.begin(asked)
            started = self._around.clock.time()
            sampling = asked.sampler.sample(asked.prompt, asked.settings, asked.n)
            samples = checked(await (_unless_stopped(sampling, *stops) if deferred(asked.sampler) else sampling))
            if not samples:
                raise ProviderBusy("the model returned no sample")
        except (asyncio.CancelledError, Interrupted):
            book.cancelled()
            raise
        except ProviderDown as error:
            book.failed(error)
            raise ProviderGone(str(error)) from error
        except ProviderBusy as error:
            book.failed(error)
            raise
        self._calls += 1
        self._seconds += self._around.clock.time() - started
        return samples

    def _gate(self, sampler: Sampler) -> Gate | OpenGate:
        gate = self._gate_of.get(id(sampler))  # to ask whether it is an endpoint takes longer than all the rest
        if gate is None:
            gate = _OPEN
            if isinstance(sampler, Endpoint):
                most = max(self._most, getattr(sampler, "at_once", 0))
                new = Gate(self._around.clock, self._around.patience, most, getattr(sampler, "at_once", FIRST))
                gate = self._gates.setdefault(sampler.account, new)
            self._gate_of[id(sampler)] = gate
        return gate

    def _require_patience(self, failure: ProviderBusy, since: float, wait: float) -> None:
        """Raise `ProviderGone` where failures went on since `since`, and the next wait is beyond all patience."""
        away, most = self._around.clock.time() - since, self._around.patience.total
        if away + wait > most:
            raise ProviderGone(
                f"the provider failed for {away:.0f} s on end and asks for {failure.retry_after or wait:.0f} s more, "
                f"beyond the run's patience of {most:.0f} s; last: {failure}"
            ) from failure


_OPEN = OpenGate()


def deferred(sampler: Sampler) -> bool:
    """Whether it answers many calls together, hours later (`at_once` of them): nothing is to wait for that in vain."""
    return hasattr(sampler, "at_once")


async def _unless_stopped(sampling: Coroutine[None, None, Sequence[Sample]], *stops: StopRequest) -> Sequence[Sample]:
    """What a call brings; raises `Interrupted` once one of the stops is asked for, and gives the call up."""
    asking = asyncio.ensure_future(sampling)
    ended: asyncio.Future[Sequence[Sample]] = asyncio.get_running_loop().create_future()
    for stop in stops:
        stop.ends(ended)
    try:
        await asyncio.wait([asking, ended], return_when=asyncio.FIRST_COMPLETED)
        if not asking.done():
            await ended  # which raises
        return asking.result()
    finally:
        asking.cancel()
        ended.cancel()
        for stop in stops:
            stop.spares(ended)


def checked(samples: Sequence[Sample]) -> list[Sample]:
    """The samples as a list; raises `TypeError` for a sampler that breaks its contract."""
    if not isinstance(samples, Sequence) or isinstance(samples, str):
        raise TypeError(f"a sampler returns a list of samples, not {type(samples).__name__}")
    for sample in samples:
        if not isinstance(sample, Sample) or not isinstance(sample.text, str):
            raise TypeError(f"a sampler returns samples with text, not {sample!r}")
    return list(samples)
