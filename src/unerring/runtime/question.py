"""A question: one step, asked from one state, and how its answers are read."""

from collections.abc import Callable
from dataclasses import dataclass, field

from unerring.core.open_step import OpenStep
from unerring.core.parsing import repeats_example
from unerring.core.process import Chain, Subtask, check_of, subtask_at
from unerring.core.redflag import FlagKind, NullAnswer, RedFlag
from unerring.core.replay import RunState
from unerring.core.user_code import not_json, noted, short, wrong_return
from unerring.core.vote import ForeignType, Json, NotJson, canonical, parsed


@dataclass(slots=True, eq=False)
class Question:
    """A step asked from a state, which may be guessed; `at` is the digest of what it hangs on (`Chain.place`)."""

    step: OpenStep
    subtask: Subtask
    state: Json
    at: str
    check: Callable[[Json, Json], RedFlag | None] | None = None
    _read: dict[str, str | RedFlag] = field(default_factory=dict)

    def choice(self, text: str) -> str:
        """The canonical choice in a text; raises `RedFlag` where parser or check object.

        Equal texts are read once: most samples of a step are equal, and a parser is a function of the text alone.
        """
        if text not in self._read:
            try:
                self._read[text] = self._choice(text)
            except RedFlag as flag:
                self._read[text] = flag
        found = self._read[text]
        if isinstance(found, RedFlag):
            raise found
        return found

    def read_as(self, other: "Question") -> bool:
        """Whether another question is put in the same words, and all that was answered here reads the same there."""

        def read(question: Question, text: str) -> str | FlagKind:
            try:
                return question.choice(text)
            except RedFlag as flag:
                return flag.kind

        same = all(self.subtask.wordings(compact) == other.subtask.wordings(compact) for compact in (False, True))
        return same and all(read(self, text) == read(other, text) for text in tuple(self._read))

    def _choice(self, text: str) -> str:
        step, parse = self.step.step, self.subtask.parse
        try:
            value = parse(text)
        except NullAnswer:
            if not self.subtask.nullable:
                raise
            value = None
        except RedFlag:
            raise
        except Exception as error:  # the user's own
            noted(error, "parse", step, parse)
            raise
        if value is None and not self.subtask.nullable:
            said = "returned None: is a return missing? Where null is an answer, say Subtask(nullable=True)"
            raise wrong_return("parse", said, step, parse)
        try:
            choice = canonical(value)
        except ForeignType as error:
            raise not_json(error, "parse", "choice", step, parse) from None
        except NotJson as error:  # NaN, a lone surrogate: the model's doing, not the parser's
            raise RedFlag(str(error)) from None
        example = self.subtask.example
        if example is not None and (copied := repeats_example(example, text, value)) is not None:
            raise RedFlag(f"the answer repeats the example of the form: {short(copied)}", FlagKind.REJECTED)
        if self.check is not None:
            self._checked_by_user(self.check, choice)
        return choice

    def _checked_by_user(self, check: Callable[[Json, Json], RedFlag | None], choice: str) -> None:
        """Raise the red flag that a chain's check returns or raises; anything else from it is a bug of its own."""
        try:
            flag = check(self.state, parsed(choice))
        except RedFlag as raised:
            flag = raised
        except Exception as error:
            noted(error, "check", self.step.step, check)
            raise
        if isinstance(flag, RedFlag):
            raise RedFlag(flag.reason, FlagKind.REJECTED)
        if flag is not None:
            said = f"returned {short(flag)}; it returns a RedFlag, or None for an answer that may vote"
            raise wrong_return("check", said, self.step.step, check)


def question_of(chain: Chain, folded: RunState, number: int, state: Json, at: str) -> Question | None:
    """Ask step `number` from a state; None where the chain ends there."""
    subtask = subtask_at(chain, state, number)
    if subtask is None:
        return None
    return Question(folded.step(number, at), subtask, state, at, check_of(chain))
