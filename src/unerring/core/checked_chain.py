"""A user's chain as the runtime calls it: defaults for what it lacks, and errors that name method, step and line."""

from collections.abc import Callable, Iterable
from typing import Any, TypeAlias, cast

from unerring.core.chain import Chain, Rehearsal, Subtask
from unerring.core.chain_form import own_method
from unerring.core.functions.function_chain import FunctionChain
from unerring.core.journal.entries import digest_of
from unerring.core.short_text import short
from unerring.core.user_code import OWN_ERRORS, call_own, json_of, raise_own, wrong_return
from unerring.core.voting.canonical import Json
from unerring.core.voting.redflag import RedFlag, require_usable

MADE_WITH = "_unerring_made_with"  # attribute of a chain without parameters() that was made by its name

GivenChain: TypeAlias = "Chain | CheckedChain | Callable[..., Any] | str | None"
"""A `GivenProcess`, which is what users give, or a chain that is checked already."""
Check: TypeAlias = Callable[[Json, Json, int | None], RedFlag | None]


class CheckedChain:
    """A chain whose methods are called for the runtime, whether or not its class inherits from `Chain`.

    What a method must not return raises `WrongReturn`; an exception of the user's own code is passed on with a note of
    the method and the step.

    original: the user's object.
    check: judges a choice at a state of a step; None where the chain has no check.
    guess: the chain's own guesses; None where it has none.
    rehearse: the chain's answers for the noise sampler; None where it has none.
    name: the name that the chain gives itself; None where it gives none.
    version: the version that the chain gives itself; None where it gives none.
    embedded: the embedded model that was trained on its prompts; None for the usual one.
    function: the function process that it is; None for a chain that was written as one.
    """

    def __init__(self, chain: Chain) -> None:
        self.original = chain
        self.function = chain if isinstance(chain, FunctionChain) else None
        self.name: Any = getattr(chain, "name", None)
        self.version: Any = getattr(chain, "version", None)
        self.embedded: str | None = getattr(chain, "embedded", None)
        self.guess: Callable[[Json], Json] | None = own_method(chain, "guess")
        self.rehearse: Callable[[str], Rehearsal] | None = own_method(chain, "rehearse")
        self._check: Callable[[Json, Json], RedFlag | None] | None = own_method(chain, "check")
        self.check: Check | None = None if self._check is None else self._checked
        self._place: Callable[[Json], Json] | None = own_method(chain, "place")
        self._beside: Callable[[Json], Json] | None = own_method(chain, "beside")
        self._start, self._subtask, self._advance = chain.start, chain.subtask, chain.advance

    def start(self) -> Json:
        """The state before the first step."""
        return cast(Json, call_own(self._start, "start"))

    def start_text(self, state: Json) -> str:
        """The first state as canonical text; raises `WrongReturn` for one that is no JSON data."""
        return json_of(state, "start", "state", None, self._start)

    def require_step(self, state: Json) -> None:
        """Raise `WrongReturn` where the first question of a chain is None, unless length() is 0."""
        if self.function is not None:
            return
        if self.subtask(state, 0) is None and self.length() != 0:
            said = (
                "returned None at the first state: the process has no steps; is a return missing? A process that may "
                "be empty says so by length() = 0"
            )
            raise wrong_return("subtask", said, None, self._subtask)

    def subtask(self, state: Json, step: int) -> Subtask | None:
        """The question of a step; None at the end of the chain."""
        try:
            subtask = self._subtask(state)
        except OWN_ERRORS as error:
            method = (
                "subtask"
                if state is not None or step == 0
                else "advance() returned None (is a return missing?), and then subtask"
            )
            raise_own(error, method, step, self._subtask)
        if subtask is not None and not isinstance(subtask, Subtask):
            said = f"returned {short(subtask)}; it returns a Subtask, or None at the end"
            raise wrong_return("subtask", said, step, self._subtask)
        return subtask

    def ends_at(self, state: Json, step: int) -> bool:
        """Whether the process ends at a state."""
        waits = self.function is not None and self.function.act(state) is not None
        return not waits and self.subtask(state, step) is None

    def instead_of_step(self, state: Json) -> str:
        """What the process does at a state where it asks no step, as the end of a sentence: "ends"."""
        return "ends" if self.function is None else f"reaches {self.function.waits_for(state)}"

    def require_end(self, step: int, length: int | None) -> None:
        """Raise `WrongReturn` where the chain ended before the `length` steps that it has; None has no limit."""
        if length is not None and step < length:
            said = f"returned None, but length() is {length:,}: a step was decided wrongly, or one of the two is wrong"
            raise wrong_return("subtask", said, step, self._subtask)

    def advance(self, state: Json, choice: Json, step: int) -> Json:
        """The state after a step."""
        return cast(Json, call_own(self._advance, "advance", state, choice, step=step))

    def _checked(self, state: Json, choice: Json, step: int | None = None) -> RedFlag | None:
        """The red flag that the chain's check returns or raises."""
        check = self._check
        assert check is not None
        try:
            flag = check(state, choice)
        except RedFlag as raised:
            flag = raised
        except OWN_ERRORS as error:
            raise_own(error, "check", step, check)
        if flag is not None and not isinstance(flag, RedFlag):
            said = f"returned {short(flag)}; it returns a RedFlag, or None for an answer that may vote"
            raise wrong_return("check", said, step, check)
        if flag is not None:
            require_usable(flag, "check", step, check)
        return flag

    def digest(self, state: Json, step: int | None = None, made_by: str = "advance") -> str:
        """The digest of what the question at a state depends on: all of the state, or the chain's `place` of it.

        `step` is the one that is asked there, and `made_by` the method that gave the state: errors name them.
        """
        if self._place is not None:
            place = call_own(self._place, "place", state, step=step)
            return digest_of(json_of(place, "place", "place", step, self._place))
        before = None if step is None else step - 1
        return digest_of(json_of(state, made_by, "state", before, getattr(self.original, made_by)))

    def beside(self, state: Json) -> Json:
        """A stand-in for the next state; None where the next question depends on the answer before it."""
        return None if self._beside is None else self._beside(state)

    def length(self) -> int | None:
        """The number of steps; None where the chain does not say."""
        length = own_method(self.original, "length")
        steps = None if length is None else call_own(length, "length")
        if steps is not None and (type(steps) is not int or steps < 0):
            raise wrong_return("length", f"returned {short(steps)}; it returns the number of steps", None, length)
        return steps

    def answer(self, state: Json) -> Json:
        """The answer of a run that ended in a state; None where the chain has no `answer`."""
        answer = own_method(self.original, "answer")
        if answer is None:
            return None
        value: Json = call_own(answer, "answer", state)
        json_of(value, "answer", "answer", None, answer)
        return value

    @property
    def has_parameters(self) -> bool:
        """Whether the chain has a method `parameters()`."""
        return own_method(self.original, "parameters") is not None

    @property
    def knows_parameters(self) -> bool:
        """Whether the arguments that make the chain again are known: it has `parameters()`, or was made by name."""
        return self.has_parameters or hasattr(self.original, MADE_WITH)

    def parameters(self) -> dict[str, Json]:
        """The arguments that make the chain again; empty where they are not known."""
        parameters = own_method(self.original, "parameters")
        if parameters is None:
            return dict(getattr(self.original, MADE_WITH, {}))
        values = call_own(parameters, "parameters")
        if not isinstance(values, dict):
            raise wrong_return("parameters", f"returned {short(values)}; it returns a dict", None, parameters)
        json_of(values, "parameters", "parameters", None, parameters)
        return values

    @property
    def truth(self) -> Callable[[Json, int, bool], str] | None:
        """The right choice at a state of a step, as canonical text; None where the chain does not know it.

        The third argument says whether null may be the right choice.
        """
        truth = own_method(self.original, "truth")
        if truth is None or not (self.function is None or self.function.knows_truth):
            return None

        def text(state: Json, step: int, nullable: bool) -> str:
            right = call_own(truth, "truth", state, step=step)
            if right is None and not nullable:
                raise wrong_return("truth", "returned None: is a return missing?", step, truth)
            return json_of(right, "truth", "choice", step, truth)

        return text

    def kept(self, state: Json) -> Json:
        """A state that choices alone led to, as JSON data for a file; that of a function process is its choices."""
        return state if self.function is None else self.function.choices(state)

    def from_kept(self, kept: Json) -> Json:
        """The state that a file keeps."""
        return kept if self.function is None or not isinstance(kept, list) else self.function.after(kept)

    @property
    def can_be_entered(self) -> bool:
        """Whether the chain gives the state before any step."""
        return own_method(self.original, "state_at") is not None and self.length() is not None

    def state_at(self, step: int) -> Json:
        """The state before a step, of a chain that can be entered at any."""
        return cast(Json, call_own(self.original.state_at, "state_at", step, step=step))

    @property
    def verify(self) -> Callable[[Iterable[Json], bool], str | None] | None:
        """Judges decided choices, by the chain's own `verify`; None where it has none."""
        verify = own_method(self.original, "verify")
        if verify is None:
            return None

        def verdict(choices: Iterable[Json], finished: bool) -> str | None:
            wrong = call_own(verify, "verify", choices, finished)
            if wrong is not None and not isinstance(wrong, str):
                said = f"returned {short(wrong)}; it returns None where all holds, else what is wrong, as text"
                raise wrong_return("verify", said, None, verify)
            return wrong

        return verdict
