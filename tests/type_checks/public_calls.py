"""What type checkers accept and refuse in calls of `unerring`: checked by mypy, never run.

Under --strict an `ignore` that is not needed is an error, so each marked line is one that mypy refuses.
"""

from collections.abc import Iterator
from datetime import date

import unerring
from unerring import Decision, Hanoi, JournalFile, Options, Report, Result, Sample, Settings, Step
from unerring.core.functions.awaitables import Ask

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


def decisions_have_the_type_of_their_answers(decided: list[object]) -> None:
    """A type, choices of it or a function that gives it; without a model a question to await."""
    number: Decision[int] = unerring.ask("How many?", int, model=text)
    word: Decision[str] = unerring.ask("Yes?", ["yes", "no"], model=text, k=4, check=lambda one: one != "no")
    said: Decision[str] = unerring.ask("What?", model=text, paraphrases=["Which?"])
    read: Decision[list[str]] = unerring.ask("What?", str.split, model=text)
    day: date = unerring.ask("When?", date, model=text).value
    listed: list[int] = unerring.ask("Which?", list[int], model=text).value
    step: Ask[date] = unerring.ask("When?", date, guess=day)
    decided.append((number, word, said, read, listed, step))
    unerring.ask("How many?", int, model=text).value.isoformat()  # type: ignore[attr-defined]
    unerring.ask("How many?", int, model=text, paraphrase="x")  # type: ignore[call-overload]
    unerring.ask("How many?", int, k=3)  # type: ignore[call-overload]


def results_are_typed(journal: JournalFile) -> tuple[Result, Report, Iterator[Step], int]:
    """A run gives a result, and an opened journal steps, a report and a verification."""
    return unerring.run(HANOI), journal.report(), journal.steps(), journal.verify().steps
