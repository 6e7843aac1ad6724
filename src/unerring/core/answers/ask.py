"""Make an `Ask`: a question from its prompt and the form of its answer."""

import json
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from types import FunctionType
from typing import Any, TypeAlias

from unerring.core.answers.form import HOW_STRICT, AnswerForm, answer_form, tools_form
from unerring.core.answers.tools import ToolCallsShape, require_tools
from unerring.core.chain import Subtask
from unerring.core.functions.awaitables import Ask
from unerring.core.short_text import short
from unerring.core.user_code import OWN_ERRORS, raise_own, wrong_return
from unerring.core.voting.canonical import Json, canonical
from unerring.core.voting.redflag import FlagKind, RedFlag, require_usable

MAX_KEPT_FORMS = 256
MAX_KEPT_CHOICES = 100  # in a list whose form is kept

AnswerCheck: TypeAlias = Callable[[Any], "bool | str | RedFlag | None"]


def make_ask(  # noqa: PLR0913  (one parameter for each part of a question)
    prompt: str,
    answer: Any = str,
    *,
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
) -> Ask[Any]:
    """The question of a prompt, whose answers have this form; see `unerring.ask` for the parameters.

    Raises `TypeError` or `ValueError` for what no question can have.
    """
    if not isinstance(prompt, str) or not prompt or prompt.isspace():
        raise TypeError(f"the prompt is a text with the whole question, not {short(prompt)}")
    if not prompt.isascii():
        _require_text(prompt)
    if check is not None and not callable(check):
        raise TypeError(f"check is a function of the answer's value, not {short(check)}")
    if type(show_form) is not bool or type(schema) is not bool:
        name, flag = ("schema", schema) if type(show_form) is bool else ("show_form", show_form)
        raise TypeError(f"{name} is True or False, not {short(flag)}")
    if isinstance(paraphrases, str) or isinstance(stop, str):
        raise TypeError("paraphrases and stop are lists of texts, not a single text")
    for wording in paraphrases:
        if not isinstance(wording, str):
            raise TypeError(f"paraphrases are texts with the whole question, not {short(wording)}")
    if tools is not None and answer is not str:
        raise TypeError("give either answer or tools: with tools the answer is the calls of them")
    calls = None if tools is None else ToolCallsShape(require_tools(tools))
    form = _form(answer, parse) if calls is None else tools_form(calls)
    end = _end_of_prompt(form, show_form)
    before: list[Mapping[str, str]] = [] if system is None else [{"role": "system", "content": system}]
    subtask = Subtask(
        prompt + end,
        form.parse if check is None else partial(_checked, form, check),
        paraphrases=tuple(f"{one}{end}" for one in paraphrases),
        schema=form.schema if schema else None,
        nullable=form.nullable,
        messages=(*before, *messages),
        stop=tuple(stop),
        tools=() if calls is None else calls.sent,
    )
    right: Json = None if truth is None else form.choice(truth)
    return Ask(
        subtask,
        partial(_value, form),
        guess=None if guess is None else form.choice(guess),
        truth=right,
        right=None if truth is None else form.text(right),
        wrong=() if truth is None else tuple(map(form.text, form.others(right))),
    )


_HOW = tuple(make_ask.__kwdefaults__ or ())


class AskedAgain(Ask[Any]):
    """A question that its process asked before, with the same prompt and form: all else is made where it is needed.

    A function that runs again over its answers comes by all its questions, and waits for the last one only.
    """

    __slots__ = ("_given", "_made", "_whole_prompt")
    __setattr__ = object.__setattr__

    def __init__(self, given: Mapping[str, Any]) -> None:
        """Take the arguments of `make_ask` by name, all of them; others are left out."""
        form = _form(given["answer"], given["parse"])
        self.value = form.value  # type: ignore[misc]
        self._whole_prompt = given["prompt"] + _end_of_prompt(form, given["show_form"])
        self._given = given
        self._made: Ask[Any] | None = None

    @property
    def prompt(self) -> str:
        """The whole prompt."""
        return self._whole_prompt  # type: ignore[no-any-return]

    def _in_full(self) -> Ask[Any]:
        if self._made is None:
            given = self._given
            how = {name: given[name] for name in _HOW}
            self._made = make_ask(given["prompt"], given["answer"], **how)
        return self._made

    subtask = property(lambda self: self._in_full().subtask)
    guess = property(lambda self: self._in_full().guess)
    truth = property(lambda self: self._in_full().truth)
    right = property(lambda self: self._in_full().right)
    wrong = property(lambda self: self._in_full().wrong)


def _end_of_prompt(form: AnswerForm[Any], show_form: bool) -> str:
    return f"\n\n{form.sentence}" if show_form and form.sentence else ""


def _form(answer: Any, parse: str) -> AnswerForm[Any]:
    """The form of answers; it is kept where that is safe and cheap, since a process asks for it at many steps."""
    if isinstance(answer, _KEPT):
        return _kept_form(answer, parse)
    if isinstance(answer, list | tuple) and len(answer) <= MAX_KEPT_CHOICES:
        kinds = tuple(map(type, answer))
        if _KEPT_CHOICES.issuperset(kinds):
            return _kept_choices_form(tuple(answer), kinds, parse)
    if isinstance(answer, dict) and (text := _text_of_schema(answer)) is not None:
        return _kept_schema_form(text, parse)
    return answer_form(answer, parse)


_KEPT = (type, FunctionType)
_KEPT_CHOICES = {str, int, bool}  # no float: 0.0 and -0.0 are equal, and two choices
_kept_form = lru_cache(MAX_KEPT_FORMS)(answer_form)


@lru_cache(MAX_KEPT_FORMS)
def _kept_choices_form(choices: tuple[Any, ...], _kinds: tuple[type, ...], parse: str) -> AnswerForm[Any]:
    """The form of listed choices, by their types too: 1 and True are equal, and two choices."""
    return answer_form(choices, parse)


@lru_cache(MAX_KEPT_FORMS)
def _kept_schema_form(text: str, parse: str) -> AnswerForm[Any]:
    """The form of a JSON schema, of a copy: a schema may be changed after the question."""
    return answer_form(json.loads(text), parse)


def _text_of_schema(schema: dict[Any, Any]) -> str | None:
    """A schema as JSON text, its keys in their order; None for a dict that JSON would change."""
    try:
        text = json.dumps(schema)
        return text if json.loads(text) == schema else None
    except (TypeError, ValueError, RecursionError):
        return None


def _require_text(prompt: str) -> None:
    """Raise `TypeError` for a prompt that no endpoint can be sent."""
    try:
        prompt.encode()
    except UnicodeEncodeError as error:
        place = prompt[max(0, error.start - 20) : error.start + 1]
        raise TypeError(f"the prompt is no text: it has half a character (a lone surrogate) at {place!a}") from None


def _value(form: AnswerForm[Any], choice: Json) -> Any:
    """The value of a choice; raises `TypeError` for one of another form, as a person or a changed journal may give."""
    try:
        value = form.value(choice)
        written = form.choice(value)
        fits = written is choice or canonical(written) == canonical(choice)
    except (TypeError, ValueError, LookupError, AttributeError, ArithmeticError, RedFlag):
        raise TypeError(
            f"{short(choice)} is not of the form: {' '.join(form.sentence.split()) or 'JSON data':.120}"
        ) from None
    if not fits:
        raise TypeError(f"{short(choice)} is not of the form: its value is {short(written)} when it is written again")
    return value


def _checked(form: AnswerForm[Any], check: AnswerCheck, text: str) -> Json:
    """The choice of an answer whose value the check accepts."""
    choice = form.parse(text)
    try:
        verdict = check(form.value(choice))
    except RedFlag as raised:
        verdict = raised
    except OWN_ERRORS as error:
        raise_own(error, "check", None, check)
    if verdict is None or verdict is True:
        return choice
    if isinstance(verdict, RedFlag):
        require_usable(verdict, "check", None, check)
        raise RedFlag(verdict.reason, FlagKind.REJECTED)
    if isinstance(verdict, str) and verdict:
        raise RedFlag(str.__str__(verdict), FlagKind.REJECTED)
    if verdict is False:
        raise RedFlag(f"the check refuses {short(form.value(choice))}", FlagKind.REJECTED)
    said = f"returned {short(verdict)}; it returns True or None for an answer that may vote, else False or why not"
    raise wrong_return("check", said, None, check)
