"""Sampler for a model behind an OpenAI-compatible batch API: half the price, for an answer within a day.

Calls that are in flight together share batches: a run fills them by asking ahead, and a calibration asks many at once.
A call for n samples is one request with n choices, as at the chat endpoint: the prompt is billed once. Where the
server refuses or ignores n, the call is n requests in the same batch.
"""

import asyncio
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace

from unerring.adapters.chat.request import RequestForm, most_tokens
from unerring.adapters.http.spec import proxy_for, secret_for
from unerring.adapters.openai_batch.client import BatchApi
from unerring.adapters.openai_batch.outcome import OutcomeReader, Samples
from unerring.adapters.openai_batch.request_id import MAX_BODY_BYTES, RequestLine, key_of, required_identity
from unerring.adapters.openai_batch.scheduler import BatchScheduler, SchedulerContext, UnclaimedAnswers
from unerring.adapters.openai_batch.spec import parse_batch_spec
from unerring.adapters.trust.permission import GIVEN, Permission
from unerring.core.voting.sample import Sample, Settings, Usage
from unerring.errors import FailureKind, InputError, ProviderDown, ProviderError
from unerring.runtime.calls.token_counts import min_input_tokens
from unerring.runtime.config import SystemClock
from unerring.runtime.protocols import Clock


class BatchSampler:
    """Asks one model in batches; made from a specification such as `openai-batch/gpt-4.1-mini,batch=500`.

    `identity` names the run, in 1 to 512 printable characters: the same each time that the run is resumed, and another
    one for every other run, such as its seed, its process and when its journal was begun. It is in the metadata of
    each batch, by which batches are recovered after a crash: no sample is paid twice.

    Raises `InputError` for a specification, an identity, a key or a proxy that cannot be used. It may be used from
    several event loops, one after the other; batches that were created on an earlier one are recovered.
    """

    paid = True

    def __init__(
        self,
        spec: str,
        identity: str,
        environ: Mapping[str, str] | None = None,
        clock: Clock | None = None,
        permission: Permission = GIVEN,
    ) -> None:
        """Keys and proxies are read from `environ`: by default the environment. The default clock is the system's."""
        self.spec = parse_batch_spec(spec)
        self.name = self.spec.name
        self.compact = self.spec.chat.compact
        self.batch_calls = self.spec.batch
        self._identity = required_identity(identity)
        environ = os.environ if environ is None else environ
        chat = self.spec.chat
        self._secret = secret_for(chat, environ, permission)
        self._form = RequestForm(chat, self.name)
        self._clock = SystemClock() if clock is None else clock
        self._api = BatchApi(chat, self._secret, proxy_for(chat, environ))
        self._unclaimed = UnclaimedAnswers()
        self._schedulers: dict[asyncio.AbstractEventLoop, BatchScheduler] = {}

    def __repr__(self) -> str:
        return f"BatchSampler({self.name!r})"

    @property
    def account(self) -> str:
        """The host, and digits that tell keys apart."""
        return f"{self.spec.chat.place} {self._secret.digest}".rstrip()

    def worst(self, prompt: str, settings: Settings, n: int) -> Usage:
        """The most tokens that a call can be billed for."""
        prompts = 1 if self._form.many(n) == n else n
        return Usage(prompts * most_tokens(prompt, settings), n * settings.max_output_tokens)

    async def sample(self, prompt: str, settings: Settings, n: int) -> Sequence[Sample]:
        """Draw up to n samples with the next batch, or from one that was created before; see `Sampler.sample`.

        Raises `ProviderBusy` where the request was not carried out (`TRANSIENT`: its batch expired or was cancelled)
        or its outcome is not known (`UNKNOWN`), and `ProviderDown` where its batch was rejected. A cancelled call is
        removed from a batch that is not sent yet; an answer that comes later is kept until the same is asked again.
        """
        scheduler = self._scheduler()
        if self._form.many(n) == n:
            return list(await scheduler.answer(self._line(prompt, settings, n)))
        alone = [replace(settings, slot=settings.slot + i) for i in range(n)]
        return await _each(scheduler, [self._line(prompt, one, 1) for one in alone])

    async def aclose(self) -> None:
        """Stop waiting on the running event loop, and close its connections. No batch is cancelled."""
        scheduler = self._schedulers.pop(asyncio.get_running_loop(), None)
        if scheduler is not None:
            await scheduler.close()
        await self._api.aclose()

    def _scheduler(self) -> BatchScheduler:
        loop = asyncio.get_running_loop()
        if loop not in self._schedulers:
            self._schedulers = {
                known: scheduler for known, scheduler in self._schedulers.items() if not known.is_closed()
            }
            reader = OutcomeReader(self.name, self.spec.chat.place, self._secret, self._form)
            context = SchedulerContext(self.spec, self._identity, self._api, reader, self._clock)
            self._schedulers[loop] = BatchScheduler(context, self._unclaimed)
        return self._schedulers[loop]

    def _line(self, prompt: str, settings: Settings, n: int) -> RequestLine:
        if settings.tools is not None:
            raise InputError(f"{self.name} sends no tools: give the model as openai/..., which does")
        body = self._form.body(prompt, settings, n)
        if len(body) > MAX_BODY_BYTES:
            words = f"the prompt is longer than the {MAX_BODY_BYTES // 10**6} MB that a request may have"
            raise ProviderDown(words, FailureKind.REFUSED)
        key = key_of(self._identity, self.spec.chat.model, prompt, settings)
        return RequestLine(
            key,
            n,
            body,
            self._form.sent(n, settings.schema is not None),
            most_tokens(prompt, settings),
            settings.max_output_tokens,
            min_input_tokens(prompt, settings),
        )


async def _each(scheduler: BatchScheduler, lines: list[RequestLine]) -> list[Sample]:
    """The samples of several requests, up to the first that failed. Later ones are kept until asked for again.

    A failure that may have cost something is always raised, so that it is charged.
    """
    tasks = [asyncio.ensure_future(scheduler.answer(line)) for line in lines]
    try:
        await asyncio.wait(tasks)
    except asyncio.CancelledError:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        _keep(scheduler, lines, tasks, 0)
        raise
    failures = [(number, error) for number, task in enumerate(tasks) if (error := task.exception()) is not None]
    costly = [error for _, error in failures if not isinstance(error, ProviderError) or _may_have_cost(error)]
    first = failures[0][0] if failures else len(lines)
    if costly or first == 0:
        _keep(scheduler, lines, tasks, 0)
        raise costly[0] if costly else failures[0][1]
    _keep(scheduler, lines, tasks, first)
    return [sample for task in tasks[:first] for sample in task.result()]


def _keep(
    scheduler: BatchScheduler, lines: list[RequestLine], tasks: "list[asyncio.Task[Samples]]", first: int
) -> None:
    for line, task in zip(lines[first:], tasks[first:], strict=True):
        if not task.cancelled() and task.exception() is None:
            scheduler.kept(task.result(), line)


def _may_have_cost(error: ProviderError) -> bool:
    return error.kind is FailureKind.UNKNOWN or error.tokens is not None
