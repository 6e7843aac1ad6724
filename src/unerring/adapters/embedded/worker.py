"""Worker threads between the event loop and the embedded models.

The event loop never waits for a model. Calls that come while all threads are busy are answered together, in one pass
of each member, which spreads the cost of Python over them.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeAlias

from unerring.adapters.embedded.engine import (
    MAX_PASS_PROMPTS,
    EnsembleMember,
    ScoredAnswer,
    Tokens,
    core_count,
    uniforms,
)
from unerring.core.voting.sample import Finish, Sample, Settings, Usage

# samples, the error of the engine, or None for a call that is cancelled
MemberAnswer: TypeAlias = list[Sample] | BaseException | None


@dataclass(frozen=True, slots=True, eq=False)
class MemberCall:
    """A queued call.

    start: the prompt's tokens.
    samples: the member's number of each sample, and the name of its random numbers.
    settings: the call's settings.
    answer: the future of the caller.
    """

    start: Tokens
    samples: tuple[tuple[int, str], ...]
    settings: Settings
    answer: asyncio.Future[list[Sample]]

    def deliver(self, samples: MemberAnswer) -> None:
        """Set the answer, on the event loop; None cancels. The caller may have been cancelled meanwhile."""
        if self.answer.done():
            return
        if samples is None:
            self.answer.cancel()
        elif isinstance(samples, BaseException):
            self.answer.set_exception(samples)
        else:
            self.answer.set_result(samples)


class WorkerPool:
    """The members of an ensemble, with one queue and a thread for each core.

    The threads are an executor's, which Python joins when it exits, even after Ctrl-C and without `stop`: a daemon
    thread that is killed inside the engine could crash the process.
    """

    def __init__(self, members: dict[str, EnsembleMember]) -> None:
        self._members = list(members.items())
        self._queue: deque[MemberCall] = deque()
        self._lock = threading.Lock()
        self._threads = core_count()
        self._busy = 0
        self._stopped = False
        self._executor = ThreadPoolExecutor(self._threads, thread_name_prefix="unerring-embedded")

    def ask(
        self, start: Tokens, samples: tuple[tuple[int, str], ...], settings: Settings
    ) -> asyncio.Future[list[Sample]]:
        """Queue a request; the future is of the running event loop."""
        answer: asyncio.Future[list[Sample]] = asyncio.get_running_loop().create_future()
        with self._lock:
            if self._stopped:
                raise RuntimeError("the sampler is closed")
            self._queue.append(MemberCall(start, samples, settings, answer))
            if self._busy < self._threads:
                self._busy += 1
                self._executor.submit(self._work)
        return answer

    def stop(self) -> None:
        """Accept no more calls, and cancel those that wait."""
        with self._lock:
            self._stopped = True
            dropped = list(self._queue)
            self._queue.clear()
        _hand_over([(request, None) for request in dropped])

    def join(self) -> None:
        """Wait for the running passes."""
        self._executor.shutdown(wait=True)

    def _work(self) -> None:
        """Answer batches until the queue is empty."""
        while batch := self._next():
            try:
                answered: list[tuple[MemberCall, MemberAnswer]]
                answered = [*zip(batch, self._answers(batch), strict=True)]
            except BaseException as error:
                answered = [(request, error) for request in batch]
            _hand_over(answered)

    def _next(self) -> list[MemberCall]:
        """The next batch: an equal share of the queue for each thread."""
        if not threading.main_thread().is_alive():
            self.stop()  # Python is exiting
        batch: list[MemberCall] = []
        with self._lock:
            share = min(MAX_PASS_PROMPTS, -(-len(self._queue) // self._threads))
            while self._queue and len(batch) < share:
                request = self._queue.popleft()
                if not request.answer.done():
                    batch.append(request)
            if not batch:
                self._busy -= 1
        return batch

    def _answers(self, batch: list[MemberCall]) -> list[list[Sample]]:
        answers: list[dict[int, Sample]] = [{} for _ in batch]
        for number, (voter, member) in enumerate(self._members):
            mine = [
                (request, answer, place, name)
                for request, answer in zip(batch, answers, strict=True)
                for place, (member_number, name) in enumerate(request.samples)
                if member_number == number
            ]
            if not mine:
                continue
            paths = member.likeliest([request.start for request, _, _, _ in mine])
            temperatures = [request.settings.temperature for request, _, _, _ in mine]
            drawn = member.draw(paths, temperatures, [uniforms(name) for _, _, _, name in mine])
            for (request, answer, place, _), written in zip(mine, drawn, strict=True):
                answer[place] = _sample(voter, member, request, written)
        return [[answer[place] for place in range(len(answer))] for answer in answers]


def _sample(voter: str, member: EnsembleMember, request: MemberCall, written: ScoredAnswer) -> Sample:
    kept = written.cut(request.settings.max_output_tokens)
    return Sample(
        text=member.tokenizer.decode(kept.tokens),
        usage=Usage(len(request.start), len(kept.tokens)),
        finish=Finish.STOP if kept.tokens[-1] == member.tokenizer.end else Finish.LENGTH,
        logprob=kept.mean_logprob(),
        voter=voter,
    )


def _hand_over(answered: Sequence[tuple[MemberCall, MemberAnswer]]) -> None:
    """Deliver answers, with one call for each event loop that waits for some."""
    loops: dict[asyncio.AbstractEventLoop, list[tuple[MemberCall, MemberAnswer]]] = {}
    for request, samples in answered:
        loops.setdefault(request.answer.get_loop(), []).append((request, samples))
    for loop, mine in loops.items():
        # the loop is closed: no caller waits on it
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(_deliver, mine)


def _deliver(answered: Sequence[tuple[MemberCall, MemberAnswer]]) -> None:
    for request, samples in answered:
        request.deliver(samples)
