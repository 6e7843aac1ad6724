"""One step that is asked ahead: what it is asked from, what it will probably come to, and what follows from that."""

import asyncio
from dataclasses import dataclass, field

from unerring.core.voting.canonical import Json
from unerring.core.voting.race import Undecided, Won
from unerring.runtime.config import StopRequest
from unerring.runtime.question import Question
from unerring.runtime.sampling import SampleCall
from unerring.runtime.speculation.forecast import ChoiceForecast, Forecaster

DOUBT = 0.95  # a step that votes leave less sure than this is asked for all it lacks, since others hang on it


@dataclass(slots=True, eq=False)
class WindowStep:
    """A step of the window. `choice` is what the state of the next one was derived from, `after` that state.

    `free` says that the question of the next one is the same whatever this one comes to; then there may be no choice.
    `known` says that the state has all that is known or guessed of the steps before, and not only what is asked of it;
    `stood_in`, that this was not always so. `dropped` says that a wrong guess took it out of the window.
    """

    question: Question
    known: bool = True
    stood_in: bool = False
    free: bool = False
    guess: str | None = None
    guessed: bool = False
    choice: str | None = None
    after: tuple[Json, str] | None = None
    asked: set[int] = field(default_factory=set)
    calls: dict["asyncio.Task[None]", SampleCall] = field(default_factory=dict)
    halt: StopRequest = field(default_factory=lambda: StopRequest(abandons=True))
    failure: BaseException | None = None
    dropped: bool = False
    _outlook: tuple[int, str | None, ChoiceForecast | None] | None = None

    def now_from(self, state: Json) -> None:
        """The step is asked from this state, of which only the place was known. A guess may be had now if none was."""
        if not self.known:
            self.stood_in, self.guessed = True, self.guess is not None
        self.question.state, self.known = state, True

    def outlook(self, foresight: Forecaster) -> ChoiceForecast | None:
        """What the step will probably come to; looked at again only where something has come in.

        None also where the step will stop the run if its turn comes: nothing is asked beyond it.
        """
        if self.failure is not None:
            return None
        step = self.question.step
        if self._outlook is None or self._outlook[:2] != (len(step.replies), self.guess):
            forecast: ChoiceForecast | None
            match step.verdict:
                case Won(candidate):
                    forecast = ChoiceForecast(step.choice(candidate), 1.0)
                case Undecided():
                    forecast = None
                case _:
                    forecast = foresight.forecast(step.leaning(), self.guess)
            self._outlook = (len(step.replies), self.guess, forecast)
        return self._outlook[2]

    @property
    def probability(self) -> float:
        """How probably the step comes to what it was last seen to be leaning to."""
        forecast = None if self._outlook is None or self.failure is not None else self._outlook[2]
        return 0.5 if forecast is None else forecast.probability

    @property
    def decided(self) -> bool:
        """Whether votes have settled the step."""
        return isinstance(self.question.step.verdict, Won)

    @property
    def stuck(self) -> bool:
        """Whether the step will stop the run if its turn comes: nothing is asked beyond it."""
        return self.failure is not None or isinstance(self.question.step.verdict, Undecided)

    @property
    def doubtful(self) -> bool:
        """Whether the votes that are in leave it open what the step will come to: what hangs on it waits for more."""
        forecast = None if self._outlook is None else self._outlook[2]
        return bool(self.question.step.replies) and (forecast is None or forecast.probability < DOUBT)

    @property
    def key(self) -> tuple[int, str]:
        """The step's number and the digest of its place."""
        return self.question.step.step, self.question.at

    @property
    def samples(self) -> int:
        """Samples drawn or under way."""
        return len(self.question.step.replies) + len(self.asked)

    def lacking(self) -> list[int]:
        """Numbers of the samples that the step wants and that are not under way."""
        if self.question.step.told == self.question.step.asked:
            return []
        return [slot for slot in self.question.step.wanted() if slot not in self.asked]
