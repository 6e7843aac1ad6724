"""An open step: the samples it has had, and the state of its race.

Votes enter the race in the order of their sample numbers, not of their arrival. The weight of a vote is computed as it
enters, only from its journaled reply and the votes before it in that order, so a run and its replay weigh alike.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from unerring.core.journal.entries import Reply
from unerring.core.journal.review_entries import Judgement
from unerring.core.voting.canonical import canonical, parsed
from unerring.core.voting.policy import Policy
from unerring.core.voting.race import Continue, LogOdds, Race, Undecided, Won
from unerring.core.voting.sample import Message
from unerring.core.voting.weights import StepWeights

RULED_CANDIDATE = -1  # in place of a sample's number: the choice of a person, or a shortlist
MAX_SHORTLIST = 8  # candidates of a shortlist


class MisplacedEntry(ValueError):
    """An entry that cannot follow the entries before it; the message says why."""


@dataclass(slots=True)
class VoterRecord:
    """The votes and flags of one voter.

    name: the name of the voter.
    votes: its votes.
    flags: its flagged samples.
    """

    name: str
    votes: int = 0
    flags: int = 0


@dataclass(slots=True, eq=False)
class OpenStep:
    """The voting on one step: which samples are requested, which came back, and the state of the race.

    Samples are numbered from 0 and requested in rounds of exactly `Race.missing()`. A candidate of the race is the
    number of the first sample that gave that choice.

    step: the number of the step.
    policy: the run's policy.
    voters: the run's voters, by number.
    race, weighing: the race, and the weights of its votes (None where each counts 1).
    ahead: whether samples were requested before the step before it was committed.
    replies: its samples by number.
    calls: for each sample that is not the first of its reply, the number of the first.
    texts, choices: the number of the first sample with that text, or choice.
    first: samples before this number were set aside.
    model: the model that a person named to draw samples from since; None for the run's own.
    ruled: the choice of a person, or the shortlist; None where votes decide.
    listed: whether `ruled` is the shortlist.
    counted: samples before this number have entered the race.
    asked: samples before this number are requested.
    flags: flagged samples among those counted.
    rounds: rounds of voting so far.
    round_first: the number of the first sample of the present round.
    question: the digest of the question, where the journal has it.
    wordings, messages: the text of the question, and its own messages before it, where the journal has them.
    left_open: whether an earlier session requested it: its samples are compared with how they read now.
    refused: what the provider said when it refused the question; None once a sample came.
    """

    step: int
    policy: Policy
    voters: Mapping[int, VoterRecord] = field(default_factory=dict)
    ahead: bool = False
    replies: dict[int, Reply] = field(default_factory=dict)
    calls: dict[int, int] = field(default_factory=dict)
    texts: dict[str, int] = field(default_factory=dict)
    choices: dict[str, int] = field(default_factory=dict)
    first: int = 0
    model: str | None = None
    ruled: str | None = None
    listed: bool = False
    question: str | None = None
    wordings: tuple[str, ...] | None = None
    messages: tuple[Message, ...] | None = None
    left_open: bool = False
    refused: str | None = None
    race: Race[int] = field(init=False)
    weighing: StepWeights | None = field(init=False)
    counted: int = field(init=False)
    asked: int = field(init=False)
    flags: int = field(init=False)
    rounds: int = field(init=False)
    round_first: int = field(init=False)

    def __post_init__(self) -> None:
        self._begin(self.policy)

    def _begin(self, policy: Policy) -> None:
        """Start the race, without a vote so far."""
        rule = policy.rule
        self.policy = policy
        self.race: Race[int] = Race(rule, policy.vote_cap)
        self.weighing = StepWeights(rule.weights) if isinstance(rule, LogOdds) else None
        self.counted = self.first
        self.flags = 0
        self.rounds = 1
        self.round_first = self.first
        self.asked = self.first + self.race.missing()

    @property
    def verdict(self) -> Continue | Won[int] | Undecided:
        """The verdict of the votes or of a person; undecided also where too many samples were flagged."""
        return self._by_votes() if self.ruled is None else Won(RULED_CANDIDATE)

    def _by_votes(self) -> Continue | Won[int] | Undecided:
        verdict = self.race.verdict
        if isinstance(verdict, Continue) and self.counted == self.asked and self._all_flagged():
            return Undecided(self.race.votes)
        return verdict

    @property
    def parked(self) -> bool:
        """Whether a person must decide the step: votes left it undecided, or the provider refused to answer it."""
        verdict = self.verdict
        return isinstance(verdict, Undecided) or (self.refused is not None and not isinstance(verdict, Won))

    @property
    def reviewed(self) -> bool:
        """Whether a person decided the step, or had samples of it set aside."""
        return (self.ruled is not None and not self.listed) or self.first > 0

    @property
    def samples(self) -> int:
        """The number of samples that were not set aside."""
        return sum(slot >= self.first for slot in self.replies) if self.first else len(self.replies)

    @property
    def flagged_before_round(self) -> int:
        """The number of flagged samples in earlier rounds: the same for every sample of this round."""
        each = (self.replies.get(slot) for slot in range(self.first, self.round_first))
        return sum(reply is not None and reply.flag is not None for reply in each)

    def begin_round(self, first: int) -> None:
        """Begin a round with sample number `first`: for a pilot, whose race never requests further samples."""
        self.round_first = first

    @property
    def kept(self) -> list[Reply]:
        """Its samples that were not set aside, by number."""
        return [self.replies[slot] for slot in sorted(self.replies) if slot >= self.first]

    def counted_replies(self) -> tuple[Reply, ...]:
        """The samples that count for the step, by number.

        After samples were judged again the step may be decided before the last of them: those left over count for
        nothing, and no sample refers to them.
        """
        kept = self.kept
        if not kept or kept[-1].slot < self.counted:
            return tuple(kept)
        texts: dict[str, int] = {}
        choices: dict[str, int] = {}
        replies = []
        for reply in kept:
            if reply.slot < self.counted:
                text = _value_or_reference(texts, self.text(reply.slot), reply.slot)
                chosen = None if reply.candidate is None else self.choice(reply.candidate)
                choice = None if chosen is None else _value_or_reference(choices, chosen, reply.slot)
                replies.append(reply._replace(text=text, choice=choice))
        return tuple(replies)

    def wanted(self) -> list[int]:
        """Numbers of the requested samples that have not come back, ascending."""
        if self.ruled is not None:
            return []
        return [slot for slot in range(self.counted, self.asked) if slot not in self.replies]

    def choice(self, candidate: int) -> str:
        """The canonical choice of a candidate."""
        if candidate == RULED_CANDIDATE:
            assert self.ruled is not None
            return self.ruled
        choice = self.replies[candidate].choice
        assert isinstance(choice, str)
        return choice

    def text(self, slot: int) -> str:
        """The text of a sample."""
        text = self.replies[slot].text
        return self.text(text) if isinstance(text, int) else text

    def leaning(self) -> Counter[str]:
        """The votes received so far by choice, also those that wait for an earlier sample to enter the race.

        Where votes have weights, those of voters whose first vote weighs nothing are left out.
        """
        votes: Counter[str] = Counter()
        for reply in self.replies.values():
            if reply.slot < self.first:
                continue
            if reply.candidate is not None and self._weighs(reply):
                votes[self.choice(reply.candidate)] += 1
        return votes

    def receive(self, reply: Reply, call: int | None = None) -> None:
        """Add one sample. Its vote enters the race once all samples with lower numbers have come.

        `call` is the number of the first sample of the same reply; None for its own.
        """
        if reply.slot in self.replies or not self.counted <= reply.slot < self.asked:
            raise MisplacedEntry(f"sample {reply.slot} of step {reply.step} was not asked for, or came twice")
        if (reply.choice is None) is (reply.flag is None):
            raise MisplacedEntry(f"sample {reply.slot} of step {reply.step} is neither a vote nor flagged, or both")
        self._check_references(reply)
        if isinstance(reply.text, str):
            self.texts[reply.text] = reply.slot
        if isinstance(reply.choice, str):
            self.choices[reply.choice] = reply.slot
        self.replies[reply.slot] = reply
        self.refused = None
        if call is not None and call != reply.slot:
            self.calls[reply.slot] = call
        self._count_votes()

    def recap(self, policy: Policy) -> None:
        """Continue under higher caps: count the same votes again."""
        self._begin(policy)
        self._count_votes()

    def rule(self, choice: str) -> None:
        """Set the choice that a person made; raises `MisplacedEntry` where votes may still decide."""
        if self.ruled is None and not self.parked:
            raise MisplacedEntry(f"step {self.step} is not undecided, so that no person can decide it")
        self.ruled, self.listed = choice, False

    def shortlist(self) -> None:
        """Set the step's choice to the list of the choices that had votes, those with most votes if there are many.

        Raises `MisplacedEntry` where votes decided the step, or were for fewer than two choices.
        """
        if self.ruled is not None or isinstance(self.verdict, Won) or len(self.race.tally) < 2:
            raise MisplacedEntry(f"step {self.step} is decided, or has nothing to choose from")
        votes = {self.choice(candidate): count for candidate, count in self.race.tally.items()}
        listed = sorted(votes, key=lambda choice: (-votes[choice], choice))[:MAX_SHORTLIST]
        # in the order of their texts, so that a judge does not learn which one led
        self.ruled = canonical({"candidates": [parsed(choice) for choice in sorted(listed)]})
        self.listed = True

    def redraw(self, model: str | None) -> None:
        """Set the samples so far aside, and begin the race again.

        A step that a person reviewed may be drawn again at any time: the model they named may turn out not to answer.
        Raises `MisplacedEntry` for any other step that is not undecided.
        """
        if not self.reviewed and not self.parked:
            raise MisplacedEntry(f"step {self.step} is not undecided, so its samples cannot be set aside")
        self.set_aside()
        self.model = model

    def set_aside(self) -> None:
        """Set the samples so far aside. They stay on record, no longer vote, and no later sample refers to them."""
        self.first = max([self.asked, *(slot + 1 for slot in self.replies)])
        self.ruled, self.listed = None, False
        self.texts, self.choices = {}, {}
        self.question = self.wordings = self.messages = self.refused = None
        self._begin(self.policy)

    def rejudge(self, judgements: Iterable[Judgement]) -> None:
        """Replace how samples read, and count the votes again.

        A shortlist of the former votes is dropped; a person's decision stays. Raises `MisplacedEntry` for a sample
        that the step does not have.
        """
        changed = {one.slot: one for one in judgements}
        kept = self.kept
        if changed.keys() - {reply.slot for reply in kept}:
            raise MisplacedEntry(f"step {self.step} has no such sample that could be judged again")
        choices: dict[str, int] = {}
        read_now: dict[int, Reply] = {}
        for reply in kept:
            choice = None if reply.candidate is None else self.choice(reply.candidate)
            read = changed.get(reply.slot) or Judgement(reply.slot, choice, reply.flag, reply.reason)
            if (read.choice is None) is (read.flag is None):
                raise MisplacedEntry(f"sample {reply.slot} of step {self.step} is neither a vote nor flagged, or both")
            spelled = None if read.choice is None else _value_or_reference(choices, read.choice, reply.slot)
            read_now[reply.slot] = reply._replace(choice=spelled, flag=read.flag, reason=read.reason)
        self.replies.update(read_now)
        self.choices = choices
        if self.listed:
            self.ruled, self.listed = None, False
        self.recap(self.policy)

    def _check_references(self, reply: Reply) -> None:
        """Require that a text and a choice are written out once in a step, and referred to after that."""
        text, choice = reply.text, reply.choice
        if text in self.texts or choice in self.choices:
            raise MisplacedEntry(f"sample {reply.slot} of step {reply.step} repeats what an earlier one has")
        if isinstance(text, int) and text not in self.texts.values():
            raise MisplacedEntry(f"sample {reply.slot} of step {reply.step} refers to a text that is not there")
        if isinstance(choice, int) and choice not in self.choices.values():
            raise MisplacedEntry(f"sample {reply.slot} of step {reply.step} refers to a choice that is not there")

    def _count_votes(self) -> None:
        while self.counted < self.asked and self.counted in self.replies:
            reply = self.replies[self.counted]
            candidate = reply.candidate
            if candidate is None:
                self.flags += 1
            elif self.weighing is None:
                self.race.tell(candidate)
            else:
                voter = self.voters[reply.voter].name
                self.race.tell(candidate, self.weighing.weigh(voter, reply.logprob, candidate))
            self.counted += 1
            if self.policy.min_replies > 1:
                self._require_replies()
            if self.counted == self.asked and isinstance(self._by_votes(), Continue):
                self.round_first = self.asked
                self.asked += self.race.missing()
                self.rounds += 1

    def _require_replies(self) -> None:
        """Reopen the race where all votes for the winner came from fewer replies than the policy requires."""
        verdict = self.race.verdict
        if isinstance(verdict, Won):
            slots = range(self.first, self.counted)
            replies = {self.calls.get(slot, slot) for slot in slots if self.replies[slot].candidate == verdict.choice}
            if len(replies) < self.policy.replies_to_win:
                self.race.reopen()

    def _weighs(self, reply: Reply) -> bool:
        """Whether a vote would have a weight above 0 if it were its voter's first."""
        if self.weighing is None:
            return True
        return self.weighing.weights.of(self.voters[reply.voter].name, reply.logprob, repeated=False) > 0

    def _all_flagged(self) -> bool:
        return self.flags >= self.policy.flag_cap * (self.race.votes + self.race.missing())


def _value_or_reference(known: dict[str, int], value: str, slot: int) -> str | int:
    """A text or choice as a reply holds it: itself where it is new, else the number of its first sample."""
    first = known.setdefault(value, slot)
    return value if first == slot else first
