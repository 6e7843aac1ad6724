"""Trying an endpoint out before the first step of a session: whether it draws a new answer each time it is asked.

A cache may say nothing of itself and make up new identities, but what it says is what it has. So the endpoint is
asked for random letters, at temperature 1, each time with a seed of its own. An answer that comes twice is a copy, or
the endpoint does not draw at all, which is as bad. In the usual case three calls show it:

- the first one is for two samples, which shows whether several a call are to be had;
- two more are under way at once. What was kept of the first comes again in both; requests that share a reply agree
  with each other alone. One call more could not show both.

All have the same prompt and ask for as many samples, since that is what caches know calls by. Where the first brought
one sample only, the others ask for one, and so does a fourth, for what was kept of them. In the prompt is a
number that is new in each session: nothing of it is in a cache from earlier. Where an answer came twice, two more
calls have to confirm that, for a reply may have been delivered twice by accident. One of these has another number in
its prompt: a model that can do one thing only may honestly say the same to everything.

Only letters that look random prove anything. A model that says `7` to whatever it is asked is not accused: it is asked
the run's own first question (`unerring.runtime.calls.repeat_probe`, `unerring.runtime.calls.share_probe`), and what it
is asked in earnest is watched by `unerring.core.voting.duplicates`.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from hashlib import blake2b
from typing import TypeVar

from unerring.core.voting.duplicates import MIN_TIMES_FASTER, DuplicateDetector, SentCall
from unerring.core.voting.reply_ids import MIN_ID_CHARS
from unerring.core.voting.sample import Sample, Settings
from unerring.errors import FailureKind, ProviderDown, ProviderGone, UnerringError

Ask = Callable[[str, Settings, int], Awaitable[Sequence[Sample]]]
_Brought = TypeVar("_Brought")

LEAST_CALLS, MOST_CALLS = 3, 5
MOST_TOKENS = 48  # of an answer: 32 letters have room, and a slow server writes no more for a model that goes on
LETTERS = 16  # at least, of the 32; an answer may be cut off
DIFFERENT = 8  # of these, at least: 16 random letters have fewer in one case of 4,000, 32 in none to speak of
LONGEST = 10_000  # characters that are looked at
ORDERS = ("abcdefghijklmnopqrstuvwxyz" * 2, "qwertyuiopasdfghjklzxcvbnm" * 2)  # what is typed without thinking


class EndpointNature(Enum):
    """What an endpoint was found to do."""

    INDEPENDENT = "draws a new answer each time"
    CACHED = "serves copies from a cache"
    SHARED = "answers calls that are under way together with one reply"
    REPEATING = "gives the same answer to the same request"
    UNSURE = "cannot be told"


_OFF = (
    "turn it off for these requests (gateways have a header or a setting for that), ask the model past it, or have no "
    "request like another (`nonce`)"
)
ADVICE = {
    EndpointNature.CACHED: f"votes would be copies of each other: {_OFF}",
    EndpointNature.SHARED: f"votes would be copies of each other: {_OFF}",
    EndpointNature.REPEATING: f"votes would be copies of each other: if there is a cache, {_OFF}; "
    "else take another model",
}


@dataclass(frozen=True, slots=True)
class ProbeFinding:
    """What the probe of an endpoint showed.

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

    def teach(self, copies: DuplicateDetector, sampler: str) -> None:
        """Have what was heard of a sampler known to those who judge its samples."""
        for sent, sample, text_known in self.received:
            voter = sample.voter or sampler
            if not self.marks_tell:
                copies.distrust_marks(voter)
            copies.recall(voter, sent, sample, text_known)


def nonce_of(seed: int, session: float) -> str:
    """Twelve digits for a session's trial: the same for the same seed and session, and else others.

    `session` is when the session began, seconds since 1970, so that runs of the same seed differ too.
    """
    return _digits(f"{seed}:{session!r}")


async def at_once(*calls: Awaitable[_Brought]) -> list[_Brought]:
    """What calls bring that are made at once; raises the first failure, once all are over."""
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
    return [outcome for outcome in outcomes if not isinstance(outcome, BaseException)]


async def probe(ask: Ask, nonce: str, settings: Settings) -> ProbeFinding:
    """Try an endpoint out: three calls where all is well, four where n is not honoured, and five at most.

    `ask` sends one call. Its failures are the caller's matter and go through, but for a request that the provider
    calls invalid: that is a finding. Two calls are made at once, and are to be let through at once. Of `settings`,
    the step is kept. Answers have MOST_TOKENS tokens at most, whatever the run's own limit.
    """
    trial = _CacheProbe(ask, nonce, settings)
    try:
        return await _tried(trial)
    except (ProviderDown, ProviderGone) as error:
        if not _invalid(error):
            raise
        return trial.finding(
            EndpointNature.UNSURE, f"the endpoint takes no trial request, and cannot be tried out: {error}"
        )


async def _tried(trial: "_CacheProbe") -> ProbeFinding:
    try:
        await trial.ask(0)
    except (ProviderDown, ProviderGone) as error:
        if not _invalid(error):
            raise
        trial.n = 1  # that may be what it did not like
    if trial.calls and len(trial.calls[0].samples) == 1:
        trial.n = 1  # all others of the run will be for one, and a cache may keep these apart
    await trial.ask(0, 0)
    if trial.n == 1 and not trial.echoes():
        await trial.ask(0)
    first = trial.echoes()
    if not first:
        return trial.finding(EndpointNature.INDEPENDENT, "the endpoint draws a new answer each time" + trial.remarks())
    shared = all(echo.at_once for echo in first)
    await trial.ask(*(0, 0 if shared else 1)[: MOST_CALLS - trial.sent])
    return _confirmed(trial, first, trial.echoes()[len(first) :])


def _confirmed(trial: "_CacheProbe", first: "list[_RepeatedAnswer]", again: "list[_RepeatedAnswer]") -> ProbeFinding:
    """The finding where an answer came twice, and it was tried whether that happens again."""

    def both(holds: Callable[[_RepeatedAnswer], bool]) -> bool:
        return any(map(holds, first)) and any(map(holds, again))

    calls = f"in {len(trial.calls)} calls"
    if not trial.always_echoes:  # a line may deliver a reply twice, even again: those who judge know it by its name
        first, again = ([echo for echo in echoes if not echo.same_identity] for echoes in (first, again))
    if not (first and again):
        told = f"an answer of the endpoint came twice {calls}, but not whenever it was asked again"
        return trial.finding(EndpointNature.UNSURE, told + trial.remarks())
    if trial.marks_tell and both(lambda echo: echo.later.cached):
        return trial.finding(EndpointNature.CACHED, "the endpoint says itself that it answers from a cache")
    if trial.names_tell and both(lambda echo: echo.same_identity):
        return trial.finding(
            EndpointNature.CACHED, f"the endpoint sent the same reply, by its identity, several times {calls}"
        )
    if not any(sample.text for call in trial.calls for sample in call.samples):
        told = f"its answers have no text within {MOST_TOKENS} tokens, perhaps since the model reasons first: whether"
        return trial.finding(EndpointNature.UNSURE, f"{told} the endpoint draws each time is unknown{trial.haste()}")
    if not both(lambda echo: looks_random(echo.later.text)):
        told = "asked for random letters, the endpoint writes something else and the same again, as a model for one"
        told += f" purpose may: whether it draws each time cannot be told{trial.haste()}"
        return trial.finding(EndpointNature.UNSURE, told)
    told = f"asked for 32 random letters {calls}, with other seeds each time, the endpoint gave the same ones"
    if any(echo.later.text in trial.elsewhere for echo in again):
        return trial.finding(
            EndpointNature.REPEATING, f"{told} over again, also to another request: it does not draw them"
        )
    if all(echo.at_once for echo in (*first, *again)):
        return trial.finding(
            EndpointNature.SHARED, f"{told} whenever two calls were under way at once: they share a reply"
        )
    if haste := trial.haste():
        return trial.finding(EndpointNature.CACHED, f"{told} over again{haste}")
    either = "there is a cache, or it minds neither temperature nor seed"
    return trial.finding(EndpointNature.REPEATING, f"{told} over again: {either}")


@dataclass(frozen=True, slots=True)
class _ProbeReply:
    """A call that was answered. Those of one round were under way at once."""

    prompt: str
    n: int
    round: int
    samples: tuple[Sample, ...]

    @property
    def texts(self) -> set[str]:
        return {sample.text for sample in self.samples}


@dataclass(frozen=True, slots=True)
class _RepeatedAnswer:
    """An answer of one call that another one had given to the same prompt."""

    earlier: Sample
    later: Sample
    at_once: bool

    @property
    def same_identity(self) -> bool:
        return is_named(self.earlier, self.later)


@dataclass(slots=True)
class _CacheProbe:
    """The calls of a trial, and what they show."""

    send: Ask
    nonce: str
    settings: Settings
    n: int = 2
    sent: int = 0
    rounds: int = 0
    calls: list[_ProbeReply] = field(default_factory=list)
    prompts: tuple[str, str] = ("", "")

    def __post_init__(self) -> None:
        self.prompts = (_prompt(self.nonce), _prompt(_digits(self.nonce)))
        seed = int(_digits(f"seed {self.nonce}"))
        self.settings = replace(self.settings, temperature=1.0, seed=seed, max_output_tokens=MOST_TOKENS)

    async def ask(self, *prompts: int) -> None:
        """Make calls at once, each with one of the two prompts; raises the first failure, once all are over."""
        self.rounds += 1
        calls = []
        for prompt in prompts:
            calls.append(self._one(self.prompts[prompt], replace(self.settings, slot=2 * self.sent)))
            self.sent += 1
        self.calls += await at_once(*calls)

    async def _one(self, prompt: str, settings: Settings) -> _ProbeReply:
        n, made_in = self.n, self.rounds
        return _ProbeReply(prompt, n, made_in, tuple(await self.send(prompt, settings, n)))

    def echoes(self) -> list[_RepeatedAnswer]:
        """Answers that had come to the same prompt before, in the order of the calls that brought them again."""
        return [
            _RepeatedAnswer(one, other, earlier.round == later.round)
            for at, later in enumerate(self.calls)
            for earlier in self.calls[:at]
            if earlier.prompt == later.prompt
            for one in earlier.samples
            for other in later.samples
            if one.text == other.text
        ]

    @property
    def always_echoes(self) -> bool:
        """Whether every call but the first, of those for as many samples, brought an answer that had come before."""
        calls = [call for call in self.calls if call.prompt == self.prompts[0] and call.n == self.n]
        later = [call for call in calls if call.round > calls[0].round]
        return all(any(one.round < call.round and one.texts & call.texts for one in calls) for call in later)

    @property
    def marks_tell(self) -> bool:
        """Whether a mark of a cache means anything: not where all first replies to a new prompt have it."""
        first: dict[str, list[bool]] = {}
        first_round: dict[str, int] = {}
        for call in self.calls:
            if call.round == first_round.setdefault(call.prompt, call.round):
                first.setdefault(call.prompt, []).extend(sample.cached for sample in call.samples)
        return not any(all(marks) for marks in first.values())

    @property
    def names_tell(self) -> bool:
        """Whether replies to the two prompts had identities of their own."""
        one, other = ({sample.reply_id for sample in self._received(prompt)} for prompt in self.prompts)
        return bool(other) and not one & other

    @property
    def elsewhere(self) -> set[str]:
        """The texts that came to the other prompt."""
        return {sample.text for sample in self._received(self.prompts[1])}

    def _received(self, prompt: str) -> list[Sample]:
        return [sample for call in self.calls if call.prompt == prompt for sample in call.samples]

    @property
    def n_honoured(self) -> bool | None:
        """Whether several samples of one call are to be had."""
        if not self.calls:
            return None
        several = [[sample.text for sample in call.samples] for call in self.calls if len(call.samples) > 1]
        if any(len(set(texts)) > 1 for texts in several):
            return True
        return None if any(not looks_random(texts[0]) for texts in several) else False

    def haste(self) -> str:
        """How much sooner repeated answers came than new ones, where that is much; else nothing."""
        new: list[float | None] = []
        old: list[float | None] = []
        for call in self.calls:
            before = (earlier for earlier in self.calls if earlier.round < call.round)
            known = any(earlier.prompt == call.prompt and earlier.texts & call.texts for earlier in before)
            (old if known else new).extend(sample.seconds for sample in call.samples)
        slowest = max((seconds for seconds in old if seconds is not None), default=0.0)
        fastest = min((seconds for seconds in new if seconds is not None), default=0.0)
        if None in new or None in old or not 0.0 < slowest * MIN_TIMES_FASTER < fastest:
            return ""
        return f"; repeated ones came {fastest / slowest:.0f} times sooner than new ones, as out of a cache"

    def remarks(self) -> str:
        """What else was found, to add to a sentence."""
        told = []
        if self.n_honoured is False:
            several = any(len(call.samples) > 1 for call in self.calls)
            told.append(f"asked for two samples, it gives {'one of them twice' if several else 'one at most'}")
        if not self.marks_tell:
            told.append("it marks new answers as cached, too, so that this means nothing")
        return "".join(f"; {each}" for each in told)

    def finding(self, nature: EndpointNature, sentence: str) -> ProbeFinding:
        """A finding, with all that came."""
        received: list[tuple[SentCall, Sample, bool]] = []
        first_round: dict[str, int] = {}
        known: set[tuple[str, str]] = set()
        for call in self.calls:
            later = call.round > first_round.setdefault(call.prompt, call.round)
            sent = SentCall(call.prompt, later, len(call.samples))
            for sample in call.samples:
                received.append((sent, sample, (call.prompt, sample.text) in known))
                known.add((call.prompt, sample.text))
        return ProbeFinding(nature, sentence, self.n_honoured, self.marks_tell, tuple(received))


def is_named(earlier: Sample, later: Sample) -> bool:
    """Whether a reply has the identity of an earlier one, and that is long enough to mean anything."""
    name = later.reply_id
    return name is not None and len(name) >= MIN_ID_CHARS and name == earlier.reply_id


def looks_random(text: str) -> bool:
    """Whether a text has random letters in it, as was asked for: not words, nor letters as they are typed in order."""
    runs = re.findall(r"[a-z]{16,}|(?:\b[a-z]\b[\s,]*){16,}", text[:LONGEST].lower())
    letters = max((re.sub(r"[^a-z]", "", run) for run in runs), key=len, default="")
    pairs = [letters[i : i + 2] for i in range(len(letters) - 1)]
    in_order = sum(any(pair in order or pair[::-1] in order for order in ORDERS) for pair in pairs)
    return len(letters) >= LETTERS and len(set(letters)) >= DIFFERENT and 2 * in_order < len(pairs)


def _invalid(error: UnerringError) -> bool:
    """Whether a provider called the request invalid."""
    cause = error if isinstance(error, ProviderDown) else error.__cause__
    return isinstance(cause, ProviderDown) and cause.kind is FailureKind.INVALID


def _prompt(nonce: str) -> str:
    return f"Trial {nonce}: write 32 random lowercase letters and nothing else."


def _digits(name: str) -> str:
    return f"{int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), 'big') % 10**12:012d}"
