"""What the probes of an endpoint share: how they send calls, keep the samples, and state what they found."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import TypeVar

from unerring.core.voting.copies import CopyDetector, SentCall
from unerring.core.voting.reply_ids import MIN_ID_CHARS
from unerring.core.voting.sample import Sample, Settings

SendCall = Callable[[str, Settings, int], Awaitable[Sequence[Sample]]]
T = TypeVar("T")

MAX_PROBE_TOKENS = 48  # of an answer: 32 letters fit, and a model that does not stop costs a slow server no more


class EndpointNature(Enum):
    """How an endpoint behaves."""

    INDEPENDENT = "draws a new answer each time"
    CACHED = "serves copies from a cache"
    SHARED = "answers simultaneous calls with one shared reply"
    REPEATING = "gives the same answer to the same request"
    UNSURE = "is unknown"


_TURN_OFF = (
    "turn it off for these requests (gateways have a header or a setting for that), bypass it, or make every request "
    "different (`nonce`)"
)
ADVICE = {
    EndpointNature.CACHED: f"votes would be copies of each other: {_TURN_OFF}",
    EndpointNature.SHARED: f"votes would be copies of each other: {_TURN_OFF}",
    EndpointNature.REPEATING: f"votes would be copies of each other: if there is a cache, {_TURN_OFF}; "
    "otherwise use another model",
}


@dataclass(frozen=True, slots=True)
class ProbeFinding:
    """What the probes of an endpoint showed.

    nature: how the endpoint behaves.
    sentence: the same in words, for people and the journal.
    n_honoured: whether a call for several samples gets several different ones; None if that is not known.
    marks_tell: whether marks of a cache mean anything; False where even replies to a new prompt have them.
    received: each sample, how it was asked for, and whether its text had been received before.
    """

    nature: EndpointNature
    sentence: str
    n_honoured: bool | None = None
    marks_tell: bool = True
    received: tuple[tuple[SentCall, Sample, bool], ...] = ()

    @property
    def fatal(self) -> bool:
        """Whether votes of this endpoint would be copies of each other."""
        return self.nature in ADVICE

    @property
    def advice(self) -> str:
        """What to do about a fatal finding."""
        return ADVICE.get(self.nature, "")

    def teach(self, copies: CopyDetector, sampler: str) -> None:
        """Pass the samples on to the detector of copies; `sampler` is the name of the endpoint."""
        for sent, sample, text_known in self.received:
            voter = sample.voter or sampler
            if not self.marks_tell:
                copies.distrust_marks(voter)
            copies.recall(voter, sent, sample, text_known)


class Probe:
    """Sends the calls of a probe, at temperature 1, and keeps their samples."""

    def __init__(self, send: SendCall, settings: Settings, max_output_tokens: int = MAX_PROBE_TOKENS) -> None:
        """Answers have at most `max_output_tokens`; the step of `settings` is kept."""
        self._send = send
        self._settings = replace(settings, temperature=1.0, max_output_tokens=max_output_tokens)
        self._texts: set[tuple[str, str]] = set()
        self.sent = 0
        self.received: list[tuple[SentCall, Sample, bool]] = []

    async def call(self, prompt: str, n: int = 1) -> tuple[Sample, ...]:
        """The samples of one call, which has sample numbers of its own."""
        settings = replace(self._settings, slot=2 * self.sent)
        self.sent += 1
        return tuple(await self._send(prompt, settings, n))

    def keep(self, prompt: str, later: bool, samples: Sequence[Sample]) -> None:
        """Keep the samples of a call; `later` says whether most of its prompt had been sent before."""
        sent = SentCall(prompt, later, len(samples), self._settings.chars_besides_prompt)
        for sample in samples:
            self.received.append((sent, sample, (prompt, sample.text) in self._texts))
            self._texts.add((prompt, sample.text))


class QuestionProbe(Probe):
    """Sends a run's own question, each time with lines of its own at the end.

    question: the text of the question.
    nonce: what makes these lines new in each session.
    """

    def __init__(self, send: SendCall, question: str, nonce: str, settings: Settings) -> None:
        super().__init__(send, settings, min(MAX_PROBE_TOKENS, settings.max_output_tokens))
        self.question = question
        self.nonce = nonce

    def added_to(self, so_far: ProbeFinding, nature: EndpointNature, sentence: str) -> ProbeFinding:
        """An earlier finding with what this probe showed."""
        received = so_far.received + tuple(self.received)
        return replace(so_far, nature=nature, sentence=f"{so_far.sentence}. {sentence}", received=received)


async def in_parallel(*calls: Awaitable[T]) -> list[T]:
    """Make calls at once and return what each brings; raises the first failure, once all have ended."""
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
    return [outcome for outcome in outcomes if not isinstance(outcome, BaseException)]


def same_id(earlier: Sample, later: Sample) -> bool:
    """Whether a reply has the id of an earlier one, and that is long enough to mean anything."""
    name = later.reply_id
    return name is not None and len(name) >= MIN_ID_CHARS and name == earlier.reply_id
