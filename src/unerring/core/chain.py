"""The classes that users write a process with: `Chain`, `Subtask` and `Rehearsal`."""

import json
from abc import ABC
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from unerring.core.short_text import short
from unerring.core.voting.canonical import Json, NotJson, canonical
from unerring.core.voting.echo import MAX_ECHO_CHARS
from unerring.core.voting.redflag import RedFlag
from unerring.core.voting.sample import Message

if TYPE_CHECKING:
    from typing import Protocol as Structural

    from typing_extensions import TypeVar as DefaultedTypeVar

    # With defaults a bare `Chain` or `Result` passes strict type checkers.
    S = DefaultedTypeVar("S", default=Any)
    C = DefaultedTypeVar("C", default=Any)
else:
    S, C = TypeVar("S"), TypeVar("C")
    Structural = Generic

MESSAGE_ROLES = ("system", "developer", "user", "assistant")  # of messages; the first two only for the first message


@dataclass(frozen=True, slots=True)
class Subtask:
    """The question of one step.

    prompt: the whole question, with the strategy and the current state; a call never sees the history.
    parse: turns the text of an answer into the choice, as JSON data, or raises `RedFlag`. The choice is all that is
        carried forward.
    compact: the same question in the fewest words, for models trained on it.
    paraphrases: the same question in other words. Votes are spread over all wordings: a model that one misleads may
        understand another.
    shortlist: for questions with many good answers: after so many votes without a winner, the step's choice is
        `{"candidates": choices}`, all choices that had votes, so that the next step can have them judged.
    schema: the JSON schema of an answer that is one JSON object, sent to endpoints that can enforce it; `parse` judges
        in any case.
    nullable: whether null is an answer. Otherwise a `parse` that returns None stops the run: a return is missing.
    example: the example of the answer's form that the prompt shows, such as `'{"label": "the label"}'`: an answer that
        repeats it, or one of its texts, is flagged, so none of its texts may be a right answer.
    messages: messages before the prompt, such as a system message or examples of questions and answers, each `{"role":
        "system" | "user" | "assistant", "content": text}`. They do not go with the compact prompt.
    stop: strings before which the model stops writing. They do not go with the compact prompt.
    echo: a short text in every wording of the question, such as its number, that an answer must repeat as a whole
        word: the answer to another question then never votes.
    tools: tools that the model may call, each as OpenAI's chat protocol has it, sent to endpoints. Calls reach `parse`
        as JSON text: `[{"name": "add", "arguments": {"a": 1}}]`. They do not go with the compact prompt.

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
    tools: tuple[Mapping[str, Any], ...] = ()

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
        if self.tools != ():
            _require_tools(self.tools)

    def _require_echo(self, echo: object) -> None:
        if not isinstance(echo, str) or not 0 < len(echo) <= MAX_ECHO_CHARS or echo != echo.strip():
            raise TypeError(f"Subtask(echo=...) is a text of 1 to {MAX_ECHO_CHARS} characters, not {short(echo)}")
        wordings = (*self.wordings(False), *self.wordings(True))
        if without := next((one for one in wordings if echo not in one), None):
            raise ValueError(f"Subtask(echo=...) is part of the question, and {short(without)} does not hold {echo!r}")

    def wordings(self, compact: bool) -> tuple[str, ...]:
        """The wordings of the question: only the compact one where that is asked for and exists."""
        return (self.compact,) if compact and self.compact is not None else (self.prompt, *self.paraphrases)

    def first_wording(self, compact: bool) -> str:
        """The first wording of the question."""
        return self.wordings(compact)[0]

    def schema_text(self, compact: bool) -> str | None:
        """The schema as JSON text; None where there is none, and for compact prompts.

        Fields keep their order: models write them in it, so that thoughts come before the answer.
        """
        if self.schema is None or self._is_asked_compactly(compact):
            return None
        return json.dumps(self.schema, ensure_ascii=False, separators=(",", ":"))

    def messages_before(self, compact: bool) -> tuple[Message, ...]:
        """The messages before the prompt."""
        if not self.messages or self._is_asked_compactly(compact):
            return ()
        return tuple(Message(one["role"], one["content"]) for one in self.messages)

    def stop_strings(self, compact: bool) -> tuple[str, ...]:
        """The strings before which the model stops writing."""
        return () if not self.stop or self._is_asked_compactly(compact) else tuple(self.stop)

    def tools_text(self, compact: bool) -> str | None:
        """The tools as JSON text; None where there are none, and for compact prompts."""
        if not self.tools or self._is_asked_compactly(compact):
            return None
        return json.dumps([dict(one) for one in self.tools], ensure_ascii=False, separators=(",", ":"))

    def _is_asked_compactly(self, compact: bool) -> bool:
        return compact and self.compact is not None


def _require_messages(messages: object) -> None:
    written = 'messages of a Subtask are dicts such as {"role": "system", "content": "..."}'
    if not isinstance(messages, tuple | list):
        raise TypeError(f"{written}, in a tuple; this is {messages!r:.80}")
    for place, message in enumerate(messages):
        if not isinstance(message, Mapping) or set(message) != {"role", "content"}:
            raise TypeError(f"{written}, with no other keys; number {place + 1} is {message!r:.80}")
        role, content = message["role"], message["content"]
        if role not in MESSAGE_ROLES or (place > 0 and role in {"system", "developer"}):
            raise ValueError(
                f"the role of message {place + 1} of a Subtask is {role!r:.40}; it is user or assistant, and of the "
                "first one system or developer as well"
            )
        if not isinstance(content, str) or not content:
            raise TypeError(f"the content of message {place + 1} of a Subtask is text, not {content!r:.40}")


def _require_tools(tools: object) -> None:
    written = 'tools of a Subtask are dicts such as {"type": "function", "function": {"name": ..., "parameters": ...}}'
    if not isinstance(tools, tuple | list) or not all(isinstance(one, Mapping) for one in tools):
        raise TypeError(f"{written}, in a tuple; this is {tools!r:.80}")
    try:
        canonical([dict(one) for one in tools])
    except NotJson as error:
        raise TypeError(f"tools of a Subtask are JSON data, but {error}") from None


def _require_stop(stop: object) -> None:
    if not isinstance(stop, tuple | list) or not all(isinstance(one, str) and one for one in stop):
        raise TypeError(f'stop of a Subtask is a tuple of strings, such as ("\\n\\n",); this is {stop!r:.80}')


class OptionalMethods(ABC, Generic[S, C]):
    """What a chain may have besides its three methods: each has a default here."""

    name: str | None = None
    """The name of the process in journals, wherever its class is defined; without one that is `module:Class`."""
    version: Any = None
    """Text or a number that changes where the code changes what steps mean; compared when a run is resumed."""
    embedded: str | None = None
    """The embedded model that was trained on the compact prompts, where that is not `embedded`."""

    def check(self, state: S, choice: C) -> RedFlag | None:
        """Flag a parsed answer that cannot be right."""
        return None

    def verify(self, choices: Iterable[C], finished: bool) -> str | None:
        """Judge the decided choices, in the order of the steps, without a model; say what is wrong, None if nothing.

        `finished` says that no step is to follow.
        """
        return None

    def truth(self, state: S) -> C:
        """The right choice, for measuring models where it is known. It never decides a step."""
        raise NotImplementedError

    def rehearse(self, prompt: str) -> "Rehearsal":
        """Answers for the noise sampler, which stands in for a model."""
        raise NotImplementedError

    def guess(self, state: S) -> C:
        """The probable choice, for asking the next step ahead. It never votes."""
        raise NotImplementedError

    def length(self) -> int | None:
        """The exact number of steps, for progress and planning; a run that does not end there is stopped."""
        return None

    def state_at(self, step: int) -> S:
        """The state before any step, so that models can be measured on steps drawn at random."""
        raise NotImplementedError

    def answer(self, state: S) -> Any:
        """The answer of a finished run, from its last state, as JSON data."""
        return None

    def parameters(self) -> dict[str, Any]:
        """The arguments that make this chain again, as JSON data, kept in the journal."""
        return {}

    def place(self, state: S) -> Any:
        """The part of a state that its question depends on, as JSON data.

        `subtask`, its parser and `check` use no more. Samples that were asked ahead are good wherever it is the same.
        """
        return state

    def beside(self, state: S) -> S | None:
        """A stand-in for the next state that asks the same question, whatever this step's answer is.

        None where the next question depends on this one's answer.
        """
        return None


# To type checkers any class with the three methods is a chain, whether or not it inherits. A class that inherits gets
# the defaults, and its methods are checked against them.
class Chain(OptionalMethods[S, C], Structural[S, C]):  # type: ignore[misc]
    """A process whose steps depend on each other; generic in its states and choices, which are JSON data.

    Inherit from it, or write any class with `start`, `subtask` and `advance`; `OptionalMethods` says what else a chain
    may have. All methods must be functions of their arguments alone: resuming a run calls them again and expects the
    same results.
    """

    def start(self) -> S:
        """The state before the first step."""
        raise NotImplementedError

    def subtask(self, state: S) -> Subtask | None:
        """The question that decides the step from `state`, or None if the chain ends here."""
        raise NotImplementedError

    def advance(self, state: S, choice: C) -> S:
        """The state after the step."""
        raise NotImplementedError

    @classmethod
    def __subclasshook__(cls, other: type) -> Any:
        """Any class with the three methods is a chain to `isinstance`."""
        if cls is not Chain:
            return NotImplemented
        return all(getattr(other, method, None) is not None for method in ("start", "subtask", "advance"))


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """Answers to a prompt, with which the noise sampler stands in for a model.

    right: a right answer, as text.
    wrong: plausible wrong answers, at least one.
    """

    right: str
    wrong: tuple[str, ...]

    def __post_init__(self) -> None:
        """Raise `TypeError`, on the user's own line, for answers of a wrong type."""
        if not isinstance(self.right, str):
            raise TypeError(f"Rehearsal(right=...) is a text, not {short(self.right)}")
        fits = isinstance(self.wrong, list | tuple) and len(self.wrong) > 0
        if not fits or not all(isinstance(one, str) for one in self.wrong):
            raise TypeError(f"Rehearsal(wrong=...) is a tuple of one or more texts, not {short(self.wrong)}")
