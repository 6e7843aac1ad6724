"""Probe an endpoint for a cache by asking the run's own first question repeatedly.

It is used where the probe that asks for random letters cannot tell (`unerring.runtime.probes.random_letters`), since
the model writes none.

A model for one purpose answers a question the same each time, so that equal texts prove nothing. Marks and ids do, and
so does time: a copy comes sooner than an answer to a new question. The question is asked again and again, and in
between with a new line at its end (`unerring.core.request.nonce_line`), which no cache has an answer to. Calls are
sent one after the other, so that a copy is there to be sent, and no two calls share a reply.

**What is compared.** Both sorts begin with the same text, which an engine with a prompt cache has read already; of the
new ones it has to read the last lines. Every other new one has LONG_LINES lines there; the time that it takes longer
shows what reading a line takes. A cache is found where in each of ROUNDS rounds the slowest repeated reply, times
MIN_TIMES_FASTER, came sooner than the fastest new one less the reading of its line. The first round in which that does
not hold ends the probe, as does an answer that differs: an honest endpoint usually takes three calls, at most eleven.

**How often an honest endpoint is accused.** Its calls take equally long except for the line, in any order. With ROUNDS
= 5 the five repeated ones are by chance all three times faster than the five new ones less often than once in 50,000
sessions for log-normal latencies with a deviation of up to 1, or exponential ones, and once in 1,000 where half of all
calls wait eight times as long as the others.

Not found: a cache that answers only a share of what it could (`unerring.core.voting.copies` watches for that), and
one that takes as long as an answer. Whether calls in flight share a reply: `unerring.runtime.probes.shared_reply`.
"""

from collections.abc import Sequence

from unerring.core.request import nonce_line
from unerring.core.voting.copies import MIN_FASTEST_SECONDS, MIN_TIMES_FASTER
from unerring.core.voting.sample import Sample, Settings
from unerring.runtime.probes.probe import EndpointNature, ProbeFinding, QuestionProbe, SendCall, same_id

ROUNDS = 5
MAX_REPEAT_CALLS = 1 + 2 * ROUNDS
LONG_LINES = 4  # at the end of every other new question, where the others have one


async def probe_repeats(
    send: SendCall, question: str, nonce: str, settings: Settings, so_far: ProbeFinding
) -> ProbeFinding:
    """Add to an unsure finding what the run's own question shows; `settings` are those of a sample of it."""
    probe = _RepeatProbe(send, question, nonce, settings)
    return probe.added_to(so_far, *await _probed(probe))


async def _probed(probe: "_RepeatProbe") -> tuple[EndpointNature, str]:
    repeated: list[Sample] = []
    new: list[list[Sample]] = [[], []]  # with one line at the end, and with several
    first = await probe.ask(1)
    for number in range(ROUNDS):
        repeated.append(await probe.ask(1))
        if repeated[-1].text != first.text:
            return EndpointNature.INDEPENDENT, "Asked the run's first question again, it gives another answer"
        several = number % 2 == 0
        new[several].append(await probe.ask(LONG_LINES if several else 1, new=True))
        if not (_by_name(first, repeated, new) or _sooner(repeated, new)):
            return (
                EndpointNature.UNSURE,
                "Repeated, the run's first question takes as long as one that is new: no cache shows",
            )
    if _by_name(first, repeated, new):
        return (
            EndpointNature.CACHED,
            "Asked the run's first question again, it sends the same reply, by marks or id",
        )
    slowest, fastest = _slowest(repeated), min(map(_seconds, new[0] + new[1]))
    return EndpointNature.CACHED, (
        f"The same answer to the run's first question came within {slowest:.3g} s each time, and answers to new ones "
        f"took {fastest:.3g} s at least"
    )


def _by_name(first: Sample, repeated: Sequence[Sample], new: Sequence[Sequence[Sample]]) -> bool:
    """Whether all repeated replies are marked as cached or have the first one's id, and no new reply does."""
    fresh = [sample for each in new for sample in each]
    marked = all(sample.cached for sample in repeated) and not any(sample.cached for sample in (first, *fresh))
    same = all(same_id(first, sample) for sample in repeated) and not any(same_id(first, one) for one in fresh)
    return marked or same


def _sooner(repeated: Sequence[Sample], new: Sequence[Sequence[Sample]]) -> bool:
    """Whether all repeated replies came sooner than new ones could, less the time to read their line."""
    fastest = min((_seconds(sample) for each in new for sample in each), default=0.0)
    reading = 0.0
    if new[0] and new[1]:
        longest, shortest = max(map(_seconds, new[1])), min(map(_seconds, new[0]))
        reading = max(0.0, longest - shortest) / (LONG_LINES - 1)
    return fastest >= MIN_FASTEST_SECONDS and 0.0 < _slowest(repeated) * MIN_TIMES_FASTER < fastest - reading


def _slowest(samples: Sequence[Sample]) -> float:
    return max(map(_seconds, samples))


def _seconds(sample: Sample) -> float:
    return sample.seconds or 0.0


class _RepeatProbe(QuestionProbe):
    """The calls of the probe, one after the other."""

    async def ask(self, lines: int, new: bool = False) -> Sample:
        """The answer to the question with so many lines at its end: lines of its own where it is to be new."""
        called = f"{self.nonce}:{self.sent if new else 'again'}"
        prompt = self.question + "".join(nonce_line(f"{called}:{line}") for line in range(lines))
        later = self.sent > 0  # after the first call the endpoint may have all but the last lines in its prompt cache
        sample = (await self.call(prompt))[0]
        self.keep(prompt, later, [sample])
        return sample
