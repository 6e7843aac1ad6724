"""From what became of a request in a batch to its samples, or to the failure that it is.

Replies and refusals in a batch's files are those of the chat endpoint, and are read as its replies are.
"""

import logging
import time
from dataclasses import dataclass, replace
from typing import TypeAlias

from unerring.adapters.chat.request import LIMITS, RequestForm, refused_parameter
from unerring.adapters.chat.response import LARGEST_REPLY, ExpectedReply, outcome
from unerring.adapters.http.errors import one_line, read_error
from unerring.adapters.http.spec import Secret
from unerring.adapters.openai_batch.request_id import RequestLine
from unerring.adapters.openai_batch.results import OutcomeKind, RequestOutcome
from unerring.core.voting.sample import Sample, Usage, least_tokens
from unerring.errors import FailureKind, ProviderBusy, ProviderDown

Samples: TypeAlias = tuple[Sample, ...]
Settled: TypeAlias = Samples | Exception
log = logging.getLogger("unerring")
UNSAID = -1  # tokens, where a reply does not say: what they are at worst is known to whoever asked
WITHOUT_STATUS = 500  # stands for an error that has no status of HTTP, and no word that says one


@dataclass(frozen=True, slots=True)
class OutcomeReader:
    """Reads the outcomes of one model's requests. `form` learns of parameters that the server does not take."""

    voter: str
    where: str
    secret: Secret
    form: RequestForm

    def settled(self, found: RequestOutcome, n: int, sent: frozenset[str] | None = None) -> Settled:
        """What a request for n samples is settled with.

        `sent` are the parameters in it that may be done without; None where an earlier process sent it.
        """
        if found.fate is OutcomeKind.UNDONE:
            return self._busy(found.reason or "it was not carried out", FailureKind.TRANSIENT)
        if found.fate is OutcomeKind.UNKNOWN:
            return self._busy(found.reason, FailureKind.UNKNOWN)
        status = found.status or read_error(found.body).status or WITHOUT_STATUS
        asked = ExpectedReply(
            n, UNSAID, UNSAID, self.voter, self.where, self.secret, time.time(), 0.0, self.form.with_reasons
        )
        result = outcome(status, {}, found.body[: LARGEST_REPLY + 1], asked)
        if isinstance(result, list):
            self.form.with_reasons = self.form.with_reasons or any(sample.reason for sample in result)
            if len(result) < n and status < 300:
                self.form.without("n")
            # how long a batch took says nothing about a cache
            return tuple(replace(sample, seconds=None) for sample in result)
        return self._adapted(result, status, found.body, self.form.sent(2, True) if sent is None else sent)

    def _adapted(
        self, failure: ProviderBusy | ProviderDown, status: int, body: bytes, sent: frozenset[str]
    ) -> ProviderBusy | ProviderDown:
        """The failure; where a parameter was refused that can be done without, one that asks for another try."""
        name = None if status < 400 else refused_parameter(status, read_error(body), sent)
        if name is None:
            return failure
        if self.form.without(name) and name == "temperature":
            log.warning("%s takes no temperature: samples are drawn at its own", self.voter)
        instead = f"with {LIMITS[1]} instead" if name == LIMITS[0] else "without it"
        return ProviderBusy(f"{self.where} takes no {name}: from now on it is asked {instead}", retry_after=0.0)

    def _busy(self, words: str, kind: FailureKind) -> ProviderBusy:
        return ProviderBusy(one_line(f"{self.where}: {words}", self.secret), kind=kind)


def charged(sample: Sample, line: RequestLine) -> Sample:
    """The sample with tokens that its reply does not tell of taken at their worst, as the chat endpoint's are.

    So are those of which it tells fewer than there can be. A sample without tokens read is not the first of its reply.
    """
    usage, least = sample.usage, least_tokens(sample.text)
    untold = usage.input_tokens == UNSAID or 0 < usage.input_tokens < line.least
    short = usage.output_tokens < least or usage.output_tokens == UNSAID
    if not untold and not short:
        return sample
    read, cached = (line.read, 0) if untold else (usage.input_tokens, usage.cached_tokens)
    return replace(sample, usage=Usage(read, max(line.limit, least) if short else usage.output_tokens, cached))


def again(failure: Exception) -> Exception:
    """The same failure for one more of those who wait: one exception for all would mix up where it was raised."""
    match failure:
        case ProviderBusy():
            other = ProviderBusy(str(failure), failure.retry_after, failure.kind, failure.tokens)
            other.reading = failure.reading
            return other
        case ProviderDown():
            return ProviderDown(str(failure), failure.kind, failure.status)
    return failure
