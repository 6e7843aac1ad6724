"""Ask one question, decided by voting: now, or as a step of a function process."""

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias, TypedDict, TypeVar, Unpack, overload

from unerring.api.chains import required_chain
from unerring.api.decision import Decision, decision_of, wrong_vote_probability
from unerring.api.journals.history import steps
from unerring.api.models import Model
from unerring.api.options import Options
from unerring.api.result import Result
from unerring.api.running import arun, run
from unerring.core.answers.ask import AnswerCheck, AskedAgain, make_ask
from unerring.core.answers.form import HOW_STRICT
from unerring.core.arguments import require_made
from unerring.core.chain import Rehearsal
from unerring.core.functions.awaitables import Ask
from unerring.core.functions.running import is_asked_again, is_in_process
from unerring.core.journal.decided_step import DecidedStep
from unerring.core.journal.state import RunState
from unerring.core.planning.calibration import Calibration
from unerring.core.reporting.steps import Step, step_of
from unerring.core.voting.canonical import Json
from unerring.processes.question import OneQuestion, named_answer
from unerring.runtime.protocols import Observer

T = TypeVar("T")
AnswerOf: TypeAlias = type[T] | Sequence[T] | AbstractSet[T] | Callable[[str], T]
"""What says of which type answers are: that type, choices of it, or a function that reads them."""

ONE_QUESTION_K = 3
"""The margin of votes that decides one question, where none is given."""


class AskedHow(TypedDict, total=False):
    """How a question is asked and its answers are read; see `ask`."""

    check: AnswerCheck | None
    guess: Any
    truth: Any
    show_form: bool
    schema: bool
    parse: str
    system: str | None
    messages: Sequence[Mapping[str, str]]
    stop: Sequence[str]
    paraphrases: Sequence[str]
    tools: Sequence[Any] | None


class DecidedHow(AskedHow, total=False):
    """How a question is asked and decided; see `ask`."""

    k: int | None
    journal: str | Path | None
    seed: int
    calibration: Calibration | str | Path | None
    options: Options


@overload
def ask(prompt: str, *, model: Model, **how: Unpack[DecidedHow]) -> Decision[str]: ...
@overload
def ask(prompt: str, answer: AnswerOf[T], *, model: Model, **how: Unpack[DecidedHow]) -> Decision[T]: ...
@overload
def ask(prompt: str, answer: Any, *, model: Model, **how: Unpack[DecidedHow]) -> Decision[Any]: ...
@overload
def ask(prompt: str, *, model: None = None, **how: Unpack[AskedHow]) -> Ask[str]: ...
@overload
def ask(prompt: str, answer: AnswerOf[T], *, model: None = None, **how: Unpack[AskedHow]) -> Ask[T]: ...
@overload
def ask(prompt: str, answer: Any, *, model: None = None, **how: Unpack[AskedHow]) -> Ask[Any]: ...
def ask(  # noqa: PLR0913  (one parameter for each part of a question)
    prompt: str,
    answer: Any = str,
    *,
    model: Model | None = None,
    k: int | None = None,
    check: AnswerCheck | None = None,
    guess: Any = None,
    truth: Any = None,
    show_form: bool = True,
    schema: bool = True,
    parse: str = HOW_STRICT[0],
    system: str | None = None,
    messages: Sequence[Mapping[str, str]] = (),
    stop: Sequence[str] = (),
    paraphrases: Sequence[str] = (),
    tools: Sequence[Any] | None = None,
    journal: str | Path | None = None,
    seed: int = 0,
    calibration: Calibration | str | Path | None = None,
    options: Options = Options(),
) -> Decision[Any] | Ask[Any]:
    """Ask a question until one answer leads all others by k votes; in a function process, await it without a model.

    prompt: the whole question.
    answer: the form of the answer: a list of choices, a type (`int`, `float`, `bool`, `str`, `Decimal`, `date`,
        `datetime`, an Enum, `Literal`, `list[...]`, `dict[str, ...]`, `X | None`, a dataclass, a TypedDict, a
        NamedTuple, a pydantic model or a msgspec Struct), a JSON schema, or a function from an answer's text to JSON
        data, which raises `RedFlag` for an answer in the wrong form.
    model: what answers, as in `run`.
    k: the margin of votes that decides; 3 where neither k nor `options.policy` is given.
    check: a function of the value that says which answers cannot be right: by False, by a text that says why, or by a
        `RedFlag`. True and None accept it.
    guess: the probable answer, for asking the next step of a function process ahead; it never votes.
    truth: the right answer, where it is known, for rehearsals with `noise/p=0.9`; it never votes.
    show_form: whether the prompt ends with a sentence that says how to answer.
    schema: whether an endpoint is sent the JSON schema of an answer that is one object.
    parse: how strictly answers are read: `json`, or `lenient-json`, which also takes one in a Markdown fence or after
        a `<think>` block.
    system: a system message.
    messages, stop, paraphrases: as in `Subtask`; each wording in `paraphrases` ends with the same sentence.
    tools: functions with annotated parameters, or JSON tool schemas, in place of an answer. Endpoints are sent them;
        votes are on which are called with which arguments, in any order, and the value is a list of
        `{"name": ..., "arguments": {...}}`. Nothing is called here.
    journal: the file that keeps the votes; the same call again returns what is decided there. A changed question is
        refused.
    seed: of the samples.
    calibration: a measurement of the model, or the file of one: then the decision says how probably it is wrong.
    options: everything else, as in `run`.

    Raises `TypeError` or `ValueError` for an answer that has no form, `TypeError` without a model outside of a
    process, `StepUndecided` where the votes reach no decision; else as `run`.
    """
    given = locals()
    if model is None:
        _require_in_process(given)
        return _ask_of_process(given)
    _require_outside()
    deciding = _Deciding(prompt, answer, _asked_how(given), model, calibration, journal, options)
    return deciding.decision(run(deciding.chain, model, journal, deciding.margin(k), seed, deciding.options))


@overload
async def aask(prompt: str, *, model: Model, **how: Unpack[DecidedHow]) -> Decision[str]: ...
@overload
async def aask(prompt: str, answer: AnswerOf[T], *, model: Model, **how: Unpack[DecidedHow]) -> Decision[T]: ...
@overload
async def aask(prompt: str, answer: Any, *, model: Model, **how: Unpack[DecidedHow]) -> Decision[Any]: ...
async def aask(  # noqa: PLR0913  (one parameter for each part of a question)
    prompt: str,
    answer: Any = str,
    *,
    model: Model,
    k: int | None = None,
    check: AnswerCheck | None = None,
    guess: Any = None,
    truth: Any = None,
    show_form: bool = True,
    schema: bool = True,
    parse: str = HOW_STRICT[0],
    system: str | None = None,
    messages: Sequence[Mapping[str, str]] = (),
    stop: Sequence[str] = (),
    paraphrases: Sequence[str] = (),
    tools: Sequence[Any] | None = None,
    journal: str | Path | None = None,
    seed: int = 0,
    calibration: Calibration | str | Path | None = None,
    options: Options = Options(),
) -> Decision[Any]:
    """Ask a question like `ask` with a model, on the running event loop."""
    how = _asked_how(locals())
    _require_outside()
    deciding = _Deciding(prompt, answer, how, model, calibration, journal, options)
    result = await arun(deciding.chain, model, journal, deciding.margin(k), seed, deciding.options)
    return deciding.decision(result)


def _asked_how(given: Mapping[str, Any]) -> AskedHow:
    """The arguments of a call that say how a question is asked."""
    how: AskedHow = {name: given[name] for name in AskedHow.__annotations__}  # type: ignore[assignment]
    return how


def _ask_of_process(given: Mapping[str, Any]) -> Ask[Any]:
    """The question of a process from the arguments of a call."""
    if given["tools"] is None and is_asked_again():
        return AskedAgain(given)
    return make_ask(given["prompt"], given["answer"], **_asked_how(given))


def _require_in_process(given: Mapping[str, Any]) -> None:
    """Raise `TypeError` where a question is asked without a model, and no process is there to decide it."""
    if not is_in_process():
        raise TypeError(
            "ask() takes model=..., such as model='openai/gpt-4.1-mini': only within a function process is it awaited "
            "without one"
        )
    for name, default in _OF_THE_RUN.items():
        if given[name] is not default:
            raise TypeError(f"within a function process {name} is that of its run: leave it out")


# the defaults of what a question in a process has no own of
_OF_THE_RUN = {
    name: default
    for name, default in (ask.__kwdefaults__ or {}).items()
    if name in DecidedHow.__annotations__ and name not in AskedHow.__annotations__
}


def _require_outside() -> None:
    """Raise `TypeError` where a function process asks a question with a model of its own."""
    if is_in_process():
        raise TypeError(
            "leave out model: within a function process the run's model answers: `await ask(prompt, answer)`"
        )


class _Deciding:
    """One question that is decided now, as a run of a single step.

    chain: the process of the question.
    options: those of its run.
    """

    def __init__(  # noqa: PLR0913, PLR0917
        self,
        prompt: str,
        answer: Any,
        how: AskedHow,
        model: Model,
        calibration: Calibration | str | Path | None,
        journal: str | Path | None,
        options: Options,
    ) -> None:
        require_made("options", options, Options)
        ask = make_ask(prompt, answer, **how)
        self.chain = _chain_of(prompt, answer, how, ask)
        self._value = ask.value
        self._journal = journal
        self._wrong_vote = wrong_vote_probability(calibration, required_chain(self.chain), model)
        self._kept = _KeptStep(options.observer)
        self.options = replace(options, observer=self._kept, speculate="off")

    def margin(self, k: int | None) -> int | None:
        """The margin that decides; None for that of a policy that is given."""
        return ONE_QUESTION_K if k is None and self.options.policy is None else k

    def decision(self, result: Result) -> Decision[Any]:
        """The decision of the finished run."""
        step = self._kept.step
        if step is None:  # decided in an earlier session
            assert self._journal is not None
            step = next(steps(self._journal))
        made = decision_of(self._value(step.choice), step, result.report, self._wrong_vote)
        return replace(made, journal=result.journal)


class _KeptStep:
    """Observer that keeps the decided step, and passes it on to another observer."""

    def __init__(self, other: Observer | None) -> None:
        self._other = other
        self.step: Step | None = None

    def decided(self, decided: DecidedStep, state: RunState) -> None:
        """Keep the step."""
        self.step = step_of(decided, state.voters, state.request)
        if self._other is not None:
            self._other.decided(decided, state)

    def __getattr__(self, name: str) -> Any:
        """What else an observer may have, such as notices."""
        return getattr(self._other, name)


class _OwnQuestion(OneQuestion):
    """The process of a question that only its program can make again: with a check, or a class as its answer."""

    name = "unerring.ask"

    def __init__(self, ask: Ask[Any]) -> None:
        self.ask = ask

    def parameters(self) -> dict[str, Json]:
        return {}


class _RehearsedQuestion(_OwnQuestion):
    """The process of a question whose right answer is known, so that the noise sampler can answer it."""

    def rehearse(self, prompt: str) -> Rehearsal:
        rehearsal = self.ask.rehearsal()
        assert rehearsal is not None
        return rehearsal


def _chain_of(prompt: str, answer: Any, how: AskedHow, ask: Ask[Any]) -> OneQuestion:
    """The process of a question; one that JSON data names can be made again from its journal."""
    if ask.right is not None:
        return _RehearsedQuestion(ask)
    named = named_answer(answer)
    if named is None or how.get("check") is not None or how.get("tools") is not None:
        return _OwnQuestion(ask)
    own = {name: value for name, value in how.items() if name not in {"check", "guess", "truth", "tools"}}
    return OneQuestion(prompt, named, **own)  # type: ignore[arg-type]
