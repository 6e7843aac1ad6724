"""Convert the outcome of a request in a batch into samples, or into the error that it failed with.

Replies and errors in a batch's files are those of the chat endpoint, and are read by the same code.
"""

import time
from dataclasses import dataclass, replace
from typing import TypeAlias

from unerring.adapters.chat.request import RequestForm, refused_parameter
from unerring.adapters.chat.response import ExpectedReply, outcome
from unerring.adapters.http.client import MAX_REPLY_BYTES
from unerring.adapters.http.errors import one_line, read_error
from unerring.adapters.http.spec import Secret
from unerring.adapters.openai_batch.request_id import RequestLine
from unerring.adapters.openai_batch.results import OutcomeKind, RequestOutcome
from unerring.core.voting.sample import Sample, Usage, min_tokens
from unerring.errors import FailureKind, ProviderBusy, ProviderDown

Samples: TypeAlias = tuple[Sample, ...]
Settled: TypeAlias = Samples | Exception
UNKNOWN_TOKENS = -1  # where a reply gives no count; `charged` puts in the most that there can be
DEFAULT_STATUS = 500  # of an error without an HTTP status, and without a word that stands for one


@dataclass(frozen=True, slots=True)
class OutcomeReader:
    """Reads the outcomes of one model's requests.

    voter: the sampler's name, which its samples carry.
    place: the endpoint's name in messages.
    secret: the key, which is removed from all texts.
    form: the form of requests, from which refused parameters are removed.
    """

    voter: str
    place: str
    secret: Secret
    form: RequestForm

    def settled(self, result: RequestOutcome, n: int, sent: frozenset[str] | None = None) -> Settled:
        """The samples, or the error, of a request for n samples.

        `sent` are its parameters that can be left out; None where an earlier process sent it.
        """
        if result.kind is OutcomeKind.UNDONE:
            return self._busy(result.reason or "it was not carried out", FailureKind.TRANSIENT)
        if result.kind is OutcomeKind.UNKNOWN:
            return self._busy(result.reason, FailureKind.UNKNOWN)
        status = result.status or read_error(result.body).status or DEFAULT_STATUS
        expected = ExpectedReply(
            n,
            UNKNOWN_TOKENS,
            UNKNOWN_TOKENS,
            self.voter,
            self.place,
            self.secret,
            time.time(),
            0.0,
            self.form.with_reasons,
        )
        samples = outcome(status, {}, result.body[: MAX_REPLY_BYTES + 1], expected)
        if isinstance(samples, list):
            self.form.with_reasons = self.form.with_reasons or any(sample.reason for sample in samples)
            if len(samples) < n and status < 300:
                self.form.without("n")
            # the time that a batch took says nothing about caches
            return tuple(replace(sample, seconds=None) for sample in samples)
        sent = self.form.sent(2, True) if sent is None else sent
        name = None if status < 400 else refused_parameter(status, read_error(result.body), sent)
        return samples if name is None else self.form.retry_without(name, self.place)

    def _busy(self, words: str, kind: FailureKind) -> ProviderBusy:
        return ProviderBusy(one_line(f"{self.place}: {words}", self.secret), kind=kind)


def charged(sample: Sample, line: RequestLine) -> Sample:
    """The sample with the most tokens that it can have, where its reply gives no count or one that is too small.

    A sample with 0 input tokens is not the first of its reply, and stays so.
    """
    usage, least = sample.usage, min_tokens(sample.text)
    unknown_input = usage.input_tokens == UNKNOWN_TOKENS or 0 < usage.input_tokens < line.least
    unknown_output = usage.output_tokens < least or usage.output_tokens == UNKNOWN_TOKENS
    if not unknown_input and not unknown_output:
        return sample
    read, cached = (line.read, 0) if unknown_input else (usage.input_tokens, usage.cached_tokens)
    written = max(line.limit, least) if unknown_output else usage.output_tokens
    return replace(sample, usage=Usage(read, written, cached))


def again(failure: Exception) -> Exception:
    """A copy of a failure for a further caller: an exception raised twice would mix up its tracebacks."""
    match failure:
        case ProviderBusy():
            other = ProviderBusy(str(failure), failure.retry_after, failure.kind, failure.tokens)
            other.reading = failure.reading
            return other
        case ProviderDown():
            return ProviderDown(str(failure), failure.kind, failure.status)
    return failure
