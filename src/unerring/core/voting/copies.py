"""Detect copies: replies that a cache served again instead of drawing a new sample.

A copy is not a second vote. With a sample error of 1 % and a margin of 3, independent votes decide one step in a
million wrongly; if a fifth of the later votes are copies of the first, seven in ten thousand.

Two replies with the same text prove nothing: right answers agree, and voting relies on that. Each of four signs does:

- **The provider says so**: by a header, or by a usage of zero (`Sample.cached`; the adapter decides).
- **The same id.** A provider gives each reply an id. A reply with the id of an earlier one, whatever the question and
  the voter, is that reply again (`unerring.core.voting.reply_ids`). Some ids mean nothing: Ollama draws one of 999,
  KoboldCpp gives every reply the same. Short ids are ignored, and a voter's ids are ignored once they contradict
  themselves.
- **A creation time before the request**, by the provider's clock.
- **A known text, sooner than any new one was written**: `_Latencies` states what is compared with what, and how
  improbable a false alarm is.

Not detected: a copy with an id of its own that takes as long as an answer, or one that comes before there is enough to
compare with. For these a session begins with probe calls (`unerring.runtime.probes.random_letters`). Certainty takes a
nonce in each request, for which no cache has an answer (`Request.nonce`), or an echo that the answer must repeat
(`Subtask.echo`). docs/why/caches.md lists which signs show which cache.

A reply that belongs to another question is flagged, but says nothing about a cache: no cache answers one prompt with
its answer to another. It does not count towards the share of copies that ends a session.
"""

from bisect import insort
from dataclasses import dataclass, field
from heapq import nsmallest
from math import inf, log, log1p, log2
from typing import NamedTuple

from unerring.core.journal.spend import WORDING_SEPARATOR
from unerring.core.voting.reply_ids import CreationTimes, IdTrust, RepeatKind, ReplyIds
from unerring.core.voting.sample import Finish, Sample

MIN_TIMES_FASTER = 3.0  # a copy came so many times as fast as the fastest new text
TAIL_LATENCIES = 32  # the lowest latencies, which show the lower tail
MIN_SPACINGS = 12.0  # mean logarithmic spacings of these between a copy and the fastest
MIN_COMPARABLE_TEXTS = 100  # new texts that a known one is compared with
MIN_FASTEST_SECONDS = 0.02  # below it, a latency is mostly the jitter of this machine
BASE_FALL_RATIO = 0.8  # of the fastest latency so far; a lower one shows that circumstances have changed
MAX_READ_PER_WRITTEN = 2  # tokens of a prompt for each of its answer, so that reading takes less time than writing
MIN_READ_SPEED_RATIO = 4.0  # tokens read in the time of one token written
MAX_TEMPLATE_TOKENS = 256  # of a chat template, beyond one token for each character of the prompt
FALSE_STOP_PROBABILITY = 1 / 1000  # for a session whose share of copies is within the limit
MAX_SESSION_SAMPLES = 1_000_000  # for which that probability holds
CACHED_REASON = "the provider served a cached reply"
STRAY_WINDOW_REPLIES = 40  # over which the share of replies to other requests is averaged
MAX_STRAY_SHARE = 0.8  # of these replies, from which on a session ends


class SentCall(NamedTuple):
    """A call, as far as its samples are compared with others.

    prompt: the prompt.
    later: whether a reply to the same question had come before it was sent.
    together: the number of samples that it returned.
    besides: the characters of the request besides the prompt: its messages, its schema, its further fields.
    """

    prompt: str
    later: bool = False
    together: int = 1
    besides: int = 0

    @property
    def most_input_tokens(self) -> int:
        """A bound of the tokens that the model reads, by any tokenizer."""
        return self.besides + len(self.prompt) + MAX_TEMPLATE_TOKENS


class CopyDetector:
    """Judges each sample of a session in the order of arrival, and counts copies.

    Counts begin at 0 in every session: what ended an earlier session, and was put right since, must not end this one.

    samples: samples that were judged.
    copies: copies among them.
    """

    def __init__(self, limit: float = 0.01, ids: ReplyIds | None = None) -> None:
        """Keep to a share of copies of at most `limit`; `ids` has those of earlier sessions."""
        self.samples = 0
        self.copies = 0
        self._voters: dict[str, _VoterReplies] = {}
        self._ids = ReplyIds() if ids is None else ids
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
        """The share of copies among all samples so far; 0 before the first."""
        return self.copies / self.samples if self.samples else 0.0

    @property
    def too_many(self) -> bool:
        """Whether the share of copies exceeds the limit, with a false alarm in at most one of 1000 sessions."""
        return self._excess.alarmed

    @property
    def worst_voter(self) -> str | None:
        """The voter with most copies, over all its wordings; None where there are no copies."""
        name = max(self._voters, key=lambda name: self._voters[name].copies, default=None)
        return name if name is not None and self._voters[name].copies else None

    def judge(self, voter: str, sent: SentCall, sample: Sample, text_known: bool) -> str | None:
        """The reason why a sample is a copy; None where nothing shows that it is one.

        `text_known` says that an earlier sample of the same question had the same text, from any voter.
        """
        known = self._of(voter)
        found = known.suspicion(sent, sample, text_known, self._ids)
        if known.by_id and not known.trust.trusted:
            self.copies -= known.by_id
            known.copies -= known.by_id
            known.by_id = known.uncounted = 0
            self._excess = ExcessTest(self._excess.limit)
        self.samples += 1
        part = 1.0 / sent.together
        self._replies += part
        strayed = found is not None and found.repeat in {RepeatKind.STRAY, RepeatKind.OTHER_TEXT}
        self._strays += (strayed - self._strays) * part / STRAY_WINDOW_REPLIES
        twice = found is not None and found.repeat is RepeatKind.COPY
        copied = found is not None and found.copied
        self.copies += copied
        known.copies += copied
        known.by_id += twice
        if twice and not known.trust.known_distinct:
            known.uncounted += 1
        else:
            self._excess.add(copied)
        if known.uncounted and known.trust.known_distinct:
            for _ in range(known.uncounted):
                self._excess.add(True)
            known.uncounted = 0
        return None if found is None else found.reason

    def recall(self, voter: str, sent: SentCall, sample: Sample, text_known: bool = False) -> None:
        """Learn from a sample without judging it: one of a probe, or of a step that an earlier session left open."""
        self._of(voter).suspicion(sent, sample, text_known, self._ids)

    def distrust_marks(self, voter: str) -> None:
        """Ignore the mark "cached" of this voter's replies from here on: new replies have it, too."""
        self._of(voter).marks_valid = False

    def _of(self, voter: str) -> "_VoterReplies":
        known = self._voters.get(voter)
        if known is None:  # one endpoint answers all wordings
            known = self._voters.setdefault(voter.partition(WORDING_SEPARATOR)[0], _VoterReplies())
            self._voters[voter] = known
        return known


class ExcessTest:
    """A sequential test: is the share of copies above a limit? It may be read after every sample.

    For several shares r above the limit q, the log-likelihood ratio is summed: ln(r / q) for a copy, ln((1 - r) / (1 -
    q)) for any other sample. One sum runs from the start of the session; another is set back to 0 whenever it falls
    below 0, for copies that begin later (Page's CUSUM, 1954). Assume that each sample is a copy with probability at
    most q, whatever came before. By Ville's inequality (1939) at most a e^-h is the probability that one of a sums of
    the first sort ever reaches h, and n a e^-h that one of the second does within n samples. Hence h = ln(a /
    `FALSE_STOP_PROBABILITY`) for the first and ln(n a / `FALSE_STOP_PROBABILITY`) for the second, with n =
    `MAX_SESSION_SAMPLES`.

    At a limit of 1 % it takes two copies if nothing else comes, the third copy after one new reply, and six in a row
    for a cache that is turned on late. One copy is never enough, except at a limit of 0.

    It breaks for sessions of more than n samples: their false alarms are more frequent in proportion.
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
        self._whole = log(max(1, len(self._gains)) / FALSE_STOP_PROBABILITY)

    def add(self, copied: bool) -> None:
        """Count one sample."""
        if not copied:
            self._others += 1  # these only lower the sums
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
    """The state of one voter: how many of its replies were copies, and what its ids, times and latencies show.

    marks_valid: whether the mark "cached" means anything.
    copies: its copies.
    by_id: those of them that only their id shows.
    uncounted: those of these that are not counted yet, because the voter's ids may turn out to mean nothing.
    """

    __slots__ = ("by_id", "copies", "latencies", "marks_valid", "times", "trust", "uncounted")

    def __init__(self) -> None:
        self.marks_valid = True
        self.copies = 0
        self.by_id = 0
        self.uncounted = 0
        self.trust = IdTrust()
        self.times = CreationTimes()
        self.latencies = _Latencies()

    def suspicion(self, sent: SentCall, sample: Sample, text_known: bool, ids: ReplyIds) -> "_Suspicion | None":
        """The reason to suspect a sample, or None. Learns from the sample in either case."""
        repeat = None
        if sample.reply_id is not None:
            repeat = ids.repeats(sample.reply_id, sent.prompt, sample.text, self.trust, 1.0 / sent.together)
        if sample.cached and self.marks_valid:
            return _Suspicion(CACHED_REASON, copied=True)
        if repeat is not None:
            return _Suspicion(repeat.value, copied=repeat is RepeatKind.COPY, repeat=repeat)
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
    """Why a sample may not vote.

    reason: the sentence that the journal keeps.
    copied: whether a cache explains it; too many of these end the session.
    repeat: what the id of an earlier reply shows it to be; None where it has no such id.
    """

    reason: str
    copied: bool
    repeat: RepeatKind | None = None


class _Latencies:
    """How long a voter took for new texts, and whether a known one came sooner than any new one could be written.

    **What is compared.** First replies to a prompt are no measure for later ones: engines keep what they have read
    (vLLM, llama.cpp and the large providers do, and not all say so in their usage), so a long prompt with a short
    answer is honestly answered ten times sooner the second time. These can be compared:

    - new texts of calls that were sent later as well: they have the same advantage, and come from no cache;
    - first replies to prompts of at most `MAX_READ_PER_WRITTEN` times their tokens: engines read at least
      `MIN_READ_SPEED_RATIO` times as fast as they write, so reading took at most a third of the time;
    - of first replies to longer prompts, the part of their time that went into writing: of `written` and `read` tokens
      at least written / (written + read / `MIN_READ_SPEED_RATIO`). Engines that read still faster only make this
      measure more lenient.

    Only texts with at most as many tokens are compared, the longest of which there are enough; where tokens are not
    counted but estimated, with at most as many characters (a prompt with `MAX_TEMPLATE_TOKENS` more tokens than
    characters shows that). The samples of one call share its latency, and may have been written one after the other:
    as a measure each has its share of the latency, as a suspect all of it.

    **When a latency is implausible.** At least `MIN_COMPARABLE_TEXTS` such texts are known. The fastest new text took
    at least `MIN_FASTEST_SECONDS`. The suspect took at most a third of that, and lies below it by `MIN_SPACINGS` times
    the mean logarithmic spacing of the `TAIL_LATENCIES` lowest. The last condition adapts to any spread. If the lower
    tail falls like x^a, as a gamma distribution's does, the logarithms of the lowest of m latencies have exponential
    spacings (Rényi; Hill, Annals of Statistics 3, 1975). With u uniform on (0, 1) and r = 1 + `MIN_SPACINGS` / 31, a
    further reply lies that far below with probability r^-31 E[min of 31 u^(1/r)] 32 / m, which is 1e-4 / m whatever a
    is. Under a log-normal tail, which falls faster than any power, it is less.

    **When circumstances change.** If the fastest latency falls by a fifth, of first replies or of later ones, the
    provider may have been busy before: `MIN_COMPARABLE_TEXTS` new texts are awaited again. It breaks where all replies
    are fast from the start, as before a cache that is still warm: no copy stands out then.
    """

    __slots__ = ("_base", "_counted", "_whole", "_written")

    def __init__(self) -> None:
        self._whole = _LatencyBySize()
        self._written = _LatencyBySize()  # of first replies to long prompts: the least time for writing
        self._counted = True  # whether the provider counts tokens; else they are estimated
        self._base: dict[bool, float] = {}  # the fastest latency of first (False) and later replies, when it last fell

    def learn(self, sent: SentCall, sample: Sample, seconds: float) -> None:
        """Learn the latency of a new text."""
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
        if self._counted and sample.usage.input_tokens >= sent.most_input_tokens:
            self._counted = False
            self._whole, self._written = _LatencyBySize(), _LatencyBySize()
        written = sample.usage.output_tokens if self._counted else 0
        return int(4.0 * log2(written or len(sample.text)))


@dataclass(slots=True)
class _LatencyBySize:
    """Latencies to compare a suspected copy with, by the size of the answer.

    lowest: the lowest latencies, seconds, ascending.
    comparable: how many are comparable, since the fastest last fell.
    """

    lowest: dict[int, list[float]] = field(default_factory=dict)
    comparable: dict[int, int] = field(default_factory=dict)

    def learn(self, size: int, seconds: float, comparable: bool) -> None:
        """Learn the latency of a new text."""
        lowest = self.lowest.setdefault(size, [])
        if len(lowest) < TAIL_LATENCIES or seconds < lowest[-1]:
            insort(lowest, seconds)
            del lowest[TAIL_LATENCIES:]
        if comparable:
            self.comparable[size] = self.comparable.get(size, 0) + 1

    def above(self, size: int, seconds: float) -> bool:
        """Whether answers of this size or the next smaller ones took implausibly longer than a suspect."""
        own = self.lowest.get(size)
        if own and seconds * MIN_TIMES_FASTER > own[0]:  # true of most samples
            return False
        shorter: list[list[float]] = []
        count = 0
        for at in sorted((at for at in self.lowest if at <= size), reverse=True):
            shorter.append(self.lowest[at])
            count += self.comparable.get(at, 0)
            if count >= MIN_COMPARABLE_TEXTS:  # shorter texts would only widen the spread
                break
        fastest = min((lowest[0] for lowest in shorter), default=0.0)
        if count < MIN_COMPARABLE_TEXTS or fastest < MIN_FASTEST_SECONDS or seconds * MIN_TIMES_FASTER > fastest:
            return False
        tail = nsmallest(TAIL_LATENCIES, (each for lowest in shorter for each in lowest))
        spacing = sum(log(tail[-1] / each) for each in tail[:-1]) / (len(tail) - 1)
        return log(fastest / seconds) > MIN_SPACINGS * spacing


def _is_complete(sample: Sample, seconds: float) -> bool:
    """Whether a latency is that of a whole answer: what a filter refuses or cuts off may come at any speed."""
    return sample.finish is Finish.STOP and bool(sample.text) and 0.0 < seconds < inf
