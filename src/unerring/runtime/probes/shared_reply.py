"""Probe whether an endpoint answers simultaneous calls with one shared reply, by the times at which replies come.

It is used where the probe that asks for random letters cannot tell (`unerring.runtime.probes.random_letters`), since
the model writes none.

A gateway may hold back a request that is the same as one in flight, and answer both with one reply (request
coalescing). All first samples of a step are one reply then. With a model that gives the same answer anyway, neither
texts nor ids show it, and latencies are those of answers. The times of replies show it: the run's own first question
is sent, and sent again while the first call is in flight. An answer of its own takes its time; a shared reply comes at
the same moment as the first one, however much later it was asked for.

**What is compared.** Each round has three calls: the question with a new last line; the same again, after a part of
the usual latency; and together with that, the question with another last line, which shares nothing. The reply is
shared where the second has the text of the first and comes within TOLERANCE_SHARE of its latency, and the third does
not. The first round in which that does not hold ends the probe: for an honest endpoint usually the first. A round
whose second call was sent at the wrong moment, since one of the two was delayed, is repeated, MAX_REPEATED_ROUNDS
times at most.

**How often an honest endpoint is accused.** Its second and third call are sent together and take equally long except
for the line. All rounds go wrong less often than once in 100,000 sessions for latencies that are log-normal with a
deviation of up to 1, exponential, uniform over a factor of three, or of two sorts that differ by a factor of up to
eight; and once in 4,000 where a server sends replies at regular ticks only. WAIT_SHARES differ, so that two sorts of
latencies do not differ by all of them.

Not found: a gateway that shares only some of the replies, and one whose model takes less than MIN_ANSWER_SECONDS.
Where the run has no calls in flight at once nothing is shared, and nothing is found.
"""

from dataclasses import dataclass

from unerring.core.request import nonce_line
from unerring.core.voting.sample import Sample, Settings
from unerring.runtime.probes.probe import EndpointNature, ProbeFinding, QuestionProbe, SendCall, in_parallel
from unerring.runtime.protocols import Clock

WAIT_SHARES = 0.3, 0.4, 0.5, 0.6, 0.7  # of the usual latency, after which the same is sent again; one for each round
MAX_REPEATED_ROUNDS = 2
MAX_SHARE_CALLS = 3 * (len(WAIT_SHARES) + MAX_REPEATED_ROUNDS)
TOLERANCE_SHARE = 0.05  # of the first reply's latency
JITTER_SECONDS = 0.01  # replies within them come at the same moment, as far as this machine can measure
MIN_ANSWER_SECONDS = 0.1  # jitter is too large a part of a faster answer


async def probe_shared(
    send: SendCall, question: str, nonce: str, settings: Settings, so_far: ProbeFinding, clock: Clock
) -> ProbeFinding:
    """Add to a finding whether calls for the run's own question share a reply; `settings` are those of a sample of it.

    `so_far` has answers to the question, asked for one after the other.
    """
    asked = (sample.seconds for sent, sample, _ in so_far.received if sent.prompt.startswith(question))
    usual = min((seconds for seconds in asked if seconds is not None), default=0.0)
    if usual < MIN_ANSWER_SECONDS:
        return so_far
    probe = _ShareProbe(send, question, nonce, settings, clock)
    if await _shared(probe, usual):
        sentence = "Whenever it is sent again while in flight, both replies come at the same moment: they are one"
        return probe.added_to(so_far, EndpointNature.SHARED, sentence)
    return probe.added_to(so_far, so_far.nature, "Sent again while in flight, it is answered by itself")


async def _shared(probe: "_ShareProbe", usual: float) -> bool:
    """Whether every round shows a shared reply; `usual` is the usual latency, in seconds."""
    again = 0
    for part in WAIT_SHARES:
        while (shared := await probe.shares(part * usual)) is None and again < MAX_REPEATED_ROUNDS:
            again += 1
        if not shared:
            return False
    return True


@dataclass(frozen=True, slots=True)
class _TimedReply:
    """A reply to a prompt.

    seconds: its latency.
    at: when it came, seconds of the clock.
    """

    prompt: str
    sample: Sample
    seconds: float
    at: float

    @property
    def sent(self) -> float:
        """When it was asked for."""
        return self.at - self.seconds


class _ShareProbe(QuestionProbe):
    """The rounds of the probe."""

    def __init__(self, send: SendCall, question: str, nonce: str, settings: Settings, clock: Clock) -> None:
        super().__init__(send, question, nonce, settings)
        self._clock = clock

    async def shares(self, wait: float) -> bool | None:
        """Whether a call that is sent again after so many seconds shares the first one's reply.

        None where it was not sent while the first was in flight: waiting for the journal's disk may delay either.
        """
        line, other = (nonce_line(f"{self.nonce}:{which}:{self.sent}") for which in ("shared", "apart"))
        first, again, new = await in_parallel(self._ask(line), self._ask(line, wait), self._ask(other, wait))
        same = again.sample.text == first.sample.text
        for one in (first, again, new):  # all of their prompts but the last line was read before
            self.keep(one.prompt, True, [one.sample])
        tolerance = max(JITTER_SECONDS, TOLERANCE_SHARE * first.seconds)
        if not 2 * tolerance <= again.sent - first.sent <= first.seconds:
            return None if same else False
        return same and abs(again.at - first.at) <= tolerance < abs(new.at - first.at)

    async def _ask(self, line: str, wait: float = 0.0) -> _TimedReply:
        if wait:
            await self._clock.sleep(wait)
        prompt = self.question + line
        sample = (await self.call(prompt))[0]
        return _TimedReply(prompt, sample, sample.seconds or 0.0, self._clock.time())
