"""Votes and copies: telling a reply that was drawn independently from one that a cache served again.

A copy of a vote is no vote. With a sample error of 1 % and a margin of 3, independent votes decide one step in a
million wrongly; where a fifth of the later votes are copies of the first, seven in ten thousand.

That two replies have the same text proves nothing: short answers agree honestly, and that they do is what voting
lives on. Four things do, each alone:

- **The provider says so**: by a header, or by a usage of zero (`Sample.cached`; the adapter decides).
- **The same identity.** A provider names each reply, and a name that has come before, to whatever question and from
  whichever voter, is that reply once more (`unerring.core.voting.reply_ids`). Some names mean nothing: Ollama draws
  one of 999, KoboldCpp calls every reply the same. Short ones are passed over, and a voter's are given up where they
  contradict themselves.
- **A reply made before it was asked for**, by the time that the provider gives it.
- **A known text, sooner than any new one was written.** `_Latencies` has what is compared with what, and how
  improbable it is that an honest reply is taken for a copy.

What is not recognized here is a copy with a name of its own that takes as long as an answer, or one that comes before
there is enough to compare with. For these there are trial calls at a session's start
(`unerring.runtime.calls.cache_probe`), and for certainty a line of its own for each request, which no cache has an
answer to (`Request.nonce`), and an echo that the answer must have in it (`Subtask.echo`). docs/why/caches.md has what
is found of which cache.

Replies that belong to another question are flagged, but say nothing of a cache: no cache answers one prompt with what
it has of another. They do not count towards the share of copies that ends a session.
"""

from bisect import insort
from heapq import nsmallest
from math import inf, log, log1p, log2
from typing import NamedTuple

from unerring.core.journal.spend import WORDING_SEPARATOR
from unerring.core.voting.reply_ids import CreationTimes, IdTrust, RepeatKind, ReplyIds
from unerring.core.voting.sample import Finish, Sample

MIN_TIMES_FASTER = 3.0  # than the fastest new text, at least
TAIL_LATENCIES = 32  # latencies that the lower tail is judged by
MIN_SPACINGS = 12.0  # mean logarithmic spacings of these, by which a copy lies below the fastest
MIN_COMPARABLE_TEXTS = 100  # new texts that a known one can be compared with
MIN_FASTEST_SECONDS = 0.02  # seconds; of faster servers, a latency is mostly the jitter of this machine
BASE_FALL_RATIO = 0.8  # of the fastest latency so far: below it circumstances have changed
MAX_READ_PER_WRITTEN = (
    2  # tokens of a prompt to one of its answer, at most, for reading to take the lesser part of the time
)
MIN_READ_SPEED_RATIO = 4.0  # times as fast as they write is what engines read, at the least
MAX_TEMPLATE_TOKENS = 256  # tokens that a prompt of so many characters has at the very worst, beyond one for each
FALSE_ALARM_PROBABILITY = 1 / 1000  # of a session whose share of copies is within the limit
MAX_SESSION_SAMPLES = 1_000_000  # samples of a session, over which that holds
CACHED_REASON = "the provider served a cached reply"
COPY_REASON = RepeatKind.COPY.value
STRAY_REASON = RepeatKind.STRAY.value
OTHER_TEXT_REASON = RepeatKind.OTHER_TEXT.value
STRAY_WINDOW_REPLIES = 40  # over which the share of replies that belong to other requests is averaged
MAX_STRAY_SHARE = 0.8  # of the latest replies, from which on a session is to end


class SentCall(NamedTuple):
    """A call, as far as its samples are compared with others.

    `prompt` is what was asked. `later` says that the call was sent when a reply to the same question had come
    already, and `together` how many samples it brought.
    """

    prompt: str
    later: bool = False
    together: int = 1


class DuplicateDetector:
    """Judges each sample in the order of arrival, and counts; there is one for each session of a run.

    `limit` is the share of copies beyond which a session is to end. Counts begin at 0 in every session: what an
    earlier one was ended for, and a person has put right, must not end this one.
    """

    def __init__(self, limit: float = 0.01, names: ReplyIds | None = None) -> None:
        """`names` has those of replies that earlier sessions received."""
        self.samples = 0
        self.copies = 0
        self._voters: dict[str, _VoterReplies] = {}
        self._names = ReplyIds() if names is None else names
        self._excess = ExcessTest(limit)
        self._strays, self._replies = 0.0, 0.0  # the share of strays among the latest replies, and all replies so far

    @property
    def astray(self) -> bool:
        """Whether most of the latest replies belong to other requests, so that no reply can be trusted.

        The share is a moving average over `STRAY_WINDOW_REPLIES` replies. At a true share of 40 % its standard
        deviation is 0.055: `MAX_STRAY_SHARE` lies seven of them above. A limit of 1 allows strays, too.
        """
        return self._excess.limit < 1.0 and self._replies >= STRAY_WINDOW_REPLIES and self._strays >= MAX_STRAY_SHARE

    @property
    def share(self) -> float:
        """Copies among all samples judged so far; 0 before the first."""
        return self.copies / self.samples if self.samples else 0.0

    @property
    def too_many(self) -> bool:
        """Whether it is past doubt that the share of copies is beyond the limit."""
        return self._excess.alarmed

    @property
    def worst_voter(self) -> str | None:
        """The voter with most copies, whatever the wording; None before the first."""
        name = max(self._voters, key=lambda name: self._voters[name].copies, default=None)
        return name if name is not None and self._voters[name].copies else None

    def judge(self, voter: str, sent: SentCall, sample: Sample, text_known: bool) -> str | None:
        """The reason why a sample is a copy; None where it was drawn independently, as far as is known.

        `text_known` says that an earlier sample of the same question had the identical text, whoever gave it.
        """
        known = self._of(voter)
        found = known.suspicion(sent, sample, text_known, self._names)
        if known.by_name and not known.trust.telling:
            self.copies -= known.by_name
            known.copies -= known.by_name
            known.by_name = known.unsettled = 0
            self._excess = ExcessTest(self._excess.limit)
        self.samples += 1
        part = 1.0 / sent.together
        self._replies += part
        strayed = found is not None and found.reason in {STRAY_REASON, OTHER_TEXT_REASON}
        self._strays += (strayed - self._strays) * part / STRAY_WINDOW_REPLIES
        twice = found is not None and found.reason == COPY_REASON
        copied = found is not None and found.copied
        self.copies += copied
        known.copies += copied
        known.by_name += twice
        if twice and not known.trust.settled:
            known.unsettled += 1
        else:
            self._excess.add(copied)
        if known.unsettled and known.trust.settled:
            for _ in range(known.unsettled):
                self._excess.add(True)
            known.unsettled = 0
        return None if found is None else found.reason

    def recall(self, voter: str, sent: SentCall, sample: Sample, text_known: bool = False) -> None:
        """Learn from a sample that is not judged: of a trial call, or of a step that an earlier session left open."""
        self._of(voter).suspicion(sent, sample, text_known, self._names)

    def distrust_marks(self, voter: str) -> None:
        """From here on it means nothing if a reply of this voter is marked as cached: new ones are, too."""
        self._of(voter).marks_tell = False

    def _of(self, voter: str) -> "_VoterReplies":
        known = self._voters.get(voter)
        if known is None:  # whatever the wording, one endpoint answers
            known = self._voters.setdefault(voter.partition(WORDING_SEPARATOR)[0], _VoterReplies())
            self._voters[voter] = known
        return known


class ExcessTest:
    """Whether more copies come than a limit allows: a test that may be read after every sample.

    For several shares r above the limit q, the log-likelihood ratio of the two is summed up: ln(r / q) for a copy,
    ln((1 - r) / (1 - q)) for any other sample. One sum runs from the session's start; another is set back to 0
    whenever it falls below, for copies that begin later (Page's CUSUM). If a sample is a copy with a chance of at most
    q, whatever came before, then by Ville's inequality one of a sums of the first sort ever reaches h with a chance of
    at most a e^-h, and within n samples one of the second with n a e^-h. Hence h = ln(a / FALSE_ALARM) for the first
    and ln(n a / FALSE_ALARM) for the second.

    At a limit of 1 % it takes two copies where nothing else comes, the third copy after one new reply, and six in a
    row if a cache is turned on later on. One copy alone is never enough, unless the limit is 0.
    """

    def __init__(self, limit: float) -> None:
        if not 0.0 <= limit <= 1.0:
            raise ValueError(f"a limit of copies is a share from 0 to 1, not {limit!r}")
        self.limit = limit
        self.alarmed = False
        doubled = (limit * 2.0**i for i in range(1, 64))
        shares = [1.2 * limit, *(share for share in doubled if 0.0 < share < 0.5), 0.5, 0.9]
        self._gains = [
            (log(share / limit), log1p(-share) - log1p(-limit)) for share in shares if 0.0 < limit < share < 1.0
        ]
        self._sums = [(0.0, 0.0)] * len(self._gains)
        self._others = 0  # samples since the last copy, not summed up yet
        self._whole = log(max(1, len(self._gains)) / FALSE_ALARM_PROBABILITY)

    def add(self, copied: bool) -> None:
        """Take in one sample."""
        if not copied:
            self._others += 1  # which only lowers the sums
            return
        if self.limit == 0.0:
            self.alarmed = True
        sums = []
        for (whole, since), (gain, loss) in zip(self._sums, self._gains, strict=True):
            fallen = self._others * loss
            sums.append((whole + fallen + gain, max(0.0, since + fallen) + gain))
        self._sums, self._others = sums, 0
        if any(whole >= self._whole or since >= self._whole + log(MAX_SESSION_SAMPLES) for whole, since in sums):
            self.alarmed = True


class _VoterReplies:
    """What is known of one voter's replies: `copies` of them, `by_name` of these by their identity alone.

    Of the latter `unsettled` are not counted as copies yet: the endpoint's ids may turn out to mean nothing.
    """

    __slots__ = ("by_name", "copies", "latencies", "marks_tell", "times", "trust", "unsettled")

    def __init__(self) -> None:
        self.marks_tell = True
        self.copies = 0
        self.by_name = 0
        self.unsettled = 0
        self.trust = IdTrust()
        self.times = CreationTimes()
        self.latencies = _Latencies()

    def suspicion(self, sent: SentCall, sample: Sample, text_known: bool, names: ReplyIds) -> "_Suspicion | None":
        """Why a sample is no new answer to what was asked, if it is none; learns from it either way."""
        repeat = None
        if sample.reply_id is not None:
            repeat = names.repeats(sample.reply_id, sent.prompt, sample.text, self.trust, 1.0 / sent.together)
        if sample.cached and self.marks_tell:
            return _Suspicion(CACHED_REASON, copied=True)
        if repeat is not None:
            return _Suspicion(repeat.value, copied=repeat is RepeatKind.COPY)
        if sample.seconds is None:
            return None
        if sample.made is not None and (before := self.times.too_old(sample.made, sample.seconds)) is not None:
            return _Suspicion(f"the provider made the reply {before:.0f} s before it was asked for", copied=False)
        if not text_known:
            self.latencies.learn(sent, sample, sample.seconds)
        elif self.latencies.implausible(sent, sample, sample.seconds):
            reason = f"a known text came within {sample.seconds:.3g} s, sooner than any new one"
            return _Suspicion(reason, copied=True)
        return None


class _Suspicion(NamedTuple):
    """Why a sample does not vote. `copied` says that it is what a cache does: too many such end a session."""

    reason: str
    copied: bool


class _Latencies:
    """How long a voter took for new texts, and whether a known one came sooner than any could be written.

    **What is compared with what.** First replies to a prompt are no measure for later ones. Engines keep what they
    have read (vLLM, llama.cpp and the large providers do, and not all say so in their usage), so that a long prompt
    with a short answer is honestly answered ten times sooner the second time. These can be compared:

    - new texts of calls that were sent later as well: they have the same advantage, and come out of no cache;
    - first replies to prompts of at most READING times their tokens: engines read READ_FASTER times as fast as they
      write or faster, so that reading took a third of the time at most;
    - of first replies to longer prompts, the part of their time that went into writing: for `written` and `read`
      tokens that is written / (written + read / READ_FASTER) of it at least. They are a measure by themselves. Engines
      that read still faster, as graphics cards do, leave a later reply more room than it needs.

    Of these only texts of no more tokens, since each takes its time, and the longest that there are enough of; or of
    no more characters, where tokens are not counted but taken at their worst, which shows in a prompt that has
    TEMPLATE more of them than characters. The samples of one call share its latency, and may have been written one
    after the other: as a measure each has its part of it, as a suspect all of it.

    **When it is implausible.** ENOUGH such texts are known. The fastest new text, first replies included, took NEAREST
    at least. The suspect took a third of that at most, and lies below it by SPACINGS times the mean logarithmic
    spacing of the LOWEST. This last condition fits itself to any spread. Where the lower tail falls like x^a, as a
    gamma distribution's does, the logarithms of the lowest of m latencies lie exponentially spaced (Rényi; Hill,
    Annals of Statistics 3, 1975). With u uniform on (0, 1) and r = 1 + SPACINGS / 31, a further reply then lies that
    far below with a chance of r^-31 E[min of 31 u^(1/r)] 32 / m, which is 1e-4 / m whatever a is. Under a log-normal
    tail, which falls faster than any power, it is less.

    **When circumstances change.** If the fastest latency falls by a fifth, of first replies or of later ones, the
    provider may have been busy until then: ENOUGH new texts are waited for again. Where all is fast from the start,
    as before a cache that is still warm, nothing stands out.
    """

    __slots__ = ("_base", "_counted", "_whole", "_written")

    def __init__(self) -> None:
        self._whole = _LatencyBySize()
        self._written = _LatencyBySize()  # of first replies to long prompts, what writing took at least
        self._counted = True  # whether usage is what the provider says, and not taken at its worst
        self._base: dict[bool, float] = {}  # the fastest latency of first replies and of later ones, as it last fell

    def learn(self, sent: SentCall, sample: Sample, seconds: float) -> None:
        """Take in a new text."""
        if not _is_complete(sample, seconds):
            return
        seconds, size = seconds / sent.together, self._size(sent, sample)
        if seconds < BASE_FALL_RATIO * self._base.get(sent.later, inf):
            self._base[sent.later] = seconds
            self._whole.comparable.clear()
            self._written.comparable.clear()
        read, written = sample.usage.input_tokens, sample.usage.output_tokens
        counted = self._counted and read > 0 and written > 0
        self._whole.learn(size, seconds, sent.later or (counted and read <= MAX_READ_PER_WRITTEN * written))
        if counted and not sent.later and read > MAX_READ_PER_WRITTEN * written:
            self._written.learn(size, seconds * written / (written + read / MIN_READ_SPEED_RATIO), True)

    def implausible(self, sent: SentCall, sample: Sample, seconds: float) -> bool:
        """Whether a known text came sooner than a new one could."""
        if not sent.later or not _is_complete(sample, seconds):
            return False
        size = self._size(sent, sample)
        return self._whole.above(size, seconds) or self._written.above(size, seconds)

    def _size(self, sent: SentCall, sample: Sample) -> int:
        """The length of an answer, in quarters of octaves."""
        if self._counted and sample.usage.input_tokens >= len(sent.prompt) + MAX_TEMPLATE_TOKENS:
            self._counted = False
            self._whole, self._written = _LatencyBySize(), _LatencyBySize()
        written = sample.usage.output_tokens if self._counted else 0
        return int(4.0 * log2(written or len(sample.text)))


class _LatencyBySize:
    """Latencies to compare a suspected copy with, by size of the answer: the lowest, and how many are comparable."""

    __slots__ = ("comparable", "lowest")

    def __init__(self) -> None:
        self.lowest: dict[int, list[float]] = {}  # seconds, ascending
        self.comparable: dict[int, int] = {}  # how many, since the base fell

    def learn(self, size: int, seconds: float, comparable: bool) -> None:
        """Take in a new text's latency."""
        lowest = self.lowest.setdefault(size, [])
        if len(lowest) < TAIL_LATENCIES or seconds < lowest[-1]:
            insort(lowest, seconds)
            del lowest[TAIL_LATENCIES:]
        if comparable:
            self.comparable[size] = self.comparable.get(size, 0) + 1

    def above(self, size: int, seconds: float) -> bool:
        """Whether the latencies of answers of this size or the next lie implausibly far above a suspect's."""
        own = self.lowest.get(size)
        if own and seconds * MIN_TIMES_FASTER > own[0]:  # so it is with most
            return False
        shorter: list[list[float]] = []
        count = 0
        for at in sorted((at for at in self.lowest if at <= size), reverse=True):
            shorter.append(self.lowest[at])
            count += self.comparable.get(at, 0)
            if count >= MIN_COMPARABLE_TEXTS:  # still shorter ones would only widen the spread
                break
        fastest = min((lowest[0] for lowest in shorter), default=0.0)
        if count < MIN_COMPARABLE_TEXTS or fastest < MIN_FASTEST_SECONDS or seconds * MIN_TIMES_FASTER > fastest:
            return False
        tail = nsmallest(TAIL_LATENCIES, (each for lowest in shorter for each in lowest))
        spacing = sum(log(tail[-1] / each) for each in tail[:-1]) / (len(tail) - 1)
        return log(fastest / seconds) > MIN_SPACINGS * spacing


def _is_complete(sample: Sample, seconds: float) -> bool:
    """Whether a latency is that of an answer: what a filter refuses or cuts off may come at any speed."""
    return sample.finish is Finish.STOP and bool(sample.text) and 0.0 < seconds < inf
