"""The decision on one question: its value, its votes, and how probably it is wrong."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, NoReturn, TypeVar

from unerring.api.calibration.calibration_files import read_calibration
from unerring.api.models import Model, sampler_for
from unerring.core.checked_chain import CheckedChain
from unerring.core.planning.calibration import Calibration
from unerring.core.reporting.notebook import html_table
from unerring.core.reporting.run_report import Report
from unerring.core.reporting.steps import Step, StepSample
from unerring.core.reporting.summary import cost_text, counted, probability, row
from unerring.core.short_text import short, shortened
from unerring.core.voting.canonical import Json, canonical
from unerring.core.voting.odds import loss_probability
from unerring.core.voting.sample import Usage
from unerring.errors import InputError

T = TypeVar("T")


@dataclass(frozen=True, slots=True, repr=False)
class Decision(Generic[T]):
    """The decision on one question. `print` shows it in a few lines; for an `if` take its `value`.

    value: the answer that won.
    tally: votes of each answer, as text, most votes first.
    margin: the winner's lead: votes, or millinats where votes are weighed; 0 where a person decided.
    votes: votes in all.
    flags: samples that were red-flagged.
    ruled: whether a person decided, whatever the votes.
    error_probability: the probability that the value is wrong, where a calibration was given; else None. By Bayes'
        rule from the margin and the calibration's share of wrong votes, if votes err independently of each other, this
        question is as hard as the calibrated ones, and each answer was as probable before the votes.
    tokens: tokens of all samples.
    cost: dollars of all calls; None where a price is not known.
    samples: the samples, votes and flagged ones.
    journal: the path of the journal; None where it was kept in memory only.
    """

    value: T
    tally: dict[str, int]
    margin: int
    votes: int
    flags: int
    ruled: bool
    error_probability: float | None
    tokens: Usage
    cost: float | None
    samples: tuple[StepSample, ...]
    journal: str | None
    _choice: Json
    _cost: str

    def to_dict(self) -> dict[str, Any]:
        """The decision as JSON data; the value as the choice that was voted on."""
        return {
            "value": self._choice,
            "tally": dict(self.tally),
            "margin": self.margin,
            "votes": self.votes,
            "flags": self.flags,
            "ruled": self.ruled,
            "error_probability": self.error_probability,
            "tokens": {"input": self.tokens.input_tokens, "output": self.tokens.output_tokens},
            "cost": self.cost,
            "samples": [one.to_dict() for one in self.samples],
            "journal": self.journal,
        }

    def __bool__(self) -> NoReturn:
        """Raise `TypeError`: `if` would take every decision as true, also one on False."""
        raise TypeError("a decision has no truth value: take its `value`")

    def __str__(self) -> str:
        """The answer, its votes, its cost, and the probability that it is wrong where that is known."""
        return "\n".join(row(*one) for one in self._rows())

    def __repr__(self) -> str:
        """One line: the value and the votes."""
        return f"<Decision {short(self.value)}, {self._votes_text()}>"

    def _repr_html_(self) -> str:
        """The same lines as a table, for notebooks."""
        return html_table("decision", self._rows())

    def _rows(self) -> list[tuple[str, str]]:
        rows = [("answer", choice_text(self._choice)), ("votes", self._votes_text()), ("cost", self._cost)]
        if self.error_probability is not None:
            rows.insert(2, ("right with", f"probability {probability(1.0 - self.error_probability)}, as calibrated"))
        return rows if self.journal is None else [*rows, ("journal", self.journal)]

    def _votes_text(self) -> str:
        by_person = "decided by a person, " if self.ruled else ""
        if not self.votes:
            return f"{by_person}without votes"
        tally = ", ".join(f"{votes:,} for {shortened(text, 40)}" for text, votes in self.tally.items())
        return f"{by_person}{tally}; {counted(self.flags, 'sample')} red-flagged"


def choice_text(choice: Json) -> str:
    """A choice in one line: a text as it is, other data as JSON."""
    return choice if isinstance(choice, str) else canonical(choice)


def decision_of(value: T, step: Step, report: Report, wrong_vote: float | None) -> Decision[T]:
    """The decision of a decided step; `wrong_vote` is the probability of a wrong vote, where it is known."""
    cast = [canonical(one.choice) for one in step.samples if one.flag is None][: step.votes]
    counts = Counter(cast).most_common()
    texts = {text: choice_text(one.choice) for one in step.samples if (text := canonical(one.choice)) in dict(counts)}
    first, second = (*step.tally, 0, 0)[:2]
    won_by_votes = not step.ruled and first > second and counts[0][0] == canonical(step.choice)
    known = won_by_votes and wrong_vote is not None
    return Decision(
        value=value,
        tally={texts[text]: votes for text, votes in counts},
        margin=step.margin,
        votes=step.votes,
        flags=step.flags,
        ruled=step.ruled,
        error_probability=loss_probability(1.0 - wrong_vote, first - second) if known and wrong_vote else None,
        tokens=Usage(report.tokens["input"], report.tokens["output"]),
        cost=report.spend["dollars"],
        samples=step.samples,
        journal=None,
        _choice=step.choice,
        _cost=cost_text(report.spend, report.tokens, report.model),
    )


def wrong_vote_probability(given: Calibration | str | Path | None, chain: CheckedChain, model: Model) -> float | None:
    """The mean probability that a vote of a calibrated model is wrong, half an error more than seen; None without one.

    Raises `InputError` for a calibration of another model, or without votes.
    """
    if given is None:
        return None
    calibration = given if isinstance(given, Calibration) else read_calibration(given)
    with sampler_for(model, chain, 0) as sampler:
        if sampler.name != calibration.model:
            raise InputError(f"the calibration is of {calibration.model}, not of {sampler.name}")
    if not calibration.voters or any(one.votes == 0 for one in calibration.voters):
        raise InputError("the calibration has no votes: calibrate with more samples")
    shares = [(one.wrong + 0.5) / (one.votes + 1.0) for one in calibration.voters]
    return sum(shares) / len(shares)
