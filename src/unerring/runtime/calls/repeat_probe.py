"""Trying an endpoint out with the run's own first question, where it does not write random letters.

A model for one purpose answers a question the same each time, so that equal texts prove nothing. Marks and identities
do, and so does time: a copy comes sooner than an answer to a question that is new. The question is asked again and
again, and between that with a line of its own at the end (`unerring.core.request.nonce_line`), which no cache has an
answer to. Calls go one after the other, so that a copy is there to be sent, and none shares a reply with another one.

**What is compared.** Both sorts begin with the same text, which an engine with a prompt cache has read already; to the
new ones it has to read their last lines. Every other new one has LONGER lines there, and what it takes longer shows
what reading a line takes. A cache is found where in each of ROUNDS rounds the slowest repeated reply, times
TIMES_FASTER, came sooner than the fastest new one less the reading of its line. The first round in which that does not
hold ends the trial, as does an answer that differs: an honest endpoint mostly takes three calls, and eleven at most.

**How often an honest endpoint is accused.** Its calls take equally long but for the line, whatever their order. With
ROUNDS = 5 the five repeated ones are by chance all three times faster than the five new ones less often than once in
50,000 sessions for log-normal latencies with a deviation of up to 1, or exponential ones, and once in 1,000 where half
of all calls wait eight times as long as the others.

Not found: a cache that answers only a share of what it could (`unerring.core.voting.duplicates` watches for that), and
one that takes as long as an answer. `unerring.runtime.calls.share_probe` tries out whether requests under way share a
reply.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from unerring.core.request import nonce_line
from unerring.core.voting.duplicates import MIN_FASTEST_SECONDS, MIN_TIMES_FASTER, SentCall
from unerring.core.voting.sample import Sample, Settings
from unerring.runtime.calls.cache_probe import MOST_TOKENS, Ask, EndpointNature, ProbeFinding, is_named

ROUNDS = 5
MOST_REPEATS = 1 + 2 * ROUNDS  # calls
LONGER = 4  # lines at the end of every other new question, where the others have one


async def probe_repeats(ask: Ask, question: str, nonce: str, settings: Settings, so_far: ProbeFinding) -> ProbeFinding:
    """Add to an unsure finding what the run's own question shows; `settings` are those of a sample of it."""
    limit = min(MOST_TOKENS, settings.max_output_tokens)
    trial = _RepeatProbe(ask, question, nonce, replace(settings, temperature=1.0, max_output_tokens=limit))
    nature, sentence = await _tried(trial)
    received = so_far.received + tuple(trial.received)
    return replace(so_far, nature=nature, sentence=f"{so_far.sentence}. {sentence}", received=received)


async def _tried(trial: "_RepeatProbe") -> tuple[EndpointNature, str]:
    repeated: list[Sample] = []
    new: list[list[Sample]] = [[], []]  # with one line at the end, and with several
    first = await trial.ask(1)
    for number in range(ROUNDS):
        repeated.append(await trial.ask(1))
        if repeated[-1].text != first.text:
            return EndpointNature.INDEPENDENT, "Asked the run's first question again, it gives another answer"
        several = number % 2 == 0
        new[several].append(await trial.ask(LONGER if several else 1, new=True))
        if not (_by_name(first, repeated, new) or _sooner(repeated, new)):
            return (
                EndpointNature.UNSURE,
                "Repeated, the run's first question takes as long as one that is new: no cache shows",
            )
    if _by_name(first, repeated, new):
        return (
            EndpointNature.CACHED,
            "Asked the run's first question again, it sends the same reply, by marks or identity",
        )
    slowest, fastest = _slowest(repeated), min(map(_seconds, new[0] + new[1]))
    return EndpointNature.CACHED, (
        f"The same answer to the run's first question came within {slowest:.3g} s each time, and answers to new ones "
        f"took {fastest:.3g} s at least"
    )


def _by_name(first: Sample, repeated: Sequence[Sample], new: Sequence[Sequence[Sample]]) -> bool:
    """Whether the provider says that all repeated replies are copies, or names them like the first, and no new one."""
    fresh = [sample for each in new for sample in each]
    marked = all(sample.cached for sample in repeated) and not any(sample.cached for sample in (first, *fresh))
    same = all(is_named(first, sample) for sample in repeated) and not any(is_named(first, one) for one in fresh)
    return marked or same


def _sooner(repeated: Sequence[Sample], new: Sequence[Sequence[Sample]]) -> bool:
    """Whether all repeated replies came sooner than new ones could, less what reading their line took."""
    fastest = min((_seconds(sample) for each in new for sample in each), default=0.0)
    reading = 0.0
    if new[0] and new[1]:
        longest, shortest = max(map(_seconds, new[1])), min(map(_seconds, new[0]))
        reading = max(0.0, longest - shortest) / (LONGER - 1)
    return fastest >= MIN_FASTEST_SECONDS and 0.0 < _slowest(repeated) * MIN_TIMES_FASTER < fastest - reading


def _slowest(samples: Sequence[Sample]) -> float:
    return max(map(_seconds, samples))


def _seconds(sample: Sample) -> float:
    return sample.seconds or 0.0


@dataclass(slots=True)
class _RepeatProbe:
    """The calls of a trial, one after the other, and what they brought."""

    send: Ask
    question: str
    nonce: str
    settings: Settings
    sent: int = 0
    received: list[tuple[SentCall, Sample, bool]] = field(default_factory=list)
    known: set[tuple[str, str]] = field(default_factory=set)

    async def ask(self, lines: int, new: bool = False) -> Sample:
        """The answer to the question with so many lines at its end: of its own where it is to be new."""
        called = f"{self.nonce}:{self.sent if new else 'again'}"
        prompt = self.question + "".join(nonce_line(f"{called}:{line}") for line in range(lines))
        settings = replace(self.settings, slot=2 * self.sent)
        sample = (await self.send(prompt, settings, 1))[0]
        # all of it but the last lines was read for the first call
        self.received.append((SentCall(prompt, later=self.sent > 0), sample, (prompt, sample.text) in self.known))
        self.known.add((prompt, sample.text))
        self.sent += 1
        return sample
