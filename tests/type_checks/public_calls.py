"""What type checkers accept and refuse in calls of `unerring`: checked by mypy, never run.

Under --strict an `ignore` that is not needed is an error, so each marked line is one that mypy refuses.
"""

from collections.abc import Iterator

import unerring
from unerring import Hanoi, JournalFile, Options, Report, Result, Sample, Settings, Step

HANOI = Hanoi(disks=3)


def text(prompt: str) -> str:
    """A model that takes the prompt alone."""
    return prompt


async def sample(prompt: str, settings: Settings) -> Sample:
    """A model that takes the settings too, and returns a sample."""
    return Sample(prompt)


class OwnSampler:
    """A user's own sampler."""

    name = "own"
    paid = False
    compact = False

    async def sample(self, prompt: str, settings: Settings, n: int) -> list[Sample]:
        """Draw n samples."""
        return [Sample(prompt)] * n


def each_form_of_a_model_is_accepted() -> None:
    """A specification, a function, an async function, a sampler, and a list of them."""
    unerring.run(HANOI, "embedded")
    unerring.run(HANOI, text)
    unerring.run(HANOI, sample)
    unerring.run(HANOI, OwnSampler())
    unerring.run(HANOI, ["embedded", text, OwnSampler()])
    unerring.run(HANOI, options=Options(escalate=OwnSampler(), speculate=text))


def wrong_arguments_are_refused() -> None:
    """A number is no model, a text is no number of votes, and options are given by name."""
    unerring.run(HANOI, 5)  # type: ignore[arg-type]
    Options(escalate=5)  # type: ignore[arg-type]
    Options(vote_cap="5")  # type: ignore[arg-type]
    Options(None, 5)  # type: ignore[call-arg, arg-type]


def results_are_typed(journal: JournalFile) -> tuple[Result, Report, Iterator[Step], int]:
    """A run gives a result, and an opened journal steps, a report and a verification."""
    return unerring.run(HANOI), journal.report(), journal.steps(), journal.verify().steps
