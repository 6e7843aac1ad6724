"""Probe whether an endpoint draws a new answer each time it is asked, before the first step of a session.

A cache may set no marks and invent new ids, but it can only send what it has. So the endpoint is asked for random
letters, at temperature 1, each time with another seed. An answer that comes twice is a copy, or the endpoint does not
draw at all, which is as bad. Usually three calls show it:

- The first is for two samples, which shows whether one call brings several.
- Two more are in flight at once. A copy of the first reply comes in both; a reply that two calls share comes in these
  two alone. One further call could not show both.

All have the same prompt and ask for as many samples, since caches recognize calls by these. Where the first brought
one sample only, the others ask for one, and a fourth is sent, for copies of these. The prompt has a number that is new
in each session, so that no earlier reply is in a cache.

Where an answer came twice, further calls have to confirm it, since a reply may be delivered twice by accident:

- Usually two, one of which has another number in its prompt: a model for one purpose may honestly give the same answer
  to everything.
- Two with the same prompt, in flight at once, where only such calls had an answer in common.
- One with the same prompt after four calls, as there are at most five.

Only letters that look random prove anything. A model that says `7` to every prompt is not accused: it is probed with
the run's own first question (`unerring.runtime.probes.repeated_question`, `unerring.runtime.probes.shared_reply`), and
its samples are watched by `unerring.core.voting.copies`.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from hashlib import blake2b

from unerring.core.voting.copies import MIN_TIMES_FASTER
from unerring.core.voting.sample import Sample, Settings
from unerring.errors import FailureKind, ProviderDown, ProviderGone, UnerringError
from unerring.runtime.probes.probe import (
    MAX_PROBE_TOKENS,
    EndpointNature,
    Probe,
    ProbeFinding,
    SendCall,
    in_parallel,
    same_id,
)

MIN_CALLS, MAX_CALLS = 3, 5
MIN_LETTERS = 16  # of the 32 asked for; an answer may be cut off
MIN_DIFFERENT_LETTERS = 8  # of these: 16 random letters have fewer in one case of 4,000
MAX_READ_CHARS = 10_000  # of an answer
TYPED_ORDERS = ("abcdefghijklmnopqrstuvwxyz" * 2, "qwertyuiopasdfghjklzxcvbnm" * 2)  # of letters that are not random


def nonce_of(seed: int, session: float) -> str:
    """Twelve digits for a session's probes, which follow from its run's seed and the time at which it began.

    `session` is that time, seconds since 1970, so that runs of the same seed differ too.
    """
    return _digits(f"{seed}:{session!r}")


async def probe(send: SendCall, nonce: str, settings: Settings) -> ProbeFinding:
    """Probe an endpoint: by three calls usually, four where it does not honour n, and at most five.

    `send` sends one call, and two at once. Its failures are raised, except that of a request that the provider calls
    invalid: that is a finding. Answers have at most MAX_PROBE_TOKENS, whatever the run's own limit.
    """
    letters_probe = _LettersProbe(send, nonce, settings)
    try:
        return await _probed(letters_probe)
    except (ProviderDown, ProviderGone) as error:
        if not _invalid(error):
            raise
        return letters_probe.finding(
            EndpointNature.UNSURE,
            f"the endpoint refuses the request of the probe, so that it cannot be probed: {error}",
        )


async def _probed(probe: "_LettersProbe") -> ProbeFinding:
    try:
        await probe.ask(0)
    except (ProviderDown, ProviderGone) as error:
        if not _invalid(error):
            raise
        probe.n = 1  # that may be the reason
    if probe.calls and len(probe.calls[0].samples) == 1:
        probe.n = 1  # all others of the run will be for one, and a cache may treat these apart
    await probe.ask(0, 0)
    if probe.n == 1 and not probe.repeats():
        await probe.ask(0)
    first = probe.repeats()
    if not first:
        return probe.finding(EndpointNature.INDEPENDENT, "the endpoint draws a new answer each time" + probe.remarks())
    shared = all(repeat.same_round for repeat in first)
    await probe.ask(*(0, 0 if shared else 1)[: MAX_CALLS - probe.sent])
    return _confirmed(probe, first, probe.repeats()[len(first) :])


def _confirmed(probe: "_LettersProbe", first: "list[_RepeatedAnswer]", again: "list[_RepeatedAnswer]") -> ProbeFinding:
    """The finding after an answer came twice and two more calls were sent to confirm it."""

    def both(holds: Callable[[_RepeatedAnswer], bool]) -> bool:
        return any(map(holds, first)) and any(map(holds, again))

    calls = f"in {len(probe.calls)} calls"
    if not probe.always_repeats:  # a connection may deliver a reply twice: that is recognized by its id later
        first, again = ([repeat for repeat in repeats if not repeat.same_id_again] for repeats in (first, again))
    if not (first and again):
        sentence = f"an answer of the endpoint came twice {calls}, but not whenever it was asked again"
        return probe.finding(EndpointNature.UNSURE, sentence + probe.remarks())
    if probe.marks_tell and both(lambda repeat: repeat.later.cached):
        return probe.finding(EndpointNature.CACHED, "the endpoint says itself that it answers from a cache")
    if probe.ids_tell and both(lambda repeat: repeat.same_id_again):
        return probe.finding(
            EndpointNature.CACHED, f"the endpoint sent the same reply, by its id, several times {calls}"
        )
    if not any(sample.text for call in probe.calls for sample in call.samples):
        sentence = f"its answers have no text within {MAX_PROBE_TOKENS} tokens, perhaps since the model reasons first:"
        sentence += f" whether the endpoint draws each time is unknown{probe.speed_clause()}"
        return probe.finding(EndpointNature.UNSURE, sentence)
    if not both(lambda repeat: looks_random(repeat.later.text)):
        sentence = "asked for random letters, the endpoint writes something else and the same again, as a model for"
        sentence += f" one purpose may: whether it draws each time is unknown{probe.speed_clause()}"
        return probe.finding(EndpointNature.UNSURE, sentence)
    sentence = f"asked for 32 random letters {calls}, with other seeds each time, the endpoint gave the same ones"
    if any(repeat.later.text in probe.elsewhere for repeat in again):
        return probe.finding(
            EndpointNature.REPEATING, f"{sentence} over again, also to another request: it does not draw them"
        )
    if all(repeat.same_round for repeat in (*first, *again)):
        return probe.finding(
            EndpointNature.SHARED, f"{sentence} whenever two calls were under way at once: they share a reply"
        )
    if speed_clause := probe.speed_clause():
        return probe.finding(EndpointNature.CACHED, f"{sentence} over again{speed_clause}")
    either = "there is a cache, or it minds neither temperature nor seed"
    return probe.finding(EndpointNature.REPEATING, f"{sentence} over again: {either}")


@dataclass(frozen=True, slots=True)
class _ProbeReply:
    """A call that was answered. Those of one round were in flight at once."""

    prompt: str
    n: int
    round: int
    samples: tuple[Sample, ...]

    @property
    def texts(self) -> set[str]:
        return {sample.text for sample in self.samples}


@dataclass(frozen=True, slots=True)
class _RepeatedAnswer:
    """An answer of one call that another one had given to the same prompt.

    same_round: whether both calls were in flight at once.
    """

    earlier: Sample
    later: Sample
    same_round: bool

    @property
    def same_id_again(self) -> bool:
        return same_id(self.earlier, self.later)


class _LettersProbe(Probe):
    """The calls of the probe, and what they show."""

    def __init__(self, send: SendCall, nonce: str, settings: Settings) -> None:
        super().__init__(send, replace(settings, seed=int(_digits(f"seed {nonce}"))))
        self.prompts = (_prompt(nonce), _prompt(_digits(nonce)))
        self.n = 2
        self.rounds = 0
        self.calls: list[_ProbeReply] = []

    async def ask(self, *prompts: int) -> None:
        """Make calls at once, each with one of the two prompts; raises the first failure, once all have ended."""
        self.rounds += 1
        self.calls += await in_parallel(*(self._one(self.prompts[prompt]) for prompt in prompts))

    async def _one(self, prompt: str) -> _ProbeReply:
        n, made_in = self.n, self.rounds
        return _ProbeReply(prompt, n, made_in, await self.call(prompt, n))

    def repeats(self) -> list[_RepeatedAnswer]:
        """Earlier answers to the same prompt, in the order of calls."""
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
    def always_repeats(self) -> bool:
        """Whether every call but the first, of those for as many samples, brought an answer that came before."""
        calls = [call for call in self.calls if call.prompt == self.prompts[0] and call.n == self.n]
        later = [call for call in calls if call.round > calls[0].round]
        return all(any(one.round < call.round and one.texts & call.texts for one in calls) for call in later)

    @property
    def marks_tell(self) -> bool:
        """Whether marks of a cache mean anything: they do not where all first replies to a new prompt have them."""
        first: dict[str, list[bool]] = {}
        first_round: dict[str, int] = {}
        for call in self.calls:
            if call.round == first_round.setdefault(call.prompt, call.round):
                first.setdefault(call.prompt, []).extend(sample.cached for sample in call.samples)
        return not any(all(marks) for marks in first.values())

    @property
    def ids_tell(self) -> bool:
        """Whether replies to the two prompts had different ids."""
        one, other = ({sample.reply_id for sample in self._received(prompt)} for prompt in self.prompts)
        return bool(other) and not one & other

    @property
    def elsewhere(self) -> set[str]:
        """The texts that answered the other prompt."""
        return {sample.text for sample in self._received(self.prompts[1])}

    def _received(self, prompt: str) -> list[Sample]:
        return [sample for call in self.calls if call.prompt == prompt for sample in call.samples]

    @property
    def n_honoured(self) -> bool | None:
        """Whether one call can bring several different samples; None if that is not known."""
        if not self.calls:
            return None
        several = [[sample.text for sample in call.samples] for call in self.calls if len(call.samples) > 1]
        if any(len(set(texts)) > 1 for texts in several):
            return True
        return None if any(not looks_random(texts[0]) for texts in several) else False

    def speed_clause(self) -> str:
        """A clause on how much sooner repeated answers came than new ones; empty where that is not much."""
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
        """Further findings, to add to a sentence."""
        sentence = []
        if self.n_honoured is False:
            several = any(len(call.samples) > 1 for call in self.calls)
            sentence.append(f"asked for two samples, it gives {'one of them twice' if several else 'one at most'}")
        if not self.marks_tell:
            sentence.append("it marks new answers as cached, too, so that this means nothing")
        return "".join(f"; {each}" for each in sentence)

    def finding(self, nature: EndpointNature, sentence: str) -> ProbeFinding:
        """A finding, with all samples."""
        first_round: dict[str, int] = {}
        for call in self.calls:
            self.keep(call.prompt, call.round > first_round.setdefault(call.prompt, call.round), call.samples)
        return ProbeFinding(nature, sentence, self.n_honoured, self.marks_tell, tuple(self.received))


def looks_random(text: str) -> bool:
    """Whether a text has random letters: no words, and no letters in alphabetic or keyboard order."""
    runs = re.findall(r"[a-z]{16,}|(?:\b[a-z]\b[\s,]*){16,}", text[:MAX_READ_CHARS].lower())
    letters = max((re.sub(r"[^a-z]", "", run) for run in runs), key=len, default="")
    pairs = [letters[i : i + 2] for i in range(len(letters) - 1)]
    in_order = sum(any(pair in order or pair[::-1] in order for order in TYPED_ORDERS) for pair in pairs)
    return len(letters) >= MIN_LETTERS and len(set(letters)) >= MIN_DIFFERENT_LETTERS and 2 * in_order < len(pairs)


def _invalid(error: UnerringError) -> bool:
    """Whether the provider called the request invalid."""
    cause = error if isinstance(error, ProviderDown) else error.__cause__
    return isinstance(cause, ProviderDown) and cause.kind is FailureKind.INVALID


def _prompt(nonce: str) -> str:
    return f"Trial {nonce}: write 32 random lowercase letters and nothing else."


def _digits(name: str) -> str:
    return f"{int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), 'big') % 10**12:012d}"
