"""Errors in the user's own code are ignored at a wrongly guessed state, and end the run at a true one."""

from dataclasses import replace

import pytest

from chain_runs import K1, K2, K3, Words, resume, run
from unerring.errors import InputError, ProviderError
from unerring.runtime.config import Speculation
from virtual_time import Says, Slow, ahead, always_a


class Mine(Exception):
    """A bug of the user's own."""


class Touchy(Words):
    """Words whose own code fails at every state that has the word `bad`."""

    def __init__(self, steps, where):
        super().__init__(steps)
        self.where = where

    def subtask(self, state):
        if self.where == "subtask" and "bad" in state:
            raise Mine("subtask")
        asked = super().subtask(state)
        if self.where == "parse" and "bad" in state and asked is not None:
            return replace(asked, parse=self.failing)
        return asked

    def failing(self, text):
        raise Mine("parse")

    def advance(self, state, choice):
        if self.where == "advance" and choice == "bad":
            raise Mine("advance")
        return super().advance(state, choice)

    def check(self, state, choice):
        if self.where == "check" and "bad" in state:
            raise Mine("check")


def bad_at_30(state):
    return "bad" if len(state) == 30 else "a"


PLACES = pytest.mark.parametrize("where", ["subtask", "parse", "advance", "check"])


@PLACES
def test_an_error_at_a_state_that_is_never_reached_stops_nothing(where):
    """If a wrong guess makes the user's own code fail, the run continues as if nothing had been guessed."""
    sampler = Slow(Says(always_a))
    outcome, _ = ahead(Touchy(60, where), sampler, speculation=Speculation(bad_at_30))
    assert (outcome.error, outcome.at) == (None, ["a"] * 60)
    met = any("bad" in prompt for prompt, _, _ in sampler.calls)
    assert met is (where in ("parse", "check"))  # the others fail before there is a question to ask


@PLACES
def test_an_error_at_a_state_that_is_reached_stops_the_run_there(where):
    """The same error at a state that the votes lead to is raised unchanged, at the same step as in a plain run."""

    def answer(prompt, step, slot):
        return "bad" if step == 30 else "a"

    plain = run(Touchy(60, where), Slow(Says(answer), 0.0), K3)
    outcome, _ = ahead(Touchy(60, where), Slow(Says(answer)), speculation=Speculation(bad_at_30))
    assert isinstance(plain.error, Mine)
    assert (type(outcome.error), str(outcome.error)) == (Mine, where)
    assert outcome.state.committed == plain.state.committed
    assert outcome.paused.reason == plain.paused.reason
    assert plain.paused.reason.startswith(f"Mine: {where}, in {where}() of step 3")


def test_a_guess_that_fails_at_a_state_that_is_never_reached_stops_nothing():
    """An error of the guess function after a wrong guess of its own is ignored."""

    def guess(state):
        if "bad" in state:
            raise Mine("guess")
        return bad_at_30(state)

    outcome, _ = ahead(Words(60), Slow(Says(always_a)), speculation=Speculation(guess))
    assert (outcome.error, outcome.at) == (None, ["a"] * 60)


@pytest.mark.parametrize("wrong", ["raises", "no JSON"])
def test_a_guess_that_fails_at_a_true_state_stops_the_run(wrong):
    """An error of the guess function at a true state stops the run there, and the run can be resumed."""

    def guess(state):
        if len(state) == 30:
            if wrong == "raises":
                raise Mine("guess")
            return {1, 2}
        return "a"

    outcome, _ = ahead(Words(60), Slow(Says(always_a)), speculation=Speculation(guess))
    assert isinstance(outcome.error, Mine if wrong == "raises" else TypeError)
    assert outcome.state.committed == 30
    assert resume(Words(60), Slow(Says(always_a), 0.0), outcome.entries).at == ["a"] * 60


@pytest.mark.parametrize("policy", [K1, K2, K3])
def test_a_first_vote_that_loses_changes_nothing(policy):
    """If the first vote of a step is wrong, samples asked from it are dropped, and the right chain is committed."""

    def answer(prompt, step, slot):
        return "b" if step % 5 == 3 and slot == 0 else "a"

    def latency(prompt, of):
        return 0.01 if of.slot == 0 else 0.1

    plain = run(Words(40), Slow(Says(answer), 0.0), policy)
    outcome, _ = ahead(Words(40), Slow(Says(answer), latency), policy, Speculation(waste=1.0))
    assert outcome.at == plain.at
    assert [step.tally for step in outcome.decided] == [step.tally for step in plain.decided]


@pytest.mark.parametrize("error", [Mine("mine"), InputError("mine too"), ProviderError("neither busy nor down")])
def test_errors_at_a_guessed_state_wait_until_it_is_reached(error):
    """An error of a parser or a sampler, of any class, stops the run only if the state is reached."""

    def failing(prompt, step, slot):
        return error if "bad" in prompt else "a"

    outcome, _ = ahead(Words(60), Slow(Says(failing)), speculation=Speculation(bad_at_30))
    assert (outcome.error, outcome.at) == (None, ["a"] * 60)


def test_the_first_of_two_errors_is_raised():
    """If two samples of a step fail, the error that came first stops the run."""

    def failing(prompt, step, slot):
        return "a" if step < 30 else Mine("early") if slot else Mine("late")

    sampler = Slow(Says(failing), lambda prompt, of: 0.01 if of.slot else 0.02)
    outcome, _ = ahead(Words(60), sampler, speculation=Speculation(lambda state: "a", waste=1.0))
    assert (str(outcome.error), outcome.state.committed) == ("early", 30)
