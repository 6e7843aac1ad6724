"""A member's desk: its queue and its thread, between the event loop and the engine.

The event loop never waits for the engine, and whatever was asked of a member while it was busy is answered
together: a batch of 32 costs about half as much for each sample as they would cost alone.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from unerring.adapters.embedded_member import BATCH, Member, Written, uniforms
from unerring.core.sample import Finish, Sample, Settings, Usage

# samples, or the failure of the engine, or None for a call dropped unanswered
Answer: TypeAlias = list[Sample] | BaseException | None


@dataclass(frozen=True, slots=True, eq=False)
class Request:
    """What one call asks of one member: samples of one prompt, each named for its random numbers."""

    start: tuple[int, ...]
    names: tuple[str, ...]
    settings: Settings
    answer: asyncio.Future[list[Sample]]

    def deliver(self, samples: Answer) -> None:
        """Answer, on the event loop; None cancels. The caller may have been cancelled meanwhile."""
        if self.answer.done():
            return
        if samples is None:
            self.answer.cancel()
        elif isinstance(samples, BaseException):
            self.answer.set_exception(samples)
        else:
            self.answer.set_result(samples)


class Desk:
    """A member's queue and thread.

    The thread is an executor's, which Python ends in good order when it exits, even after Ctrl-C and without
    `stop`: a daemon thread could be killed inside the engine and take the process down with it.
    """

    def __init__(self, voter: str, member: Member) -> None:
        self.member = member
        self._voter = voter
        self._queue: deque[Request] = deque()
        self._lock = threading.Lock()
        self._busy = False
        self._stopped = False
        self._executor = ThreadPoolExecutor(1, thread_name_prefix=self._voter)

    def ask(self, start: tuple[int, ...], names: tuple[str, ...], settings: Settings) -> asyncio.Future[list[Sample]]:
        """Queue a request; the future is of the running event loop."""
        answer: asyncio.Future[list[Sample]] = asyncio.get_running_loop().create_future()
        with self._lock:
            if self._stopped:
                raise RuntimeError("the sampler is closed")
            self._queue.append(Request(start, names, settings, answer))
            if not self._busy:
                self._busy = True
                self._executor.submit(self._work)
        return answer

    def stop(self) -> None:
        """Take no more requests and drop those that wait."""
        with self._lock:
            self._stopped = True
            dropped = list(self._queue)
            self._queue.clear()
        _hand_over([(request, None) for request in dropped])

    def join(self) -> None:
        """Wait for the batch under way."""
        self._executor.shutdown(wait=True)

    def _work(self) -> None:
        """Answer batches until the queue is empty."""
        while batch := self._next():
            try:
                answered: list[tuple[Request, Answer]]
                answered = [*zip(batch, self._answers(batch), strict=True)]
            except BaseException as error:
                answered = [(request, error) for request in batch]
            _hand_over(answered)

    def _next(self) -> list[Request]:
        if not threading.main_thread().is_alive():
            self.stop()  # Python is on its way out
        batch: list[Request] = []
        size = 0
        with self._lock:
            while self._queue and size < BATCH:
                request = self._queue.popleft()
                if not request.answer.done():
                    batch.append(request)
                    size += len(request.names)
            self._busy = bool(batch)
        return batch

    def _answers(self, batch: list[Request]) -> list[list[Sample]]:
        each = [(request, name) for request in batch for name in request.names]
        paths = self.member.likeliest([request.start for request, _ in each])
        temperatures = [request.settings.temperature for request, _ in each]
        written = iter(self.member.draw(paths, temperatures, [uniforms(name) for _, name in each]))
        return [[self._sample(request, next(written)) for _ in request.names] for request in batch]

    def _sample(self, request: Request, written: Written) -> Sample:
        kept = written.cut(request.settings.max_output_tokens)
        tokenizer = self.member.tokenizer
        return Sample(
            text=tokenizer.decode(kept.tokens),
            usage=Usage(len(request.start), len(kept.tokens)),
            finish=Finish.STOP if kept.tokens[-1] == tokenizer.end else Finish.LENGTH,
            logprob=kept.mean_logprob(),
            voter=self._voter,
        )


def desk(voter: str, folder: Path) -> Desk:
    """A desk for the member whose model is in a folder; its samples name `voter`."""
    return Desk(voter, Member(folder))


def _hand_over(answered: Sequence[tuple[Request, Answer]]) -> None:
    """Deliver answers, with one call to each event loop that waits for any."""
    loops: dict[asyncio.AbstractEventLoop, list[tuple[Request, Answer]]] = {}
    for request, samples in answered:
        loops.setdefault(request.answer.get_loop(), []).append((request, samples))
    for loop, mine in loops.items():
        # a loop that is closed has nobody left who waits
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(_deliver, mine)


def _deliver(answered: Sequence[tuple[Request, Answer]]) -> None:
    for request, samples in answered:
        request.deliver(samples)
