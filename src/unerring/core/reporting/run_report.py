"""The report of a run: one typed attribute per figure, and the same figures as a dict."""

from dataclasses import dataclass, fields
from typing import Any

from unerring.core.reporting.notebook import html_table
from unerring.core.reporting.summary import main_figures, steps_text
from unerring.core.voting.canonical import Json, JsonObject


@dataclass(frozen=True, eq=False, repr=False)
class Report(dict[str, Any]):
    """The figures of a run, as attributes and as a dict: `report.votes_per_step` is `report["votes_per_step"]`.

    Names are stable. Figures that have parts are JSON objects.

    process: the name of the process.
    parameters: the process's parameters.
    model: the models that were asked.
    seed: the seed of the run.
    software: the version of unerring that started the run.
    policy: the rule that decides a step, its caps, temperatures and red flags.
    request: the request settings, added to every request.
    plan: the plan that k comes from; None where k was given.
    status: `finished`, `paused`, or `unfinished` (running, or killed).
    stopped: the kind and reason of the last stop; None where the run did not stop.
    steps: the number of decided steps.
    length: the number of steps that the process says it has; None where it does not say.
    sessions: the number of sessions.
    started: when the run started, in seconds since 1970.
    ended: when the run finished, in seconds since 1970; None before.
    samples: the number of samples sent, received, voted, flagged, unknown, given up, and of failed calls.
    flags: the number of red flags by kind.
    flag_reasons: the most frequent reasons of red flags, with their counts and examples.
    failure_reasons: the most frequent reasons of failed calls, with their counts.
    tokens: the number of input and output tokens.
    spend: calls, dollars and tokens of paid calls, their limits, and a forecast for the whole run.
    served: the models that endpoints say have answered, by voter.
    findings: what was found out about endpoints, a sentence each.
    voters: votes, flags and dissent of each voter.
    votes_per_step: the mean number of votes of a step; None before the first step.
    votes_histogram: the number of steps by their number of votes.
    rounds_histogram: the number of steps by their number of rounds.
    tallies: the number of steps by their tally, such as `3` or `4-1`.
    speculation: how many steps were asked ahead, how many samples that wasted, and the gain in speed.
    disagreements: the number of decided steps with votes for more than one choice.
    collisions: the number of steps whose first two votes both lost.
    ruled: the number of steps that a person decided, and the first of their step numbers.
    undecided: the number of steps that stayed undecided, and after which a function process continued, and the first
        of their step numbers.
    acts: how many side effects were run (`ended`), failed, after which the function continued (`failed`), and were
        begun again (`again`); how many of these another run did (`inherited`); and the one of which no end is known
        (`unknown`).
    redrawn: how many times a person had the samples of a step set aside and drawn again.
    changes: the changes of the process that a person accepted.
    set_aside: the number of samples that no longer count, because a person had them drawn again, their question
        changed, or their step, judged again, was decided without them.
    rejudged: the number of samples that were judged again.
    inherited: the number of steps taken over from the run that this one was forked from.
    origin: the run that this one was forked from; None for other runs.
    shortlisted: the number of steps whose choice lists several answers for a judge.
    hardest: the steps that took the most samples.
    doubtful: the steps most worth a look, with question, answers and flagged samples.
    open_step: the next step to decide, where it is worth a look.
    certificate: what the votes say about errors of the run.
    """

    process: str
    parameters: JsonObject
    model: str
    seed: int
    software: str
    policy: JsonObject
    request: JsonObject
    plan: JsonObject | None
    status: str
    stopped: JsonObject | None
    steps: int
    length: int | None
    sessions: int
    started: float
    ended: float | None
    samples: dict[str, int]
    flags: dict[str, int]
    flag_reasons: list[Any]
    failure_reasons: list[Any]
    tokens: dict[str, int]
    spend: JsonObject
    served: dict[str, list[str]]
    findings: list[str]
    voters: list[JsonObject]
    votes_per_step: float | None
    votes_histogram: dict[str, int]
    rounds_histogram: dict[str, int]
    tallies: dict[str, int]
    speculation: JsonObject
    disagreements: int
    collisions: int
    ruled: JsonObject
    undecided: JsonObject
    acts: JsonObject
    redrawn: int
    changes: list[JsonObject]
    set_aside: int
    rejudged: int
    inherited: int
    origin: JsonObject | None
    shortlisted: int
    hardest: list[JsonObject]
    doubtful: list[JsonObject]
    open_step: JsonObject | None
    certificate: JsonObject

    def __post_init__(self) -> None:
        """Fill the dict: code of older versions subscripts reports, and `json.dumps` writes dicts only."""
        self.update({field.name: getattr(self, field.name) for field in fields(self)})

    def to_dict(self) -> dict[str, Json]:
        """The figures as a plain dict of JSON data."""
        return dict(self)

    def __repr__(self) -> str:
        """One line: process, model, status and steps."""
        return f"<Report of {self.process} with {self.model}, {self.status}: {steps_text(self)} steps>"

    def _repr_html_(self) -> str:
        """The main figures as a table, for notebooks."""
        return html_table(f"{self.process} with {self.model}: {self.status}", main_figures(self))
