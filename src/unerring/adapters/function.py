"""Any Python function as a sampler: the shortest way to bring a model of your own."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import TypeAlias

from unerring.core.sample import Sample, Settings
from unerring.errors import ProviderError

Answer: TypeAlias = str | Sample
Function: TypeAlias = Callable[[str, Settings], Answer | Awaitable[Answer]]


MOST_CALLS = 256  # at once; threads are made as calls need them


class FunctionSampler:
    """Calls `function(prompt, settings)` once for each sample, all of one step at once.

    The function may be async; a plain one runs in a thread. It returns the answer's text, or a whole `Sample`,
    and raises `ProviderBusy` or `ProviderDown` for failures of the model's side. Calls count as paid.
    """

    paid = True
    compact = False

    def __init__(self, function: Function) -> None:
        self._function = function
        # not asyncio's own pool, which has few threads on a small machine: calls wait for a model, not for a core
        self._threads = ThreadPoolExecutor(MOST_CALLS, thread_name_prefix="unerring-model")
        self.name = f"function {getattr(function, '__name__', type(function).__name__)}"

    async def sample(self, prompt: str, settings: Settings, n: int) -> Sequence[Sample]:
        # each sample is a call of its own, with its own number, so that it can be seeded by it
        each = [
            Settings(settings.temperature, settings.max_output_tokens, settings.seed, settings.step, settings.slot + i)
            for i in range(n)
        ]
        return leading(await asyncio.gather(*(self._one(prompt, one) for one in each), return_exceptions=True))

    async def _one(self, prompt: str, settings: Settings) -> Sample:
        if inspect.iscoroutinefunction(self._function):
            answer = await self._function(prompt, settings)
        else:
            loop = asyncio.get_running_loop()
            call = copy_context().run
            answer = await loop.run_in_executor(self._threads, call, self._function, prompt, settings)
            if inspect.isawaitable(answer):
                answer = await answer
        if isinstance(answer, str):
            return Sample(answer, voter=self.name)
        if isinstance(answer, Sample):
            return answer
        raise TypeError(f"{self.name} returned {answer!r}; a model's function returns text (str) or a Sample")

    def close(self) -> None:
        """Let the threads go."""
        self._threads.shutdown(wait=False)


def leading(outcomes: Sequence[Sample | BaseException]) -> list[Sample]:
    """The samples before the first failed call: they are paid for and kept, and the rest is asked for again.

    Raises the failure where it came first, or where it is a bug and not the provider's.
    """
    samples: list[Sample] = []
    for outcome in outcomes:
        if isinstance(outcome, Sample):
            samples.append(outcome)
        elif not samples or not isinstance(outcome, ProviderError):
            raise outcome
        else:
            break
    return samples
