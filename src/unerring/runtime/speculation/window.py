"""A step of the speculation window: its question, its forecast, and the choice assumed for the next step."""

import asyncio
from dataclasses import dataclass, field

from unerring.core.voting.canonical import Json
from unerring.core.voting.race import Undecided, Won
from unerring.runtime.config import StopRequest
from unerring.runtime.question import Question
from unerring.runtime.sampling import SampleCall
from unerring.runtime.speculation.forecast import ChoiceForecast, Forecaster

MIN_SURE_PROBABILITY = 0.95  # of a forecast; below it a step is asked for all it lacks, since others depend on it


@dataclass(slots=True, eq=False)
class WindowStep:
    """A step of the window.

    question: what is asked, from a state that may be guessed.
    has_full_state: whether the state has all that is decided or guessed before, not only what its question needs.
    had_part_of_state: whether the step was first asked without the full state.
    next_is_beside: whether the next question is the same for each choice of this step; then none may be assumed.
    guess: the choice that the guess source gave, if any.
    was_guessed: whether the guess source was asked.
    assumed: the choice that the state of the next step was derived from.
    assumed_next: that state and its digest.
    asked: the numbers of samples in flight.
    calls: the calls in flight.
    halt: stops the retries of its calls.
    failure: the error that stops the run once the step is at the frontier.
    is_dropped: whether a wrong guess took the step out of the window.
    """

    question: Question
    has_full_state: bool = True
    had_part_of_state: bool = False
    next_is_beside: bool = False
    guess: str | None = None
    was_guessed: bool = False
    assumed: str | None = None
    assumed_next: tuple[Json, str] | None = None
    asked: set[int] = field(default_factory=set)
    calls: dict["asyncio.Task[None]", SampleCall] = field(default_factory=dict)
    halt: StopRequest = field(default_factory=lambda: StopRequest(abandons=True))
    failure: BaseException | None = None
    is_dropped: bool = False
    _forecast: tuple[int, str | None, ChoiceForecast | None] | None = None

    def set_state(self, state: Json) -> None:
        """Complete the state, of which only the place was known. A step without a guess may be guessed now."""
        if not self.has_full_state:
            self.had_part_of_state, self.was_guessed = True, self.guess is not None
        self.question.state, self.has_full_state = state, True

    def forecast_by(self, forecaster: Forecaster) -> ChoiceForecast | None:
        """The step's probable choice, computed again only after new samples or a guess.

        None also for a step that would stop the run at the frontier: nothing is asked beyond it.
        """
        if self.failure is not None:
            return None
        step = self.question.step
        if self._forecast is None or self._forecast[:2] != (len(step.replies), self.guess):
            forecast: ChoiceForecast | None
            match step.verdict:
                case Won(candidate):
                    forecast = ChoiceForecast(step.choice(candidate), 1.0)
                case Undecided():
                    forecast = None
                case _:
                    forecast = forecaster.forecast(step.leaning(), self.guess)
            self._forecast = (len(step.replies), self.guess, forecast)
        return self._forecast[2]

    @property
    def probability(self) -> float:
        """The probability of the latest forecast; 0.5 without one."""
        forecast = None if self._forecast is None or self.failure is not None else self._forecast[2]
        return 0.5 if forecast is None else forecast.probability

    @property
    def is_decided(self) -> bool:
        """Whether the step is won."""
        return isinstance(self.question.step.verdict, Won)

    @property
    def is_stuck(self) -> bool:
        """Whether the step would stop the run at the frontier: nothing is asked beyond it."""
        return self.failure is not None or isinstance(self.question.step.verdict, Undecided)

    @property
    def is_doubtful(self) -> bool:
        """Whether the votes so far leave the choice open: steps that depend on it wait for more votes."""
        forecast = None if self._forecast is None else self._forecast[2]
        return bool(self.question.step.replies) and (forecast is None or forecast.probability < MIN_SURE_PROBABILITY)

    @property
    def key(self) -> tuple[int, str]:
        """The step's number and the digest of its place."""
        return self.question.step.step, self.question.at

    @property
    def samples(self) -> int:
        """Samples drawn or in flight."""
        return len(self.question.step.replies) + len(self.asked)

    def lacking(self) -> list[int]:
        """Numbers of the samples that the step wants and that are not in flight."""
        if self.question.step.counted == self.question.step.asked:
            return []
        return [slot for slot in self.question.step.wanted() if slot not in self.asked]
