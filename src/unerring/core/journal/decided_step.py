"""A committed step as a journal's entries give it: choice, tally, samples, question."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from unerring.core.journal.entries import Reply
from unerring.core.voting.canonical import Json, parsed
from unerring.core.voting.sample import Message
from unerring.core.voting.step import MisplacedEntry, OpenStep, VoterRecord


class DecidedStep(NamedTuple):
    """A committed step.

    step: its number, from 0.
    choice: the choice that was committed, canonical JSON; a list of those with votes where the step was `shortlisted`.
    tally: votes for each choice, most votes first.
    flags: number of samples that were red-flagged.
    rounds: rounds of voting that it took.
    replies: its samples by number, without those that a person set aside.
    ahead: whether samples were requested before the step before it was committed.
    wasted: samples of this step that were requested from wrongly guessed states.
    margin: the winner's lead: votes, or millinats under `LogOdds`; 0 where votes did not decide. Under `LogOdds` the
        winner can have fewer votes than another choice.
    ruled: whether a person decided it, whatever the votes.
    shortlisted: whether its choice lists several candidates.
    question: the digest of what was asked; None in older journals.
    wordings: the prompts that it was asked in; None where the journal did not keep the text.
    inherited: whether it was taken over from the run that this one was forked from; it has no votes then.
    messages: the question's own messages before the prompt; None in older journals.
    undecided: why it stayed undecided, where a function process continued nevertheless; its choice is null then.
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
    undecided: str | None = None

    @property
    def votes(self) -> int:
        """Number of votes for all choices."""
        return sum(self.tally)

    @property
    def cast(self) -> list[Reply]:
        """The samples that were votes."""
        return [reply for reply in self.replies if reply.choice is not None]

    @property
    def winner(self) -> int | None:
        """The number of the first sample that voted for the committed choice; None if there is none."""
        if self.undecided is not None:
            return None
        return next((reply.slot for reply in self.replies if reply.choice == self.choice), None)

    @property
    def votes_for(self) -> int:
        """Number of votes for the committed choice."""
        winner = self.winner
        return sum(reply.candidate == winner for reply in self.cast)

    @property
    def value(self) -> Json:
        """The choice as JSON data; raises `MisplacedEntry` where a forged journal holds other text."""
        try:
            return parsed(self.choice)
        except (ValueError, RecursionError):
            raise MisplacedEntry(f"step {self.step} is committed with a choice that is not JSON") from None


def decided_step(step: OpenStep, choice: str, wasted: int) -> DecidedStep:
    """The committed step of a voting that led to a choice; `wasted` samples were requested from wrong guesses."""
    return DecidedStep(
        step=step.step,
        choice=choice,
        tally=tuple(sorted(step.race.tally.values(), reverse=True)),
        flags=step.flags,
        rounds=step.rounds,
        replies=step.counted_replies(),
        ahead=step.ahead,
        wasted=wasted,
        margin=step.race.margin if step.ruled is None else 0,
        ruled=step.ruled is not None and not step.listed,
        shortlisted=step.listed,
        question=step.question,
        wordings=step.wordings,
        messages=step.messages,
    )


def texts_of(replies: Iterable[Reply]) -> dict[int, str]:
    """The text of each sample of a step, by its number; `replies` must hold all samples of the step."""
    every = tuple(replies)
    own = {reply.slot: reply.text for reply in every if isinstance(reply.text, str)}
    return {reply.slot: reply.text if isinstance(reply.text, str) else own[reply.text] for reply in every}


def votes_by_voter(replies: Iterable[Reply], voters: Mapping[int, VoterRecord]) -> dict[int, Counter[str]]:
    """Each candidate's votes by the voter's name, most votes first; of equal ones the one with the earlier vote."""
    votes: dict[int, Counter[str]] = {}
    for reply in replies:
        if reply.candidate is not None:
            votes.setdefault(reply.candidate, Counter())[voters[reply.voter].name] += 1
    return dict(sorted(votes.items(), key=lambda one: -one[1].total()))
