"""Any Python function as a sampler: the shortest way to bring a model of your own."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future
from contextvars import copy_context
from dataclasses import replace
from threading import Thread
from typing import TypeAlias

from unerring.core.sample import Sample, Settings
from unerring.core.user_code import noted, short, wrong_return
from unerring.errors import ProviderError
from unerring.runtime.panel import as_failure, leading

Answer: TypeAlias = str | Sample
Function: TypeAlias = Callable[[str, Settings], Answer | Awaitable[Answer]]


class FunctionSampler:
    """Calls `function(prompt, settings)` once for each sample, all of one step at once.

    The function may be async; a plain one runs in a thread. It returns the answer's text, or a whole `Sample`,
    and raises `ProviderBusy` or `ProviderDown` for failures of the model's side. Calls count as paid.
    """

    paid = True
    compact = False

    def __init__(self, function: Function) -> None:
        self._function = function
        self.name = f"function {getattr(function, '__name__', type(function).__name__)}"

    async def sample(self, prompt: str, settings: Settings, n: int) -> Sequence[Sample]:
        # each sample is a call of its own, with its own number, so that it can be seeded by it
        each = [replace(settings, slot=settings.slot + offset) for offset in range(n)]
        return leading(await asyncio.gather(*(self._one(prompt, one) for one in each), return_exceptions=True))

    async def _one(self, prompt: str, settings: Settings) -> Sample:
        try:
            if inspect.iscoroutinefunction(self._function):
                answer = await self._function(prompt, settings)
            else:
                answer = await _in_thread(self._function, prompt, settings)
                if inspect.isawaitable(answer):
                    answer = await answer
        except SystemExit as error:  # it would end the event loop, and with it all other calls
            raise as_failure(error) from error
        except Exception as error:
            if not isinstance(error, ProviderError):
                noted(error, self.name, settings.step, self._function)
            raise
        if isinstance(answer, str):
            return Sample(answer, voter=self.name)
        if isinstance(answer, Sample):
            return answer
        said = f"returned {short(answer)}; a model's function returns text (str) or a Sample"
        raise wrong_return(self.name, said, settings.step, self._function)


async def _in_thread(function: Function, prompt: str, settings: Settings) -> Answer | Awaitable[Answer]:
    """Call a plain function in a thread of its own, and leave it behind if the run ends first.

    A pool's threads are waited for when Python exits: a call without a deadline would keep a stopped run alive. And
    asyncio's own pool has few threads on a small machine, though calls wait for a model and not for a core.
    """
    outcome: Future[Answer | Awaitable[Answer]] = Future()
    outcome.set_running_or_notify_cancel()  # it cannot be cancelled from here on, only left behind

    def work() -> None:
        try:
            answer = function(prompt, settings)
        except BaseException as error:
            outcome.set_exception(as_failure(error))
        else:
            outcome.set_result(answer)

    Thread(target=copy_context().run, args=(work,), name="unerring-model", daemon=True).start()
    return await asyncio.wrap_future(outcome)
