"""Decided steps as users read them: choices as values, texts in full, voters by name."""

from collections.abc import Mapping
from dataclasses import dataclass

from unerring.core.journal.state import Decided, texts_of
from unerring.core.request import Request
from unerring.core.voting.canonical import Json, parsed
from unerring.core.voting.sample import Finish, Usage
from unerring.core.voting.step import VoterRecord


@dataclass(frozen=True, slots=True)
class StepSample:
    """One sample of a decided step: a vote, or flagged."""

    number: int
    """Its number within the step, from 0, in the order in which samples were asked for."""
    voter: str
    """The name of the model that gave it."""
    text: str
    """The model's text, in full."""
    choice: Json
    """The value that it voted for; None where it was flagged."""
    flag: str | None
    """Why it was flagged, such as `malformed` or `truncated`; None for a vote."""
    reason: str | None
    """The red flag's own sentence, at most 300 characters; None for a vote, and in journals of before it was kept."""
    finish: Finish
    """Why the model stopped writing."""
    usage: Usage
    """Tokens read and written."""
    logprob: float | None
    """Mean log-probability of its tokens in nats; None where the model does not say."""


@dataclass(frozen=True, slots=True)
class Step:
    """One decided step of a run."""

    step: int
    """Its number, from 0."""
    choice: Json
    """The value that was decided and carried forward."""
    tally: tuple[int, ...]
    """Votes of each choice, most votes first."""
    votes: int
    """Votes in all."""
    flags: int
    """Samples that were flagged."""
    rounds: int
    """Rounds of voting that it took."""
    margin: int
    """The lead that won: votes, or millinats where votes are weighed; 0 where votes did not decide."""
    ruled: bool
    """Whether a person decided it."""
    inherited: bool
    """Whether it was taken over from the run that this one was forked from; it has no samples then."""
    shortlisted: bool
    """Whether its choice lists several answers, for judges to choose from."""
    ahead: bool
    """Whether it was asked before the step before it was decided."""
    question: tuple[str, ...]
    """What was asked, one text for each wording; kept where samples differ, were flagged or set aside, else empty."""
    messages: tuple[dict[str, str], ...]
    """The messages before it, each with `role` and `content`: the run's system message, and the question's own."""
    samples: tuple[StepSample, ...]
    """Its samples, votes and flagged ones, by number."""


def step_of(decided: Decided, voters: Mapping[int, VoterRecord], request: Request) -> Step:
    """A decided step in the form for users; `voters` go by the numbers that replies have, `request` is the run's."""
    texts = texts_of(decided.replies)
    before = () if decided.wordings is None else request.before(decided.messages or ())
    choices = {reply.slot: parsed(reply.choice) for reply in decided.replies if isinstance(reply.choice, str)}
    samples = tuple(
        StepSample(
            number=reply.slot,
            voter=voters[reply.voter].name,
            text=texts[reply.slot],
            choice=None if reply.candidate is None else choices[reply.candidate],
            flag=None if reply.flag is None else reply.flag.value,
            reason=reply.reason,
            finish=reply.finish,
            usage=reply.usage,
            logprob=reply.logprob,
        )
        for reply in decided.replies
    )
    return Step(
        step=decided.step,
        choice=decided.value,
        tally=decided.tally,
        votes=decided.votes,
        flags=decided.flags,
        rounds=decided.rounds,
        margin=decided.margin,
        ruled=decided.ruled,
        inherited=decided.inherited,
        shortlisted=decided.shortlisted,
        ahead=decided.ahead,
        question=decided.wordings or (),
        messages=tuple(one._asdict() for one in before),
        samples=samples,
    )
