"""The result of a finished run."""

from dataclasses import dataclass
from typing import Any, Generic, cast

from unerring.core.chain import S
from unerring.core.reporting.notebook import html_table
from unerring.core.reporting.run_report import Report
from unerring.core.reporting.summary import answer_line, main_figures, steps_text, summary
from unerring.core.short_text import MAX_LINE_CHARS, short
from unerring.core.voting.canonical import Json


@dataclass(frozen=True, slots=True, repr=False)
class Result(Generic[S]):
    """A finished run; generic in the state of its chain. `print` shows a summary of six lines.

    state: the chain's last state.
    steps: the number of its steps.
    report: the figures of the run.
    answer: what the chain's `answer` makes of the last state; None where it has no such method.
    journal: the path of the journal; None where the run was kept in memory only.
    """

    state: S
    steps: int
    report: Report
    answer: Any = None
    journal: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """The result as JSON data, by the names of its fields."""
        own = {"state": self.state, "steps": self.steps, "answer": self.answer, "journal": self.journal}
        return own | {"report": self.report.to_dict()}

    def __str__(self) -> str:
        """The answer, steps, votes a step, cost, certificate, and where the run is kept."""
        kept = self.journal and f'{self.journal}; check it with: unerring.verify("{self.journal}")'
        return summary(self.report, self._answer_line(), kept or "none: kept in memory only")

    def __repr__(self) -> str:
        """One line: process, steps, answer and journal."""
        answer = "" if self.answer is None else f", answer {short(self.answer)}"
        return f"<Result of {self.report.process}: {steps_text(self.report)} steps{answer}, journal {self.journal}>"

    def _repr_html_(self) -> str:
        """The summary as a table, for notebooks."""
        lines = [self._answer_line(), ("journal", self.journal or "kept in memory only")]
        return html_table(f"{self.report.process}: finished", [*lines[:1], *main_figures(self.report), lines[1]])

    def _answer_line(self) -> tuple[str, str]:
        return answer_line(self.answer, cast(Json, self.state), MAX_LINE_CHARS)
