"""What is known of a run: the fold of its journal's entries, and nothing else.

A live run and a journal read back pass through the same `RunState.apply`, so they cannot differ. Votes are
counted by a race in the order in which their samples were numbered, not in which they arrived: fast answers
must not vote first, and a replay must agree with the run.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from typing import NamedTuple

from unerring.core.journal.entries import (
    DRAFT,
    Accepted,
    Allowed,
    Cancelled,
    Committed,
    Drafted,
    Entry,
    Failed,
    Finished,
    Inherited,
    Intent,
    Opened,
    Paused,
    Probed,
    QuestionText,
    Redrawn,
    Refused,
    Rejudged,
    Replies,
    Reply,
    Resumed,
    Ruled,
    Served,
    Shortlisted,
    Voter,
    digest_of,
)
from unerring.core.journal.spend import Account, Charge
from unerring.core.reporting.reasons import ReasonCounts
from unerring.core.reporting.speedup import Speedup
from unerring.core.request import Request, request_from
from unerring.core.short_text import shortened
from unerring.core.voting.canonical import Json, parsed
from unerring.core.voting.policy import Policy, policy_from
from unerring.core.voting.race import Won
from unerring.core.voting.redflag import FlagKind
from unerring.core.voting.sample import Message, Usage
from unerring.core.voting.step import MisplacedEntry, OpenStep, VoterRecord
from unerring.errors import FailureKind

MOST_CALLED = 1 << 20  # samples of one call: more than any, and few enough to be listed

MAX_FAILURE_CHARS = 300  # of a failure's reason that is counted


class Decided(NamedTuple):
    """A committed step: its choice in canonical form and how the votes fell, most votes first.

    `ahead` says that samples were asked for before the step before it was committed, and `wasted` how many of this
    step were asked from states that turned out not to be. `margin` is the lead that won: votes, or millinats where
    votes are weighed. Then the choice may also have had fewer votes than another one; `votes_for` counts its own.
    Where the step was `ruled`, a person chose in place of the votes, whatever these were, and there is no margin; nor
    is there one where it was `shortlisted`, and its choice lists those that had votes. Samples that a person set aside
    are not among its replies. `question` is the digest of what was asked, and `wordings` its text where it was kept,
    with the question's own `messages` before it (None in journals of before); a step that was `inherited` has none,
    and no votes: another run decided it.
    """

    step: int
    choice: str
    tally: tuple[int, ...]
    flags: int
    rounds: int
    replies: tuple[Reply, ...]
    ahead: bool = False
    wasted: int = 0
    margin: int = 0
    ruled: bool = False
    shortlisted: bool = False
    question: str | None = None
    wordings: tuple[str, ...] | None = None
    inherited: bool = False
    messages: tuple[Message, ...] | None = None

    @property
    def votes(self) -> int:
        return sum(self.tally)

    @property
    def cast(self) -> list[Reply]:
        """The samples that were votes."""
        return [reply for reply in self.replies if reply.choice is not None]

    @property
    def winner(self) -> int | None:
        """The number of the sample that spells out the committed choice."""
        return next((reply.slot for reply in self.replies if reply.choice == self.choice), None)

    def text_of(self, slot: int) -> str | None:
        """The text of a sample; None for one that a forged journal does not have."""
        texts = {reply.slot: reply.text for reply in self.replies}
        text = texts.get(slot)
        return text if not isinstance(text, int) else str(texts.get(text))

    @property
    def votes_for(self) -> int:
        """Votes for the committed choice."""
        winner = self.winner
        return sum(reply.candidate == winner for reply in self.cast)

    @property
    def value(self) -> Json:
        """The choice as JSON data; raises `MisplacedEntry` where a forged journal has something else."""
        try:
            return parsed(self.choice)
        except (ValueError, RecursionError):
            raise MisplacedEntry(f"step {self.step} is committed with a choice that is not JSON") from None


def texts_of(replies: Iterable[Reply]) -> dict[int, str]:
    """The text of each sample of a step by its number; `replies` has all of the step's."""
    every = tuple(replies)
    own = {reply.slot: reply.text for reply in every if isinstance(reply.text, str)}
    return {reply.slot: reply.text if isinstance(reply.text, str) else own[reply.text] for reply in every}


class RunState:
    """A run as its entries tell it. `apply` is the only way to change one.

    A pilot, which decides nothing, does two things more: it lets go of steps that it has counted (`forget`), and says
    where the rounds of its samples begin (`OpenStep.begin_round`). Both follow from the entries that it has.
    """

    def __init__(self) -> None:
        self.opened: Opened | None = None
        self.policy = Policy()
        self.request = Request()
        self.entries = 0
        self.committed = 0
        self.open: dict[int, dict[str, OpenStep]] = {}
        self.paused: Paused | None = None
        self.finished: Finished | None = None
        self.sessions = 0
        self.voters: dict[int, VoterRecord] = {}
        self.usage = Usage()
        self.samples = 0
        self.flags: Counter[FlagKind] = Counter()
        self.reasons = ReasonCounts()
        self.failure_reasons = ReasonCounts()
        self.in_flight: set[tuple[int, int, str]] = set()
        self.unknown = 0
        self.failures = 0
        self.given_up = 0  # of the unknown ones: after a wrong guess
        self.wasted = 0
        self.drafts = 0
        self.last_digest = ""
        self.pace = Speedup()
        self.account = Account()
        self.served: dict[int, list[str]] = {}
        self.findings: list[str] = []
        self.redrawn = 0
        self.set_aside = 0
        self.rejudged = 0
        self.inherited = 0
        self.changes: list[Accepted] = []
        self.parameters: dict[str, Json] = {}
        self.identity: dict[str, Json] | None = None

    def step(self, step: int, at: str | None = None) -> OpenStep:
        """The voting on a step that is not committed yet, opened if need be.

        `at` is the digest of the state that the step is asked from. Without it that is the state which the chain has
        reached, and the step is the next one to commit. A step can be open from several states at once, all but one of
        them guessed wrongly.
        """
        if step < self.committed:
            raise MisplacedEntry(f"step {step} is committed already")
        at = self._place(step, at)
        opened = self.open.setdefault(step, {})
        if at not in opened:
            opened[at] = OpenStep(step, self.policy, self.voters)
        return opened[at]

    @property
    def frontier(self) -> OpenStep | None:
        """The voting on the next step to commit, where it has begun."""
        return self.open.get(self.committed, {}).get(self.last_digest)

    @property
    def substitutes(self) -> tuple[str, ...]:
        """The models that steps at the frontier are to be drawn again from."""
        at_frontier = self.open.get(self.committed, {}).values()
        return tuple(sorted({step.model for step in at_frontier if step.model is not None}))

    def forget(self, step: int) -> None:
        """Let go of the voting on a step that nothing more is asked of: a pilot's, once it is counted."""
        self.open.pop(step, None)

    def _place(self, step: int, at: str | None) -> str:
        """The digest of the state that a step is asked from."""
        if at is not None:
            return at
        if step < self.committed:
            raise MisplacedEntry(f"step {step} is committed already")
        if step > self.committed:
            raise MisplacedEntry(f"step {step} is not reached yet, and nothing says from which state it was asked")
        return self.last_digest

    def apply(self, entry: Entry) -> Decided | None:
        """Fold in the next entry; returns the decided step where the entry commits one.

        Raises `MisplacedEntry` for an entry that cannot follow, and leaves the state unusable then.
        """
        if (self.opened is None) is not isinstance(entry, Opened):
            raise MisplacedEntry("a journal has one opening entry, its first")
        if self.finished is not None:
            raise MisplacedEntry("an entry stands after the end of the run")
        self.entries += 1
        match entry:
            case Replies():
                self._receive(entry)
            case Committed() | Inherited():
                return self._commit(entry) if isinstance(entry, Committed) else self._inherit(entry)
            case Intent():
                self._intend(entry)
            case Failed() | Cancelled() | Drafted() | Probed():
                self._follow(entry)
            case Voter() | Served() | QuestionText() | Refused():
                self._name(entry)
            case Ruled() | Redrawn() | Shortlisted() | Rejudged() | Accepted():
                self._look_again(entry)
            case Allowed(limits, tariffs):
                self.account.limits, self.account.tariffs = limits, tariffs
            case Opened():
                self._open(entry)
            case Resumed():
                self._resume(entry)
            case Paused() | Finished():
                self._end(entry)
        return None

    def _end(self, entry: Paused | Finished) -> None:
        """A session ended in good order, or the whole run."""
        if isinstance(entry, Paused):
            self.paused = entry
        elif entry.steps != self.committed:
            raise MisplacedEntry(f"the run is said to end after {entry.steps} steps, not {self.committed}")
        else:
            self._discard(list(self.open))
            self.finished = entry
        self.pace.ended(entry)
        self.account.session_ended(entry.time)

    def _intend(self, entry: Intent) -> None:
        """A paid call is about to be sent."""
        called = self._called(entry)
        self.in_flight.update(called)
        self.account.begin(called[0], entry.worst)

    def _follow(self, entry: Failed | Cancelled | Drafted | Probed) -> None:
        """Keep account of what became of paid calls."""
        match entry:
            case Failed(count=count, reason=reason, kind=kind, charge=charge):
                called = self._called(entry)
                self.in_flight.difference_update(called)
                if kind is not FailureKind.UNSENT:
                    self.failures += 1
                    self.failure_reasons.add(kind, shortened(reason, MAX_FAILURE_CHARS))
                if kind is FailureKind.UNSENT:
                    self.account.unsend(called[0])
                elif kind is FailureKind.UNKNOWN and charge is None:
                    self.unknown += count
                    self.account.lose(called[0])
                else:
                    self.account.settle(called[0], charge or Charge(), "")
            case Cancelled(count=count, wrong_guess=wrong_guess):
                called = self._called(entry)
                self.in_flight.difference_update(called)
                self.unknown += count
                self.given_up += count if wrong_guess else 0
                self.account.lose(called[0], wrong_guess)
            case Drafted(step, usage, at, charge):
                key = (step, DRAFT, self._place(step, at))
                self.in_flight.discard(key)
                self.account.settle(key, charge or Charge(usage.input_tokens, usage.output_tokens, None), "")
                self.drafts += 1
                self.usage += usage
            case Probed(step, finding, charge, slot):
                key = (step, slot, self._place(step, None))
                self.in_flight.discard(key)
                self.account.settle(key, charge, "")
                self.usage += Usage(charge.input_tokens, charge.output_tokens)
                if finding:
                    self.findings.append(finding)

    def _name(self, entry: Voter | Served | QuestionText | Refused) -> None:
        match entry:
            case Refused(step, reason, at):
                if step >= self.committed:  # else it was asked from a state that was not to be
                    self.step(step, at).refused = reason
            case QuestionText(step, wordings, at, messages):
                place = self._place(step, at) if at is not None or step >= self.committed else ""
                opened = self.open.get(step, {}).get(place)
                if opened is not None:  # else it is decided, or was asked from a state that was not to be
                    opened.wordings, opened.messages = wordings, messages
            case Voter(number, name):
                if number != len(self.voters):
                    raise MisplacedEntry(f"voter {number} is named out of turn")
                self.voters[number] = VoterRecord(name)
            case Served(voter, model):
                if voter not in self.voters:
                    raise MisplacedEntry("a provider is said to have answered as a voter that is not named")
                self.served.setdefault(voter, []).append(model)

    def _look_again(self, entry: Ruled | Redrawn | Shortlisted | Rejudged | Accepted) -> None:
        """The votes on open steps count otherwise from here on."""
        if isinstance(entry, Rejudged):
            self._rejudge(entry)
        elif isinstance(entry, Accepted):
            self._accept(entry)
        else:
            self._unsettled(entry)

    def _unsettled(self, entry: Ruled | Redrawn | Shortlisted) -> None:
        """Something is done about a step that votes did not settle, mostly by a person who looked at it."""
        step = self.frontier
        if entry.step != self.committed or step is None:
            raise MisplacedEntry(f"step {entry.step} has no samples at the frontier that a person could look at")
        match entry:
            case Shortlisted():
                step.shortlist()
            case Ruled(choice=choice):
                step.rule(choice)
            case Redrawn(model=model):
                self.set_aside += step.samples
                self.redrawn += 1
                step.redraw(model)

    def _open(self, entry: Opened) -> None:
        try:
            self.policy = policy_from(entry.policy)
            self.request = request_from(entry.request)
        except ValueError as error:
            raise MisplacedEntry(f"the opening entry cannot be used: {error}") from None
        self.opened = entry
        self.parameters, self.identity = entry.parameters, entry.identity
        self.last_digest = digest_of(entry.start)
        self.sessions = 1
        self.pace.began(entry.time)
        self.account.session_began(entry.time)

    def _resume(self, entry: Resumed) -> None:
        self.sessions += 1
        self.pace.began(entry.time)
        self.account.session_began(entry.time)
        self.paused = None
        self.unknown += len(self.in_flight)
        self.in_flight.clear()
        self.account.lose_all()
        self.request = self.request.switched(entry.nonce, entry.echo)
        for at_step in self.open.values():
            for step in at_step.values():
                step.left_open = bool(step.replies)
        named = {name: getattr(entry, name) for name in ("vote_cap", "flag_cap", "min_replies")}
        raised = {name: value for name, value in named.items() if value is not None}
        if not raised:
            return
        if any(value < getattr(self.policy, name) for name, value in raised.items()):
            raise MisplacedEntry("the run is said to go on under a lower cap than before, or with fewer replies")
        self.policy = replace(self.policy, **raised)
        for at_step in self.open.values():
            for step in at_step.values():
                step.recap(self.policy)

    def _receive(self, entry: Replies) -> None:
        number = entry.replies[0].step
        at = self._place(number, entry.at)
        step = None
        if number < self.committed:  # asked from a state that was not to be, and answered too late to matter
            self.wasted += len(entry.replies)
        else:
            step = self.step(number, at)
            step.ahead = step.ahead or entry.at is not None
            if entry.question is not None:
                if step.question not in {None, entry.question}:
                    raise MisplacedEntry(f"step {number} has samples of two different questions in one race")
                step.question = entry.question
        first = entry.replies[0]
        read = written = cached = 0
        for reply in entry.replies:
            if reply.voter not in self.voters:
                raise MisplacedEntry(f"step {number} has a sample of an unnamed voter")
            if step is not None:
                step.receive(reply, first.slot)
            self.in_flight.discard((number, reply.slot, at))
            self._count(reply, +1)
            read += reply.usage.input_tokens
            written += reply.usage.output_tokens
            cached += reply.usage.cached_tokens

        self.samples += len(entry.replies)
        usage = Usage(read, written, cached)
        self.usage += usage
        answered = self.voters[first.voter].name
        self.account.settle((number, first.slot, at), self._charge(entry, usage), answered)

    def _charge(self, entry: Replies, usage: Usage) -> Charge:
        """What a call took that brought these samples; they are of one model, but for members of a free one."""
        if not self.account.tariffs:
            return Charge(usage.input_tokens, usage.output_tokens, None)
        names = {self.voters[reply.voter].name for reply in entry.replies}
        if len(names) == 1:
            return self.account.price(names.pop(), usage)
        each = (self.account.price(self.voters[reply.voter].name, reply.usage) for reply in entry.replies)
        return sum(each, Charge())

    def _commit(self, entry: Committed) -> Decided:
        step = self.open.get(entry.step, {}).pop(self.last_digest, None)
        if entry.step != self.committed or step is None or not isinstance(step.verdict, Won):
            raise MisplacedEntry(f"step {entry.step} is committed without having been won")
        wasted = self._discard([entry.step])
        self.committed += 1
        self.last_digest = entry.state
        self.pace.rounds += step.rounds
        tally = tuple(sorted(step.race.tally.values(), reverse=True))
        choice = step.choice(step.verdict.choice)
        replies = step.counted()
        self.set_aside += step.samples - len(replies)
        return Decided(
            entry.step,
            choice,
            tally,
            step.flags,
            step.rounds,
            replies,
            step.ahead,
            wasted,
            step.race.margin if step.ruled is None else 0,
            step.ruled is not None and not step.listed,
            step.listed,
            step.question,
            step.wordings,
            messages=step.messages,
        )

    def _inherit(self, entry: Inherited) -> Decided:
        """A step is taken over from the run that this one was forked from."""
        if self.opened is None or self.opened.origin is None:
            raise MisplacedEntry(f"step {entry.step} is taken over from another run, and none is named")
        if entry.step != self.committed or self.samples:
            raise MisplacedEntry(f"step {entry.step} is taken over out of turn")
        self.committed += 1
        self.inherited += 1
        self.last_digest = entry.state
        return Decided(entry.step, entry.choice, (), 0, 0, (), inherited=True)

    def _rejudge(self, entry: Rejudged) -> None:
        """Samples of an open step read otherwise from here on."""
        step = self.open.get(entry.step, {}).get(self._place(entry.step, entry.at))
        if step is None:
            raise MisplacedEntry(f"step {entry.step} has no samples that could be judged again")
        before = dict(step.replies)
        step.rejudge(entry.judgements)
        self.rejudged += len(entry.judgements)
        for slot, old in before.items():
            self._count(old, -1)
            self._count(step.replies[slot], +1)
        step.left_open = False

    def _count(self, reply: Reply, sign: int) -> None:
        """Count a sample as a vote or a flag, or no longer."""
        voter = self.voters[reply.voter]
        if reply.flag is None:
            voter.votes += sign
        else:
            voter.flags += sign
            self.flags[reply.flag] += sign
            self.reasons.add(reply.flag, reply.reason, sign)

    def _accept(self, entry: Accepted) -> None:
        """The process is another one from here on."""
        frontier = self.frontier
        for at_step in self.open.values():
            for step in at_step.values():
                if entry.keep and step is frontier:
                    step.left_open = False
                elif step.replies:  # one that was merely looked at is not in the journal, nor in another fold of it
                    self.set_aside += step.samples
                    step.set_aside()
        self.changes.append(entry)
        self.last_digest = entry.state
        self.parameters, self.identity = entry.parameters, entry.identity

    def _discard(self, steps: list[int]) -> int:
        """Let go of the voting on steps from states that turned out not to be; returns how many samples it had."""
        wasted = sum(step.samples for number in steps for step in self.open.pop(number, {}).values())
        self.wasted += wasted
        return wasted

    def _called(self, entry: Intent | Failed | Cancelled) -> list[tuple[int, int, str]]:
        """Step, number and starting state of each sample of a call."""
        if not 0 < entry.count <= MOST_CALLED:
            raise MisplacedEntry(f"a call for {entry.count} samples cannot have been")
        at = self._place(entry.step, entry.at)
        return [(entry.step, entry.slot + offset, at) for offset in range(entry.count)]


def replay(entries: Iterable[Entry]) -> RunState:
    """The state of a run after these entries."""
    state = RunState()
    for entry in entries:
        state.apply(entry)
    return state
