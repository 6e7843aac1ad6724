"""A model behind an OpenAI-compatible batch API, as a sampler: half the price, for an answer within a day.

Calls that are under way together share batches, so a run fills them by asking ahead, and a calibration by itself. A
call for n samples is one request with n choices, as the chat endpoint's are: the prompt is read and billed once. Where
the server takes no n, or ignores it, it is n requests, and not n batches one after the other.
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
from unerring.adapters.permission import GIVEN, Permission
from unerring.core.voting.sample import Sample, Settings, Usage
from unerring.errors import FailureKind, ProviderDown, ProviderError
from unerring.runtime.calls.token_counts import min_input_tokens
from unerring.runtime.config import SystemClock
from unerring.runtime.protocols import Clock


class BatchSampler:
    """Asks one model in batches; made from a specification such as `openai-batch/gpt-4.1-mini,batch=500`.

    `identity` names the run: 1 to 512 printable characters, the same whenever the run is resumed, and another
    for every other run, such as its seed, its process and when its journal was begun. It stands in the metadata of
    each batch, and by it batches are found again after a crash: what was bought is not bought a second time.

    Raises `InputError` for a specification, an identity, a key or a proxy that cannot be used. It may be used from
    event loop after event loop; batches that were under way on an earlier one are found again.
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
        """Keys and proxies are looked up in `environ`: the environment, if it is None. The clock is the system's."""
        self.spec = parse_batch_spec(spec)
        self.name = self.spec.name
        self.compact = self.spec.chat.compact
        self.at_once = self.spec.batch  # calls that fit into one batch: a narrower window makes for half-empty ones
        self._identity = required_identity(identity)
        environ = os.environ if environ is None else environ
        chat = self.spec.chat
        self._secret = secret_for(chat, environ, permission)
        self._form = RequestForm(chat, self.name)
        self._clock = SystemClock() if clock is None else clock
        self._api = BatchApi(chat, self._secret, proxy_for(chat, environ))
        self._memory = UnclaimedAnswers()
        self._desks: dict[asyncio.AbstractEventLoop, BatchScheduler] = {}

    def __repr__(self) -> str:
        return f"BatchSampler({self.name!r})"

    @property
    def account(self) -> str:
        """The host, and digits that tell keys apart."""
        return f"{self.spec.chat.place} {self._secret.digest}".rstrip()

    def worst(self, prompt: str, settings: Settings, n: int) -> Usage:
        """The most tokens that a call can be billed for: no tokenizer makes more of a text than it has bytes."""
        prompts = 1 if self._form.many(n) == n else n
        return Usage(prompts * most_tokens(prompt, settings), n * settings.max_output_tokens)

    async def sample(self, prompt: str, settings: Settings, n: int) -> Sequence[Sample]:
        """Draw up to n samples with the next batch, or out of one that was made before; see `Sampler.sample`.

        Raises `ProviderBusy` where the request was not carried out (`TRANSIENT`: its batch expired or was cancelled)
        or where nobody can say (`UNKNOWN`), and `ProviderDown` where its batch was turned away. A call that is given
        up is taken out of its batch until that is sent; what comes after that is kept for whoever asks for the same.
        """
        desk = self._desk()
        if self._form.many(n) == n:
            return list(await desk.answer(self._line(prompt, settings, n)))
        alone = [replace(settings, slot=settings.slot + i) for i in range(n)]
        return await _each(desk, [self._line(prompt, one, 1) for one in alone])

    async def aclose(self) -> None:
        """Leave off waiting on the running event loop, and close its connections. No batch is cancelled."""
        desk = self._desks.pop(asyncio.get_running_loop(), None)
        if desk is not None:
            await desk.close()
        await self._api.aclose()

    def _desk(self) -> BatchScheduler:
        loop = asyncio.get_running_loop()
        if loop not in self._desks:
            self._desks = {known: desk for known, desk in self._desks.items() if not known.is_closed()}
            reader = OutcomeReader(self.name, self.spec.chat.place, self._secret, self._form)
            business = SchedulerContext(self.spec, self._identity, self._api, reader, self._clock)
            self._desks[loop] = BatchScheduler(business, self._memory)
        return self._desks[loop]

    def _line(self, prompt: str, settings: Settings, n: int) -> RequestLine:
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


async def _each(desk: BatchScheduler, lines: list[RequestLine]) -> list[Sample]:
    """The samples of requests for one each: those before the first that failed. Others are kept until asked for again.

    A failure that may have cost something is raised in any case, so that it is charged.
    """
    tasks = [asyncio.ensure_future(desk.answer(line)) for line in lines]
    try:
        await asyncio.wait(tasks)
    except asyncio.CancelledError:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        _keep(desk, lines, tasks, 0)
        raise
    failures = [(place, error) for place, task in enumerate(tasks) if (error := task.exception()) is not None]
    costly = [error for _, error in failures if not isinstance(error, ProviderError) or _may_have_cost(error)]
    first = failures[0][0] if failures else len(lines)
    if costly or first == 0:
        _keep(desk, lines, tasks, 0)
        raise costly[0] if costly else failures[0][1]
    _keep(desk, lines, tasks, first)
    return [sample for task in tasks[:first] for sample in task.result()]


def _keep(desk: BatchScheduler, lines: list[RequestLine], tasks: "list[asyncio.Task[Samples]]", first: int) -> None:
    for line, task in zip(lines[first:], tasks[first:], strict=True):
        if not task.cancelled() and task.exception() is None:
            desk.kept(task.result(), line)


def _may_have_cost(error: ProviderError) -> bool:
    return error.kind is FailureKind.UNKNOWN or error.tokens is not None
