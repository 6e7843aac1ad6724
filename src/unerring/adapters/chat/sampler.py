"""The base class of samplers that speak OpenAI's chat protocol: each call sends exactly one request."""

import time
from collections.abc import Sequence

from unerring.adapters.chat.connection import ChatBackend
from unerring.adapters.chat.request import RequestForm, most_tokens, refused_parameter
from unerring.adapters.chat.response import ExpectedReply, Outcome, outcome
from unerring.adapters.http.errors import Failure, read_error
from unerring.adapters.http.spec import EndpointSpec, Secret
from unerring.core.voting.sample import Sample, Settings, Usage
from unerring.errors import ProviderBusy, ProviderDown

MAX_SHORT_REPLIES = 3  # in a row with fewer samples than asked for; then samples are asked for one by one


class ChatSampler:
    """Asks one model through a backend that answers chat requests."""

    paid = True

    def __init__(self, spec: EndpointSpec, name: str, place: str, secret: Secret, backend: ChatBackend) -> None:
        """`place` names the endpoint in messages and accounts; `secret` is removed from all texts that come back."""
        self.spec = spec
        self.name = name
        self.compact = spec.compact
        self._place = place
        self._secret = secret
        self._form = RequestForm(spec, name)
        self._backend = backend
        self._short_replies = 0

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"

    @property
    def account(self) -> str:
        """The host, and digits that tell keys apart."""
        return f"{self._place} {self._secret.digest}".rstrip()

    def worst(self, prompt: str, settings: Settings, n: int) -> Usage:
        """The most tokens that a call can be billed for."""
        return Usage(most_tokens(prompt, settings), self._form.many(n) * settings.max_output_tokens)

    async def sample(self, prompt: str, settings: Settings, n: int) -> Sequence[Sample]:
        """Draw up to n samples with one request; see `Sampler.sample`."""
        result = await self._outcome(prompt, settings, n)
        if isinstance(result, list):
            return result
        raise result  # no local variable of this frame holds what the server sent, which may be the key

    async def aclose(self) -> None:
        """Close the connections that were made on the running event loop."""
        await self._backend.aclose()

    async def _outcome(self, prompt: str, settings: Settings, n: int) -> Outcome:
        form = self._form
        n = form.many(n)
        sent = form.sent(n, settings.schema is not None)
        body = form.body(prompt, settings, n)
        began = time.perf_counter()
        answer = await self._backend.exchange(body)
        if isinstance(answer, ProviderBusy | ProviderDown):
            return answer
        status, headers, content = answer
        expected = ExpectedReply(
            n,
            settings.max_output_tokens,
            most_tokens(prompt, settings),
            self.name,
            self._place,
            self._secret,
            time.time(),
            time.perf_counter() - began,
            form.with_reasons,
            bool(settings.stop),
            settings.tools is not None,
        )
        result = outcome(status, headers, content, expected)
        if isinstance(result, list):
            form.with_reasons = form.with_reasons or any(sample.reason for sample in result)
            if status == 200 and n > 1:
                # one short reply may be an accident: a copy of another call's, or shortened by a filter
                self._short_replies = self._short_replies + 1 if len(result) < n else 0
                if self._short_replies >= MAX_SHORT_REPLIES:
                    form.without("n")
            return result
        return self._explained(result, status, content, sent)

    def _explained(self, failure: Failure, status: int, content: bytes, sent: frozenset[str]) -> Failure:
        """The failure with advice; or one that repeats the call without the parameter that was refused."""
        if status == 404 and self.spec.url.endswith(self._place):
            return ProviderDown(f"{failure}; most addresses end in /v1, and this one does not", failure.kind)
        name = None if status < 400 else refused_parameter(status, read_error(content), sent)
        return failure if name is None else self._form.retry_without(name, self._place)
