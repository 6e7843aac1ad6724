"""A model behind an OpenAI-compatible chat endpoint, as a sampler: one request for each call, and no other."""

import logging
import os
import time
from collections.abc import Mapping, Sequence

from unerring.adapters.chat.request import LIMITS, RequestForm, refused_parameter
from unerring.adapters.chat.response import ExpectedReply, Outcome, outcome
from unerring.adapters.http.connection import Connection
from unerring.adapters.http.errors import Failure, read_error
from unerring.adapters.http.spec import parse_spec, proxy_for, secret_for
from unerring.adapters.permission import GIVEN, Permission
from unerring.core.voting.sample import Sample, Settings, Usage
from unerring.errors import FailureKind, ProviderBusy, ProviderDown

# Tokens that a chat template may add to a prompt: its marks, and the system prompt that some models bring along.
TEMPLATE_TOKENS = 256
MESSAGE_TOKENS = 16  # the same, of each further message
SCHEMA_TOKENS = 256  # with which an endpoint may tell a model to keep to a schema, beside the schema itself

SHORT_REPLIES = 3  # on end, after which samples are asked for one by one

log = logging.getLogger("unerring")


class OpenAISampler:
    """Asks one model at one address; made from a specification such as `openai/gpt-4.1-mini`.

    Raises `InputError` for a specification, a key or a proxy that cannot be used. It may be used from event loop after
    event loop; each has its own connections, closed with `aclose` or as the loop ends.
    """

    paid = True

    def __init__(self, spec: str, environ: Mapping[str, str] | None = None, permission: Permission = GIVEN) -> None:
        """`environ` is where keys and proxies are looked up: the environment, if it is None."""
        self.spec = parse_spec(spec)
        self.name = self.spec.name
        self.compact = self.spec.compact
        environ = os.environ if environ is None else environ
        self._secret = secret_for(self.spec, environ, permission)
        self._form = RequestForm(self.spec)
        self._short = 0
        self._line = Connection(self.spec, self._secret, proxy_for(self.spec, environ))
        self._where = self.spec.place

    def __repr__(self) -> str:
        return f"OpenAISampler({self.name!r})"

    @property
    def account(self) -> str:
        """The host, and digits that tell keys apart."""
        return f"{self._where} {self._secret.digest}".rstrip()

    def worst(self, prompt: str, settings: Settings, n: int) -> Usage:
        """The most tokens that a call can be billed for: no tokenizer makes more of a text than it has bytes."""
        n = self._form.many(n)
        return Usage(most_tokens(prompt, settings), n * settings.max_output_tokens)

    async def sample(self, prompt: str, settings: Settings, n: int) -> Sequence[Sample]:
        """Draw up to n samples with one request; see `Sampler.sample`."""
        result = await self._asked(prompt, settings, n)
        if isinstance(result, list):
            return result
        raise result  # from here: no local name holds what the server said, which may be the key

    async def _asked(self, prompt: str, settings: Settings, n: int) -> Outcome:
        several = self._form.many(n)
        sent = self._form.sent(several, settings.schema is not None)
        try:
            body = self._form.body(prompt, settings, several)
        except UnicodeEncodeError:
            words = "the prompt has half characters in it (surrogates), which cannot be sent"
            return ProviderDown(words, FailureKind.REFUSED)
        began = time.perf_counter()
        got = await self._line.exchange(body)
        if isinstance(got, ProviderBusy | ProviderDown):
            return got
        status, headers, answer = got
        asked = ExpectedReply(
            several,
            settings.max_output_tokens,
            most_tokens(prompt, settings),
            self.name,
            self._where,
            self._secret,
            time.time(),
            time.perf_counter() - began,
            self._form.with_reasons,
            bool(settings.stop),
        )
        result = outcome(status, headers, answer, asked)
        if isinstance(result, list):
            self._form.with_reasons = self._form.with_reasons or any(sample.reason for sample in result)
            if status == 200 and several > 1:
                # one short reply may be a mishap: a copy of another call's, or cut by a filter
                self._short = self._short + 1 if len(result) < several else 0
                if self._short >= SHORT_REPLIES:
                    self._form.without("n")
            return result
        return self._adapted(result, status, answer, sent)

    async def aclose(self) -> None:
        """Close the connections that were made on the running event loop."""
        await self._line.aclose()

    def _adapted(self, failure: Failure, status: int, answer: bytes, sent: frozenset[str]) -> Failure:
        """The failure; or one that asks for another try, where a parameter was refused that can be done without."""
        if status == 404 and self.spec.url.endswith(self._where):
            return ProviderDown(f"{failure}; most addresses end in /v1, and this one does not", failure.kind)
        if status < 400:
            return failure
        name = refused_parameter(status, read_error(answer), sent)
        if name is None:
            return failure
        if self._form.without(name) and name == "temperature":
            log.warning("%s takes no temperature: samples are drawn at its own", self.name)
        if name == "n":  # llama.cpp takes as many as it has slots
            told = f"{self._where} takes not so many samples a call: from now on it is asked for one at a time"
            return ProviderBusy(told, retry_after=0.0)
        instead = f"with {LIMITS[1]} instead" if name == LIMITS[0] else "without it"
        return ProviderBusy(f"{self._where} takes no {name}: from now on it is asked {instead}", retry_after=0.0)


def most_tokens(prompt: str, settings: Settings) -> int:
    """The most tokens that a request is read as: the prompt and the messages before it, with those of a chat template.

    A schema and further fields are counted as well: an endpoint may put them into the prompt.
    """
    tokens = _bytes_of(prompt) + TEMPLATE_TOKENS
    for message in settings.messages:
        tokens += _bytes_of(message.content) + MESSAGE_TOKENS
    if settings.schema is not None:
        tokens += SCHEMA_TOKENS + _bytes_of(settings.schema)
    if settings.extra is not None:
        tokens += _bytes_of(settings.extra)
    return tokens


def _bytes_of(text: str) -> int:
    # four bytes a character at most, and one where all are ASCII: counting them is only worth it for the others
    return len(text) if text.isascii() else len(text.encode("utf-8", "replace"))
