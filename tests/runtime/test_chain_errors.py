"""Errors during a run: the user's own are passed on unchanged, and the journal can be resumed."""

from dataclasses import replace

import pytest

from chain_runs import K2, K3, Answers, Words, resume, run
from unerring.core.voting.redflag import RedFlag
from unerring.errors import ProviderBusy
from unerring.runtime.config import StopRequest
from unerring.testing import ScriptedSampler


class Mine(Exception):
    """An error of the user's own."""


def failing(where, error, at_step=1):
    """A chain whose method `where` raises at one step."""

    class Failing(Words):
        def check(self, state, choice):
            if where == "check" and len(state) == at_step:
                raise error

        def subtask(self, state):
            if where == "subtask" and len(state) == at_step:
                raise error
            return super().subtask(state)

        def advance(self, state, choice):
            if where == "advance" and len(state) == at_step:
                raise error
            return super().advance(state, choice)

    def parse(text):
        if where == "parse" and text == "b":
            raise error
        return text

    return Failing(3, parse)


SCRIPT = {0: ["a"] * 2, 1: ["b"] * 2, 2: ["c"] * 2}
PLACES = ["parse", "advance", "check", "subtask"]


# --- passed on as it is


@pytest.mark.parametrize("where", PLACES)
def test_an_error_of_the_users_own_stops_the_run_with_the_state_kept(where):
    """An error raised by any method is passed on itself, the journal says why, and nothing is flagged."""
    error = Mine("a bug of mine")
    outcome = run(failing(where, error), ScriptedSampler(SCRIPT, paid=False))
    assert outcome.error is error
    assert (outcome.paused.kind, outcome.paused.reason) == ("error", f"Mine: a bug of mine, in {where}() of step 1")
    assert outcome.state.committed == 1
    assert outcome.flags == []


@pytest.mark.parametrize("where", PLACES)
def test_a_run_continues_once_the_users_code_is_fixed(where):
    """After an error in the user's code the journal is resumed with corrected code to the right end."""
    broken = run(failing(where, Mine("a bug of mine")), ScriptedSampler(SCRIPT))
    corrected = resume(Words(3), ScriptedSampler(SCRIPT), broken.entries)
    assert corrected.at == ["a", "b", "c"]


@pytest.mark.parametrize("policy", [K2, replace(K2, later_temperature=0.0)], ids=["two calls", "one call"])
def test_an_error_of_the_users_own_keeps_its_context(policy):
    """The error's cause and context are still there for the traceback."""

    def parse(text):
        try:
            return int(text)
        except ValueError as error:
            if text == "caused":
                raise Mine("not a number") from error
            raise Mine("not a number")  # noqa: B904 (the promise is about just this)

    during = run(Words(1, parse), ScriptedSampler(["during"] * 2), policy).error
    assert isinstance(during.__context__, ValueError)
    assert during.__suppress_context__ is False
    caused = run(Words(1, parse), ScriptedSampler(["caused"] * 2), policy).error
    assert isinstance(caused.__cause__, ValueError)


@pytest.mark.parametrize("where", ["parse", "advance"])
def test_an_exception_group_of_the_users_own_is_passed_on_whole(where):
    """A group that the user's code raised is not taken apart."""
    group = ExceptionGroup("both", [Mine("one"), Mine("two")])
    assert run(failing(where, group), ScriptedSampler(SCRIPT)).error is group


def test_a_bug_of_a_sampler_is_passed_on_as_it_is():
    """An error of a sampler other than a provider's failure stops the run, resumable, and is no red flag."""
    error = Mine("bad request")
    outcome = run(Words(2), ScriptedSampler({0: ["a", "a"], 1: [error, "b", "b"]}))
    assert outcome.error is error
    assert outcome.paused.kind == "error"
    assert resume(Words(2), ScriptedSampler({1: ["b", "b"]}), outcome.entries).at == ["a", "b"]


def test_a_subtask_that_is_plain_text_is_an_error():
    """A chain that returns plain text as its question gets an error that says what subtask() returns."""

    class Asking(Words):
        def subtask(self, state):
            return "what now?"

    outcome = run(Asking(1), ScriptedSampler(["a"] * 2))
    assert isinstance(outcome.error, TypeError)
    assert "Subtask" in str(outcome.error)


def test_a_red_flag_outside_parser_and_check_is_the_users_bug():
    """A RedFlag raised by advance flags no sample: it stops the run like any other error."""
    flag = RedFlag("too late")
    outcome = run(failing("advance", flag), ScriptedSampler(SCRIPT))
    assert outcome.error is flag
    assert outcome.flags == []


# --- the other samples of the round


def test_replies_that_came_with_one_that_breaks_the_parser_are_kept():
    """If one sample of a call makes the parser raise, the others are journaled, and not paid for again."""
    policy = replace(K3, later_temperature=0.0)
    broken = run(failing("parse", Mine("a bug of mine")), ScriptedSampler(["b", "a", "a"]), policy)
    assert isinstance(broken.error, Mine)
    assert broken.votes == [(0, 1), (0, 2)]
    sampler = ScriptedSampler(["a"] * 7)
    assert resume(Words(), sampler, broken.entries).at == ["a", "a", "a"]
    assert sampler.calls[0] == (0, 0, 1, 0.0)


def test_an_error_does_not_wait_for_a_provider_that_is_away():
    """If another call of the round is being retried, an error in the user's code still ends the run."""

    async def answer(slot, n):
        if slot:
            raise ProviderBusy("overloaded")
        return ["b"]

    error = Mine("a bug of mine")
    sampler = Answers(answer)
    outcome = run(failing("parse", error), sampler, K3)
    assert outcome.error is error
    assert len(sampler.calls) < 6


def test_a_failed_round_leaves_the_callers_stop_request_alone():
    """A failed call of one round does not set the caller's stop request."""
    stop = StopRequest()

    async def answer(slot, n):
        if slot:
            raise ProviderBusy("overloaded")
        return ["b"]

    outcome = run(failing("parse", Mine("a bug of mine"), 0), Answers(answer), K3, stop=stop)
    assert isinstance(outcome.error, Mine)
    assert stop.reason is None
