"""Sampler that calls a Python function: the shortest way to use a model of your own."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future
from contextvars import copy_context
from dataclasses import replace
from threading import Thread
from typing import Any, TypeAlias, cast

from unerring.adapters.sdk_errors import provider_failure
from unerring.core.journal.digests import FUNCTION_PREFIX
from unerring.core.short_text import short
from unerring.core.user_code import add_method_note, wrong_return
from unerring.core.voting.sample import Sample, Settings
from unerring.core.voting.sample_check import UnusableValue, checked_sample
from unerring.errors import InputError, ProviderError
from unerring.runtime.ensemble import as_failure, leading_samples

Returned: TypeAlias = str | Sample
Function: TypeAlias = Callable[..., Returned | Awaitable[Returned]]
Call: TypeAlias = Callable[[str, Settings], Returned | Awaitable[Returned]]


class FunctionSampler:
    """Calls `function(prompt)` or `function(prompt, settings)` once for each sample.

    The function may be async; a plain one runs in a thread. It returns the answer's text, or a whole `Sample`. For
    failures of the provider it raises `ProviderBusy` or `ProviderDown`, or passes on the exceptions of the usual SDKs
    (`sdk_errors`); any other exception is an error of the function. Calls count as paid.
    """

    paid = True
    compact = False
    call_size = 1  # a budget of calls counts those of the function

    def __init__(self, function: Function) -> None:
        """Raises `InputError` for a function that takes neither (prompt) nor (prompt, settings)."""
        self._function = function
        self.name = f"{FUNCTION_PREFIX}{getattr(function, '__name__', type(function).__name__)}"
        self._call, self.takes_request = _calling(function, self.name)

    async def sample(self, prompt: str, settings: Settings, n: int) -> Sequence[Sample]:
        if not self.takes_request and (settings.messages or settings.stop or settings.tools):
            raise InputError(
                f"{self.name} takes the prompt alone, and the question also has messages, stop strings or tools: take "
                "(prompt, settings), and ask settings.conversation(prompt) with settings.stop and settings.tools"
            )
        # each sample is a call with its own slot, which its seed depends on
        own_settings = [replace(settings, slot=settings.slot + offset) for offset in range(n)]
        return leading_samples(
            await asyncio.gather(*(self._one(prompt, one) for one in own_settings), return_exceptions=True)
        )

    async def _one(self, prompt: str, settings: Settings) -> Sample:
        try:
            if _is_async(self._function):
                answer: Returned | Awaitable[Returned] = await cast(Awaitable[Returned], self._call(prompt, settings))
            else:
                answer = await _in_thread(self._call, prompt, settings)
                if inspect.isawaitable(answer):
                    answer = await answer
        except SystemExit as error:  # it would end the event loop and all other calls
            raise as_failure(error) from error
        except Exception as error:
            failure = provider_failure(error, self.name, time.time())
            if failure is not None and failure is not error:
                raise failure from error
            if not isinstance(error, ProviderError):
                add_method_note(error, self.name, settings.step, self._function)
            raise
        if isinstance(answer, str):
            return Sample(str.__str__(answer), voter=self.name)  # a subclass of str, such as numpy's, becomes a str
        if isinstance(answer, Sample):
            try:
                return checked_sample(answer)
            except UnusableValue as error:
                raise wrong_return(self.name, str(error), settings.step, self._function) from None
        problem = f"returned {short(answer)}; a model's function returns text (str) or a Sample"
        raise wrong_return(self.name, problem, settings.step, self._function)


def _calling(function: Function, name: str) -> tuple[Call, bool]:
    """How to call a model's function, by its signature, and whether it is passed the settings.

    It is passed the settings where its second parameter is required, is named `settings`, or is `*args`; a second
    parameter with a default and another name, such as `temperature=0.7`, keeps its default.
    """
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # not written in Python, and without a signature
        return function, True
    required = inspect.Parameter.empty
    positional = [one for one in parameters if one.kind in {one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD}]
    more = any(one.kind is one.VAR_POSITIONAL for one in parameters)
    named = [one for one in parameters if one.kind is one.KEYWORD_ONLY]
    missing = [one for one in positional[2:] if one.default is required]
    missing += [one for one in named if one.default is required and one.name != "settings"]
    if missing or not (positional or more):
        takes = ", ".join(map(str, parameters)) or "nothing"
        raise InputError(f"{name} takes {takes}; a model's function takes (prompt) or (prompt, settings)")
    if any(one.name == "settings" for one in named):
        return lambda prompt, settings: function(prompt, settings=settings), True
    second = positional[1] if len(positional) > 1 else None
    wants_settings = more if second is None else second.default is required or second.name == "settings"
    return (function, True) if wants_settings else (lambda prompt, settings: function(prompt), False)


def _is_async(function: Any) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__)


async def _in_thread(function: Call, prompt: str, settings: Settings) -> Returned | Awaitable[Returned]:
    """Call a plain function in a new daemon thread, which is abandoned if the run ends first.

    Python waits for the threads of a pool when it exits: a call without a deadline would keep a stopped run alive. And
    asyncio's default pool has few threads on a small machine, while calls wait for a model and not for a core.
    """
    outcome: Future[Returned | Awaitable[Returned]] = Future()
    outcome.set_running_or_notify_cancel()  # it cannot be cancelled from here on, only abandoned

    def work() -> None:
        try:
            answer = function(prompt, settings)
        except BaseException as error:
            outcome.set_exception(as_failure(error))
        else:
            outcome.set_result(answer)

    Thread(target=copy_context().run, args=(work,), name="unerring-model", daemon=True).start()
    return await asyncio.wrap_future(outcome)
