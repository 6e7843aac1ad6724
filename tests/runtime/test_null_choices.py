"""None as a choice: a parser without a return stops the run; null is an answer only with `nullable`."""

import pytest

from chain_runs import K2, Words, run
from unerring import RedFlag, Subtask, json_answer
from unerring.api.calibration.calibrating import PilotOptions, calibrate
from unerring.errors import StepUndecided
from unerring.runtime.config import Guards
from unerring.testing import ScriptedSampler


class Asked(Words):
    """A chain of one step with a given subtask."""

    def __init__(self, parse, **fields):
        super().__init__(1)
        self.fields = {"prompt": "word?", "parse": parse} | fields

    def subtask(self, state):
        return None if state else Subtask(**self.fields)


def forgetful(text):
    """A parser without a return."""
    text.strip()


def test_a_parser_that_forgets_to_return_stops_the_run():
    """The run stops before any vote for None, and names method, step, cause and line."""
    outcome = run(Asked(forgetful), ScriptedSampler(["a"] * 2), K2)
    assert outcome.state.committed == 0
    assert isinstance(outcome.error, TypeError)
    message = str(outcome.error)
    assert message.startswith("parse() of step 0 returned None: is a return missing?")
    assert f"{__file__}, line {forgetful.__code__.co_firstlineno}" in message
    assert "nullable=True" in message


def test_null_is_a_choice_where_the_subtask_says_so():
    """With `nullable` a parser's None is voted for and carried forward, and `json_answer` reads null."""
    for parse in (forgetful, json_answer):
        outcome = run(Asked(parse, nullable=True), ScriptedSampler(["null"] * 2), K2)
        assert outcome.at == [None]


def test_a_model_that_answers_null_is_flagged():
    """A reply of null to `json_answer` is flagged and drawn again, and stops nothing."""
    outcome = run(Asked(json_answer), ScriptedSampler(["null", "3", "null", "3"]), K2)
    assert (outcome.at, len(outcome.flags)) == ([3], 2)


def test_a_check_needs_no_return():
    """`check` returns None for an answer that may vote."""

    class Unchecked(Words):
        def check(self, state, choice):
            pass

    assert run(Unchecked(1), ScriptedSampler(["a"] * 2), K2).at == ["a"]


def test_a_truth_that_forgets_to_return_stops_the_pilot():
    """A `truth` that returns None would make every right vote count as wrong, so it is an error."""

    class Untrue(Words):
        def truth(self, state):
            state.copy()

    with pytest.raises(TypeError, match=r"truth\(\) of step 0 returned None: is a return missing\?"):
        calibrate(Untrue(1), lambda prompt, settings: "a", samples=4)


def test_a_walked_pilot_carries_no_null_forward():
    """A step without a single vote ends a pilot that walks the chain; it does not continue from null."""

    def refuse(text):
        raise RedFlag("never in form")

    options = PilotOptions(guards=Guards(flagged=1.0))
    with pytest.raises(StepUndecided, match="step 0 has no vote"):
        calibrate(Words(2, refuse), lambda prompt, settings: "a", samples=400, options=options)
