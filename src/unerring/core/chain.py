"""What a user writes: a chain of steps, each a question with a canonical answer."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast, runtime_checkable

from unerring.core.journal.entries import digest_of
from unerring.core.short_text import short
from unerring.core.user_code import OWN_ERRORS, json_of, raise_own, wrong_return
from unerring.core.voting.canonical import Json
from unerring.core.voting.echo import MAX_ECHO_CHARS
from unerring.core.voting.redflag import RedFlag
from unerring.core.voting.sample import Message

if TYPE_CHECKING:  # defaults of type parameters, so that a bare `Chain` or `Result` passes strict type checkers
    from typing_extensions import TypeVar as DefaultedTypeVar

    S = DefaultedTypeVar("S", default=Any)
else:
    S = TypeVar("S")

MADE_WITH = "_unerring_made_with"  # attribute of a chain without parameters() that was made by its name
ROLES = ("system", "developer", "user", "assistant")  # of messages before a question; the first two stand first only


@dataclass(frozen=True, slots=True)
class Subtask:
    """The question of one step.

    prompt: the whole question: a call sees the strategy and the current state, never the history.
    parse: turns an answer's text into the choice, JSON data that holds all that is carried forward, or raises
        `RedFlag`.
    compact: the same question in the fewest words, for models trained on just that.
    paraphrases: the same question in other words, for the votes to be spread over: what misleads one wording may not
        mislead another.
    shortlist: for questions with many good answers: after so many votes that settle nothing, the step's choice is
        `{"candidates": choices}`, those that had votes, for the next step to have them judged.
    schema: the JSON schema of an answer that is one JSON object, sent to endpoints that can enforce it; `parse` judges
        all the same.
    nullable: whether null is an answer. Without it, a `parse` that returns None has forgotten to return, which stops
        the run.
    example: the example of the answer's form that the prompt shows, such as `'{"label": "the label"}'`: an answer that
        repeats it, or holds a text of it, is flagged, so none of its texts may be a right answer.
    messages: messages before the prompt, such as a system message or examples of questions and answers, each `{"role":
        "system" | "user" | "assistant", "content": text}`. They do not go with the compact prompt.
    stop: strings before which the model stops writing. They do not go with the compact prompt.
    echo: a short text in every wording of the question, such as its number, that an answer must repeat as a whole
        word: the answer to another question then never votes.

    Raises `TypeError` or `ValueError`, on the user's own line, for fields that a question cannot be asked with.
    """

    prompt: str
    parse: Callable[[str], Json]
    compact: str | None = None
    paraphrases: tuple[str, ...] = ()
    shortlist: int | None = None
    schema: dict[str, Json] | None = None
    nullable: bool = False
    example: str | None = None
    messages: tuple[Mapping[str, str], ...] = ()
    stop: tuple[str, ...] = ()
    echo: str | None = None

    def __post_init__(self) -> None:
        """Raise `TypeError`, on the user's own line, for fields that a question cannot be asked with."""
        if not isinstance(self.prompt, str):
            raise TypeError(f"Subtask(prompt=...) is a text, not {short(self.prompt)}")
        if not callable(self.parse):
            raise TypeError(
                f"Subtask(parse=...) is a function from an answer's text to the choice, not {self.parse!r}"
            )
        if self.compact is not None and not isinstance(self.compact, str):
            raise TypeError(f"Subtask(compact=...) is a text, not {short(self.compact)}")
        if self.paraphrases != ():
            fits = isinstance(self.paraphrases, list | tuple)
            if not fits or not all(isinstance(one, str) for one in self.paraphrases):
                raise TypeError(f"Subtask(paraphrases=...) is a tuple of texts, not {short(self.paraphrases)}")
        if self.example is not None and not isinstance(self.example, str):
            raise TypeError(f"Subtask(example=...) is a text, not {short(self.example)}")
        if self.schema is not None and not isinstance(self.schema, dict):
            raise TypeError(f"Subtask(schema=...) is a JSON schema as a dict, not {short(self.schema)}")
        if self.messages != ():
            _require_messages(self.messages)
        if self.stop != ():
            _require_stop(self.stop)
        if self.echo is not None:
            self._require_echo(self.echo)

    def _require_echo(self, echo: object) -> None:
        if not isinstance(echo, str) or not 0 < len(echo) <= MAX_ECHO_CHARS or echo != echo.strip():
            raise TypeError(f"Subtask(echo=...) is a text of 1 to {MAX_ECHO_CHARS} characters, not {short(echo)}")
        wordings = (*self.wordings(False), *self.wordings(True))
        if without := next((one for one in wordings if echo not in one), None):
            raise ValueError(f"Subtask(echo=...) is part of the question, and {short(without)} does not hold {echo!r}")

    def wordings(self, compact: bool) -> tuple[str, ...]:
        """The prompts to choose from: the compact one alone where it is wanted and there is one."""
        return (self.compact,) if compact and self.compact is not None else (self.prompt, *self.paraphrases)

    def worded(self, compact: bool) -> str:
        """The first of them."""
        return self.wordings(compact)[0]

    def held_to(self, compact: bool) -> str | None:
        """The schema as JSON text, where there is one; compact prompts are answered without.

        Fields stay in their order: models write them in it, so that thoughts come before what they lead to.
        """
        if self.schema is None or self._in_few_words(compact):
            return None
        return json.dumps(self.schema, ensure_ascii=False, separators=(",", ":"))

    def introduced(self, compact: bool) -> tuple[Message, ...]:
        """The messages that are put before the prompt."""
        if not self.messages or self._in_few_words(compact):
            return ()
        return tuple(Message(one["role"], one["content"]) for one in self.messages)

    def stops(self, compact: bool) -> tuple[str, ...]:
        """The strings before which the model stops writing."""
        return () if not self.stop or self._in_few_words(compact) else tuple(self.stop)

    def _in_few_words(self, compact: bool) -> bool:
        return compact and self.compact is not None


def _require_messages(messages: object) -> None:
    written = 'messages of a Subtask are dicts such as {"role": "system", "content": "..."}'
    if not isinstance(messages, tuple | list):
        raise TypeError(f"{written}, in a tuple; this is {messages!r:.80}")
    for place, message in enumerate(messages):
        if not isinstance(message, Mapping) or set(message) != {"role", "content"}:
            raise TypeError(f"{written}, with no other keys; number {place + 1} is {message!r:.80}")
        role, content = message["role"], message["content"]
        if role not in ROLES or (place > 0 and role in {"system", "developer"}):
            raise ValueError(
                f"the role of message {place + 1} of a Subtask is {role!r:.40}; it is user or assistant, and of the "
                "first one system or developer as well"
            )
        if not isinstance(content, str) or not content:
            raise TypeError(f"the content of message {place + 1} of a Subtask is text, not {content!r:.40}")


def _require_stop(stop: object) -> None:
    if not isinstance(stop, tuple | list) or not all(isinstance(one, str) and one for one in stop):
        raise TypeError(f'stop of a Subtask is a tuple of strings, such as ("\\n\\n",); this is {stop!r:.80}')


@runtime_checkable
class Chain(Protocol):
    """A process whose steps depend on each other. States and choices are JSON data.

    All three methods must be functions of their arguments alone: resuming a run calls them again and
    expects the same results. They may also offer, each optional:

    - `check(state, choice) -> RedFlag | None`: flag a parsed answer that cannot be right;
    - `verify(choices, finished) -> str | None`: judge the decided choices, in the order of the steps, without
      any model; None if all hold, else what is wrong. `finished` says that no step is to follow;
    - `truth(state) -> choice`: the right choice where it is known, for measuring models, never for deciding;
    - `rehearse(prompt) -> Rehearsal`: answers for the noise sampler, which stands in for a model;
    - `length() -> int`: the number of steps, for progress and planning; a run that does not end there is stopped;
    - `state_at(step) -> state`: the state before any step, so that models can be measured on steps drawn at random;
    - `answer(state) -> JSON data`: what a finished run came to, from its last state;
    - `parameters() -> dict`: the arguments that make this chain again, kept in the journal;
    - `place(state) -> JSON data`: what the question at a state hangs on, where that is less than all of it: `subtask`,
      its parser and `check` use no more. Samples that were asked ahead are good wherever the place is the same;
    - `beside(state) -> state | None`: a state with the place of the next one, whatever the step comes to, for steps
      that do not wait for each other; None where the next question hangs on this one's answer. It goes with `place`;
    - `name: str`: what the process is called in journals, wherever its class is defined; without it that is
      `module:Class`;
    - `version`: text or a number that changes where the code changes what steps mean; compared when a run is resumed;
    - `embedded: str`: the embedded model that was trained on its compact prompts, where that is not `embedded`.
    """

    def start(self) -> Json:
        """The state before the first step."""

    def subtask(self, state: Json) -> Subtask | None:
        """The question that decides the step from `state`, or None if the chain ends here."""

    def advance(self, state: Json, choice: Json) -> Json:
        """The state after the step."""


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """Answers to a prompt to rehearse a chain with.

    right: a right answer, as text.
    wrong: plausible wrong answers, at least one.
    """

    right: str
    wrong: tuple[str, ...]

    def __post_init__(self) -> None:
        """Raise `TypeError`, on the user's own line, for what cannot be rehearsed with."""
        if not isinstance(self.right, str):
            raise TypeError(f"Rehearsal(right=...) is a text, not {short(self.right)}")
        fits = isinstance(self.wrong, list | tuple) and len(self.wrong) > 0
        if not fits or not all(isinstance(one, str) for one in self.wrong):
            raise TypeError(f"Rehearsal(wrong=...) is a tuple of one or more texts, not {short(self.wrong)}")


def started(chain: Chain) -> Json:
    """The state before the first step."""
    try:
        return chain.start()
    except OWN_ERRORS as error:
        raise_own(error, "start", None, chain.start)


def start_text(chain: Chain, state: Json) -> str:
    """A chain's first state as canonical text; raises `WrongReturn` for one that is no JSON data."""
    return json_of(state, "start", "state", None, chain.start)


def require_step(chain: Chain, state: Json) -> None:
    """Raise `WrongReturn` for a chain whose first question is None, unless its length() is 0."""
    if subtask_at(chain, state, 0) is None and length_of(chain) != 0:
        said = (
            "returned None at the first state: the process has no steps; is a return missing? A process that may be "
            "empty says so by length() = 0"
        )
        raise wrong_return("subtask", said, None, chain.subtask)


def subtask_at(chain: Chain, state: Json, step: int) -> Subtask | None:
    """The question of a step; raises `WrongReturn` where the chain gives anything else."""
    try:
        subtask = chain.subtask(state)
    except OWN_ERRORS as error:
        method = "subtask" if state is not None or step == 0 else "advance() returned None, subtask"
        raise_own(error, method, step, chain.subtask)
    if subtask is not None and not isinstance(subtask, Subtask):
        said = f"returned {short(subtask)}; it returns a Subtask, or None at the end"
        raise wrong_return("subtask", said, step, chain.subtask)
    return subtask


def advanced(chain: Chain, state: Json, choice: Json, step: int) -> Json:
    """The state after a step."""
    try:
        return chain.advance(state, choice)
    except OWN_ERRORS as error:
        raise_own(error, "advance", step, chain.advance)


def check_of(chain: Chain) -> Callable[[Json, Json], RedFlag | None] | None:
    """The chain's own check, if it has one."""
    check: Callable[[Json, Json], RedFlag | None] | None = getattr(chain, "check", None)
    return check


def flag_of(
    check: Callable[[Json, Json], RedFlag | None], state: Json, choice: Json, step: int | None = None
) -> RedFlag | None:
    """The red flag that a chain's check returns or raises; anything else from it is an error of its own."""
    try:
        flag = check(state, choice)
    except RedFlag as raised:
        flag = raised
    except OWN_ERRORS as error:
        raise_own(error, "check", step, check)
    if flag is not None and not isinstance(flag, RedFlag):
        said = f"returned {short(flag)}; it returns a RedFlag, or None for an answer that may vote"
        raise wrong_return("check", said, step, check)
    return flag


def length_of(chain: Chain) -> int | None:
    """The chain's number of steps, if it says."""
    length: Callable[[], int | None] | None = getattr(chain, "length", None)
    if length is None:
        return None
    found = _from(length, "length")
    if found is not None and (type(found) is not int or found < 0):
        raise wrong_return("length", f"returned {short(found)}; it returns the number of steps", None, length)
    return found


def answer_of(chain: Chain, state: Json) -> Json:
    """What a run that ended in `state` came to; None if the chain does not say."""
    answer: Callable[[Json], Json] | None = getattr(chain, "answer", None)
    if answer is None:
        return None
    found: Json = _from(answer, "answer", state)
    json_of(found, "answer", "answer", None, answer)
    return found


def says_parameters(chain: Chain) -> bool:
    """Whether the arguments that make the chain again are known: its own `parameters()`, or made by its name."""
    return hasattr(chain, "parameters") or hasattr(chain, MADE_WITH)


def parameters_of(chain: Chain) -> dict[str, Json]:
    """The arguments that make the chain again; empty if it does not say."""
    parameters: Callable[[], dict[str, Json]] | None = getattr(chain, "parameters", None)
    if parameters is None:
        return dict(getattr(chain, MADE_WITH, {}))
    found = _from(parameters, "parameters")
    if not isinstance(found, dict):
        raise wrong_return("parameters", f"returned {short(found)}; it returns a dict", None, parameters)
    json_of(found, "parameters", "parameters", None, parameters)
    return found


def truth_of(chain: Chain) -> Callable[[Json, int, bool], str] | None:
    """The chain's right choice at a state of a step, as canonical text, where it knows any; null if that may be."""
    truth: Callable[[Json], Json] | None = getattr(chain, "truth", None)
    if truth is None:
        return None

    def text(state: Json, step: int, nullable: bool) -> str:
        right = _from(truth, "truth", state, step=step)
        if right is None and not nullable:
            raise wrong_return("truth", "returned None: is a return missing?", step, truth)
        return json_of(right, "truth", "choice", step, truth)

    return text


def state_at(chain: Chain, step: int) -> Json:
    """The state before a step, of a chain that can be entered at any."""
    enter: Callable[[int], Json] = getattr(chain, "state_at")  # noqa: B009  (no method of every chain)
    return cast(Json, _from(enter, "state_at", step, step=step))


def digest_at(chain: Chain, state: Json, step: int | None = None, made_by: str = "advance") -> str:
    """The digest of what the question at a state depends on: all of the state, or the part that the chain names.

    `step` is the one that is asked there, and `made_by` the method that gave the state: errors name them.
    """
    place: Callable[[Json], Json] | None = getattr(chain, "place", None)
    if place is not None:
        return digest_of(json_of(_from(place, "place", state, step=step), "place", "place", step, place))
    before = None if step is None else step - 1
    return digest_of(json_of(state, made_by, "state", before, getattr(chain, made_by)))


def beside_of(chain: Chain) -> Callable[[Json], Json]:
    """The chain's own `beside`; for most chains every question hangs on the answer before it."""
    beside: Callable[[Json], Json] = getattr(chain, "beside", _nothing)
    return beside


def _nothing(state: Json) -> Json:
    return None


def verifier_of(chain: Chain) -> Callable[[Iterable[Json], bool], str | None] | None:
    """The chain's own verifier of decided choices, if it has one; raises `WrongReturn` for what is no verdict."""
    verify: Callable[[Iterable[Json], bool], str | None] | None = getattr(chain, "verify", None)
    if verify is None:
        return None

    def verdict(choices: Iterable[Json], finished: bool) -> str | None:
        found = _from(verify, "verify", choices, finished)
        if found is not None and not isinstance(found, str):
            said = f"returned {short(found)}; it returns None where all holds, else what is wrong, as text"
            raise wrong_return("verify", said, None, verify)
        return found

    return verdict


def _from(function: Callable[..., Any], method: str, *arguments: Any, step: int | None = None) -> Any:
    """What a user's own method returns; an error of its own is passed on with a note of the method."""
    try:
        return function(*arguments)
    except OWN_ERRORS as error:
        raise_own(error, method, step, function)
