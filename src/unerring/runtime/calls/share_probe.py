"""Trying an endpoint out for replies that requests under way together share, where it does not write random letters.

A gateway may hold back a request that is the same as one under way, and answer both with one reply (request
coalescing). All first samples of a step are one reply then. Before a model that gives the same answer anyway neither
texts nor identities show it, and latencies are those of answers. What shows it is when replies come: the run's own
first question is sent, and sent again while it is under way. An answer of its own takes its time; a shared reply comes
at the same moment as the first one, however much later it was asked for.

**What is compared.** Each round has three calls: the question with a new last line; the same again, after a part of
the usual latency; and together with that, the question with another last line, which shares nothing. The reply is
shared where the second has the text of the first and comes within TOLERANCE of its latency, and the third does not.
The first round in which that does not hold ends the trial: for an honest endpoint mostly the first. A round whose
second call was sent at the wrong moment, since something held up one of the two, is made again; AGAIN are, at most.

**How often an honest endpoint is accused.** Its second and third call are sent together and take equally long but for
the line. All rounds go wrong less often than once in 100,000 sessions for latencies that are log-normal with a
deviation of up to 1, exponential, uniform over a factor of three, or of two sorts that differ by a factor of up to
eight; and once in 4,000 where a server sends replies at regular ticks only. PARTS differ, so that two sorts of
latencies do not differ by all of them.

Not found: a gateway that shares only some of the replies, and one whose model takes less than LEAST_SECONDS. Where the
run has no calls under way at once nothing is shared, and nothing is found.
"""

from dataclasses import dataclass, field, replace

from unerring.core.request import nonce_line
from unerring.core.voting.duplicates import SentCall
from unerring.core.voting.sample import Sample, Settings
from unerring.runtime.calls.cache_probe import MOST_TOKENS, Ask, EndpointNature, ProbeFinding, at_once
from unerring.runtime.protocols import Clock

PARTS = 0.3, 0.4, 0.5, 0.6, 0.7  # of the usual latency, after which the same is sent again; one for each round
AGAIN = 2  # rounds
MOST_SHARED = 3 * (len(PARTS) + AGAIN)  # calls
TOLERANCE = 0.05  # of the first reply's latency
JITTER = 0.01  # seconds: replies that come within them come at the same moment, as far as this machine can tell
LEAST_SECONDS = 0.1  # of an answer: jitter is too much of a faster one


async def probe_shared(
    ask: Ask, question: str, nonce: str, settings: Settings, so_far: ProbeFinding, clock: Clock
) -> ProbeFinding:
    """Add to a finding whether calls for the run's own question share a reply; `settings` are those of a sample of it.

    `so_far` has answers to the question, asked for one after the other.
    """
    asked = (sample.seconds for sent, sample, _ in so_far.received if sent.prompt.startswith(question))
    usual = min((seconds for seconds in asked if seconds is not None), default=0.0)
    if usual < LEAST_SECONDS:
        return so_far
    limit = min(MOST_TOKENS, settings.max_output_tokens)
    trial = _Trial(ask, question, nonce, replace(settings, temperature=1.0, max_output_tokens=limit), clock)
    shared = await _shared(trial, usual)
    nature = EndpointNature.SHARED if shared else so_far.nature
    told = (
        "Whenever it is sent again while it is under way, both replies come at the same moment: they are one"
        if shared
        else "Sent again while it is under way, it is answered by itself"
    )
    return replace(
        so_far, nature=nature, sentence=f"{so_far.sentence}. {told}", received=so_far.received + tuple(trial.received)
    )


async def _shared(trial: "_Trial", usual: float) -> bool:
    """Whether every round shows a shared reply; `usual` is the usual latency, in seconds."""
    again = 0
    for part in PARTS:
        while (found := await trial.shares(part * usual)) is None and again < AGAIN:
            again += 1
        if not found:
            return False
    return True


@dataclass(frozen=True, slots=True)
class _Came:
    """A reply to a prompt; `seconds` it took, and it came `at` a time of the clock."""

    prompt: str
    sample: Sample
    seconds: float
    at: float

    @property
    def sent(self) -> float:
        """When it was asked for."""
        return self.at - self.seconds


@dataclass(slots=True)
class _Trial:
    """The rounds of a trial, and what they brought."""

    send: Ask
    question: str
    nonce: str
    settings: Settings
    clock: Clock
    sent: int = 0
    received: list[tuple[SentCall, Sample, bool]] = field(default_factory=list)

    async def shares(self, wait: float) -> bool | None:
        """Whether a request that is sent again after so many seconds shares the first one's reply.

        None where it was not sent amid the first one: a journal that waits for its disk may hold either up.
        """
        line, other = (nonce_line(f"{self.nonce}:{which}:{self.sent}") for which in ("shared", "apart"))
        first, again, new = await at_once(self._ask(line), self._ask(line, wait), self._ask(other, wait))
        same = again.sample.text == first.sample.text
        for came in (first, again, new):  # all of their prompts but the last line was read before
            self.received.append((SentCall(came.prompt, later=True), came.sample, came is again and same))
        tolerance = max(JITTER, TOLERANCE * first.seconds)
        if not 2 * tolerance <= again.sent - first.sent <= first.seconds:
            return None if same else False
        return same and abs(again.at - first.at) <= tolerance < abs(new.at - first.at)

    async def _ask(self, line: str, wait: float = 0.0) -> _Came:
        prompt, settings = self.question + line, replace(self.settings, slot=2 * self.sent)
        self.sent += 1
        if wait:
            await self.clock.sleep(wait)
        sample = (await self.send(prompt, settings, 1))[0]
        return _Came(prompt, sample, sample.seconds or 0.0, self.clock.time())
