"""Errors in a user's own methods name the method, the step, the fault and the user's line."""

import datetime
import re

import pytest

import unerring
from chain_runs import Words
from unerring import Rehearsal, Subtask
from unerring.adapters.user_code.frames import error_with_place
from unerring.core.chain_form import misfit
from unerring.core.checked_chain import CheckedChain
from unerring.core.user_code import method_note
from unerring.errors import InputError
from unerring.processes import SHIPPED

DAY = datetime.date(2026, 1, 2)


def model(prompt, settings):
    """A model that always gives the same answer."""
    return "a"


def chain_with(**methods):
    """A chain of three words with these methods of its own."""
    kept = {name: method for name, method in methods.items() if name != "parse"}
    return type("Mine", (Words,), kept)(3, methods.get("parse", str.strip))


def failure(**methods):
    """The error that ends a run of such a chain; steps are asked ahead if the chain has a guess."""
    chain = chain_with(**methods)
    options = unerring.Options(speculate="guess" if "guess" in methods else "off")
    try:
        unerring.run(chain, methods.get("model", model), k=2, options=options)
    except Exception as error:
        return error
    raise AssertionError("the run came to its end")


# method, what it does -> how the message begins
WRONG = {
    "start": (lambda self: {"day": DAY}, "start() returned a date at state['day']; it returns JSON data"),
    "subtask": (lambda self, state: "what?", "subtask() of step 0 returned 'what?'; it returns a Subtask, or None"),
    "parse": (
        lambda text: {"day": [DAY]},
        "parse() of step 0 returned a date at choice['day'][0]; it returns JSON data",
    ),
    "advance": (lambda self, state, choice: {"day": DAY}, "advance() of step 0 returned a date at state['day']"),
    "check": (lambda self, state, choice: True, "check() of step 0 returned True; it returns a RedFlag, or None"),
    "place": (lambda self, state: {1: 2}, "place() of step 1 returned an object with a key that is not a string"),
    "guess": (lambda self, state: {DAY}, "guess() of step 0 returned a set; it returns JSON data"),
    "answer": (lambda self, state: [DAY], "answer() returned a date at answer[0]; it returns JSON data"),
    "parameters": (
        lambda self: {"day": DAY},
        "parameters() returned a date at parameters['day']; it",
    ),
    "length": (lambda self: 3.0, "length() returned 3.0; it returns the number of steps"),
}


def test_a_wrong_return_names_method_step_path_and_line():
    """A wrong return value of any method is named with the method, the step, the place in the value and the line."""
    wrong = {}
    for method, (does, begins) in WRONG.items():
        error = failure(**{method: does})
        line = f"({__file__}, line {does.__code__.co_firstlineno})"
        if not isinstance(error, TypeError) or not str(error).startswith(begins) or not str(error).endswith(line):
            wrong[method] = repr(error)
    assert wrong == {}


def test_a_wrong_return_of_verify_is_no_verdict(tmp_path):
    """A `verify` that returns True for right gets an error that says so, and no result is called wrong."""
    chain, path = chain_with(verify=lambda self, choices, finished: True), tmp_path / "run.db"
    unerring.run(chain_with(), model, path, k=2)
    with pytest.raises(TypeError, match=r"verify\(\) returned True; it returns None where all holds"):
        CheckedChain(chain).verify(iter(()), True)


def test_a_model_function_of_the_wrong_type_is_named_with_step_and_line():
    """A model function that returns no text is named, with the step and its line."""

    def forgetful(prompt, settings):
        prompt.strip()

    error = failure(model=forgetful)
    assert str(error).startswith("function forgetful() of step 0 returned None; a model's function returns text")
    assert f"{__file__}, line {forgetful.__code__.co_firstlineno}" in str(error)


def test_a_rehearsal_is_checked_where_it_is_made_and_used():
    """Wrong answers that are no tuple, or none, are an error of the user's line; another return value is named."""
    for right, wrong in ((1, ("b",)), ("a", "b"), ("a", ()), ("a", (1,))):
        with pytest.raises(TypeError, match="Rehearsal") as caught:
            Rehearsal(right, wrong)
        assert caught.traceback[0].path.name == "test_user_methods.py"
    error = failure(rehearse=lambda self, prompt: "a", model="noise/p=0.9")
    assert str(error).startswith("rehearse() of step 0 returned 'a'; it returns a Rehearsal")


class Mine(Exception):
    """An error of the user's own."""


def test_an_error_raised_in_a_method_keeps_its_type_and_says_where_it_was_raised():
    """The same exception is passed on with a note of method and step, also if the method cannot be called so."""

    def raises(*_):
        raise Mine("a bug")

    notes = {
        method: method_note(failure(**{method: raises}))
        for method in ("start", "subtask", "parse", "advance", "check", "place", "guess", "answer", "length")
    }
    assert notes == {
        method: f"in {method}()" + " of step 0" * (method in {"subtask", "parse", "advance", "check", "guess"})
        + " of step 1" * (method == "place")
        for method in notes
    }  # fmt: skip
    assert isinstance(failure(check=raises), Mine)
    assert method_note(failure(model=raises)) == "in function raises() of step 0"

    def no_arguments():
        return "a"

    place = method_note(failure(parse=no_arguments))
    assert place == f"in parse() of step 0 ({__file__}, line {no_arguments.__code__.co_firstlineno})"


def test_a_parser_that_fails_on_an_answer_gets_advice_on_red_flags():
    """An answer that `int` cannot read stops the run, with what a parser should do about it."""
    note = method_note(failure(parse=int))
    assert note == "in parse() of step 0; for an answer in the wrong form a parser raises RedFlag"


def test_a_forgotten_return_of_advance_is_named_where_the_next_step_fails():
    """A subtask that fails on the state None gets an error that says that advance() returned it."""

    def advance(self, state, choice):
        state.append(choice)

    assert method_note(failure(advance=advance)) == (
        "in advance() returned None (is a return missing?), and then subtask() of step 1"
    )


def test_fields_of_a_subtask_are_checked_on_the_users_own_line():
    """A question that could not be asked is an error of the line that makes it."""
    fields = {
        "prompt": 3,
        "parse": "json",
        "compact": 1,
        "paraphrases": "in other words",
        "schema": "{}",
        "example": {},
    }
    for name, value in fields.items():
        with pytest.raises(TypeError, match=rf"Subtask\({name}=\.\.\.\)") as caught:
            Subtask(**({"prompt": "p", "parse": str} | {name: value}))
        assert caught.traceback[0].path.name == "test_user_methods.py"


MISSPELLED = {"chek": "check", "lenght": "length", "verfiy": "verify", "parametres": "parameters", "Place": "place"}
MISSPELLED |= {"stateAt": "state_at", "beseide": "beside", "gues": "guess", "anwser": "answer", "thruth": "truth"}
OTHERS = ("answers", "checked", "length_of", "replace", "restart", "state", "started", "rows", "verified", "_chek")


def test_a_misspelled_optional_method_is_an_error_when_the_chain_is_made():
    """A method that would never be called is named with the one that is meant; other names are accepted."""

    def own(self, *_):
        return None

    said = {slip: misfit(chain_with(**{slip: own})) for slip in MISSPELLED}
    assert {slip for slip, line in said.items() if f"is {MISSPELLED[slip]}() meant?" not in (line or "")} == set()
    assert misfit(chain_with(**dict.fromkeys(OTHERS, own))) is None
    with pytest.raises(InputError, match=r"Mine\.chek\(\) is no method of a chain: is check\(\) meant\?.*line"):
        unerring.run(chain_with(chek=own), model, k=2)
    with pytest.raises(InputError, match=r"is no chain: .*; is adavnce\(\) meant to be advance\(\)\?"):
        unerring.run(type("Bare", (), {"start": own, "subtask": own, "adavnce": own})(), model, k=2)


def test_a_method_with_other_arguments_is_an_error_when_the_chain_is_made():
    """Wrong numbers of arguments, a value in place of a method and an async method give one line before any call."""

    async def later(self, state, choice):
        return None

    cases = {
        "advance": (lambda self, state: state, "(state, choice) of a chain, but takes (state)"),
        "answer": (lambda self: 1, "(state) of a chain, but takes ()"),
        "length": (3, "() of a chain, but is 3"),
        "check": (later, "(state, choice) of a chain, but is async"),
    }
    for method, (does, said) in cases.items():
        with pytest.raises(InputError, match=re.escape(f"Mine.{method} is a method {said}")):
            unerring.run(chain_with(**{method: does}), model, k=2)


def test_the_chains_that_ship_are_well_formed():
    """No shipped process has a method that could be taken for a misspelled one."""
    arguments = {"ask": {"prompt": "Is it so?"}, "solve": {"problem": "2 * 3", "roles": "multiply"}}
    made = [kind(**arguments.get(name, {})) for name, kind in SHIPPED.items()]
    assert [misfit(chain) for chain in made] == [None] * len(made)


class Reasonless(unerring.RedFlag):
    """A flag of a user's own class that does not call the constructor of `RedFlag`."""

    def __init__(self):
        pass


@pytest.mark.parametrize("method", ["parse", "check"])
@pytest.mark.parametrize(
    "flag",
    [lambda: unerring.RedFlag(b"odd"), lambda: unerring.RedFlag(None), Reasonless],
    ids=["bytes", "None", "no reason"],
)
def test_a_flag_without_a_reason_names_the_method_and_the_line(tmp_path, method, flag):
    """It ends the run before its sample is written, so that the journal resumes with corrected code."""

    def parse(text):
        raise flag()

    def check(self, state, choice):
        raise flag()

    journal = tmp_path / "run.db"
    wrong = chain_with(parse=parse) if method == "parse" else chain_with(check=check)
    with pytest.raises(TypeError) as raised:
        unerring.run(wrong, model, journal, k=2)
    place = error_with_place(raised.value)
    assert f"{method}() of step 0" in place
    assert __file__ in place
    assert unerring.report(journal)["samples"]["received"] == 0


def test_a_method_in_the_plural_is_named_with_the_one_that_is_missing():
    """A required method that is missing while its plural is there: the class and both names are in the line."""
    kind = type("Sums", (unerring.Chain,), {"start": Words.start, "advance": Words.advance, "subtasks": Words.subtask})
    with pytest.raises(InputError, match=r"^Sums is no chain: .*; is subtasks\(\) meant to be subtask\(\)\?"):
        unerring.run(kind(), model, k=2)
