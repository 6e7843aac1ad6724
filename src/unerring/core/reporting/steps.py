"""Decided steps for users: choices as values, texts in full, voters by name."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from unerring.core.journal.decided_step import DecidedStep, texts_of
from unerring.core.reporting.notebook import html_table
from unerring.core.request import Request
from unerring.core.short_text import short, shortened
from unerring.core.voting.canonical import Json, canonical, parsed
from unerring.core.voting.sample import Finish, Usage
from unerring.core.voting.step import VoterRecord

MAX_HTML_CHARS = 500  # of a question or a choice in a notebook


@dataclass(frozen=True, slots=True, repr=False)
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

    def to_dict(self) -> dict[str, Any]:
        """The sample as JSON data, by the names of its fields."""
        return asdict(self) | {"finish": self.finish.value}

    def __repr__(self) -> str:
        """One line: number, voter, and the vote or the red flag."""
        return f"<Sample {self.number} of {self.voter}: {_verdict(self)}>"


@dataclass(frozen=True, slots=True, repr=False)
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
    undecided: str | None
    """Why no answer won, where a function process continued nevertheless: there is no choice then; else None."""
    ahead: bool
    """Whether it was asked before the step before it was decided."""
    question: tuple[str, ...]
    """What was asked, one text for each wording; kept where samples differ, were flagged or set aside, else empty."""
    messages: tuple[dict[str, str], ...]
    """The messages before it, each with `role` and `content`: the run's system message, and the question's own."""
    samples: tuple[StepSample, ...]
    """Its samples, votes and flagged ones, by number."""

    def to_dict(self) -> dict[str, Any]:
        """The step as JSON data, by the names of its fields."""
        own = {field: getattr(self, field) for field in Step.__slots__}
        lists = {"tally": list(self.tally), "question": list(self.question)}
        messages = [dict(message) for message in self.messages]
        return own | lists | {"messages": messages, "samples": [sample.to_dict() for sample in self.samples]}

    def __repr__(self) -> str:
        """One line: number, choice and tally."""
        return f"<Step {self.step}: {_choice_text(self)}, votes {_tally_text(self)}>"

    def _repr_html_(self) -> str:
        """The choice, the question and the samples as a table, for notebooks."""
        question = [("question", shortened(text, MAX_HTML_CHARS)) for text in self.question[:1]]
        samples = [(f"sample {one.number}", f"{one.voter}: {_verdict(one)}") for one in self.samples]
        choice = canonical(self.choice) if self.undecided is None else self.undecided
        rows = [("choice", shortened(choice, MAX_HTML_CHARS)), ("votes", _tally_text(self))]
        return html_table(f"step {self.step}", [*rows, *question, *samples])


def _choice_text(step: Step) -> str:
    return short(step.choice) if step.undecided is None else "undecided"


def _tally_text(step: Step) -> str:
    return "-".join(map(str, step.tally)) or "none"


def _verdict(sample: StepSample) -> str:
    """What a sample counted as: a vote for a choice, or flagged for a reason."""
    if sample.flag is None:
        return f"a vote for {short(sample.choice)}"
    return f"flagged as {sample.flag}" + (f", {sample.reason}" if sample.reason else "")


def step_of(decided: DecidedStep, voters: Mapping[int, VoterRecord], request: Request) -> Step:
    """A decided step in the form for users; `voters` go by the numbers that replies have, `request` is the run's."""
    texts = texts_of(decided.replies)
    before = () if decided.wordings is None else request.with_system_message(decided.messages or ())
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
        undecided=decided.undecided,
        ahead=decided.ahead,
        question=decided.wordings or (),
        messages=tuple(one._asdict() for one in before),
        samples=samples,
    )
