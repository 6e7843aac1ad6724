"""The speed-up of speculation in virtual time: the gain from right guesses, and the small cost of wrong ones.

Every figure is exact, the same on any machine: time passes only in the model.
"""

from functools import cache
from random import Random

import pytest

from chain_runs import K3
from unerring.core.chain import Rehearsal, Subtask
from unerring.runtime.config import Speculation
from unerring.testing import NoisySampler
from virtual_time import Slow, ahead

LATENCY = 0.05


class Sum:
    """A chain of small states: each step adds a digit, and the next question depends on the sum."""

    def __init__(self, steps):
        self.steps = steps

    def start(self):
        return [0, 0]

    def subtask(self, state):
        return None if state[0] == self.steps else Subtask(f"{state[0]} {state[1]}", int)

    def advance(self, state, choice):
        return [state[0] + 1, (31 * state[1] + choice) % 1_000_003]

    def right(self, state):
        return (7 * state[0] + 3 * state[1]) % 10

    def rehearse(self, prompt):
        right = self.right([int(word) for word in prompt.split()])
        return Rehearsal(str(right), (str((right + 1) % 10), str((right + 2) % 10)))


def timed(steps, p, wrong=None, latency=LATENCY, speculation=None):
    """Seconds that a run takes, and the share of its samples wasted; `wrong(step)` says which guesses are wrong."""
    chain = Sum(steps)

    def guess(state):
        return chain.right(state) + 1 if wrong(state[0]) else chain.right(state)

    if speculation is None:
        speculation = Speculation(guess if wrong else None)
    sampler = Slow(NoisySampler(chain.rehearse, p=p), latency)
    outcome, seconds = ahead(chain, sampler, K3, speculation or None)
    assert outcome.error is None
    assert outcome.state.committed == steps
    return seconds, outcome.state.wasted / outcome.state.samples


@cache
def plain(steps, p, latency=LATENCY):
    """Seconds that the same run takes without speculation."""
    return timed(steps, p, latency=latency, speculation=False)[0]


def now_and_then(share):
    """Guesses wrong at exactly this share of steps, spread at random."""
    return lambda step: Random(f"wrong {step}").random() < share


def each(number):
    """Guesses wrong at every so many steps."""
    return lambda step: step % number == number // 2


# At 50 ms each, 4,500 steps are 225 s one after the other. With three samples a step and 256 in flight, no run can be
# faster than 85 steps in 50 ms.


def test_guesses_that_are_always_right_use_all_of_in_flight():
    """With no guess wrong, 4,500 steps take at most a sixtieth of their time, and nothing is wasted."""
    seconds, waste = timed(4500, 1.0, lambda step: False)
    assert 225.0 / seconds >= 60.0
    assert waste == 0.0


def test_guesses_right_at_all_but_one_step_in_five_hundred():
    """With guesses right on 0.998 of steps and votes always right, a run is at least fifty times as fast."""
    seconds, waste = timed(4500, 1.0, each(500))
    assert 225.0 / seconds >= 50.0
    assert waste <= 0.05


def test_votes_wrong_now_and_then_cost_little_of_it():
    """With one vote in a hundred wrong as well, it is still at least thirty times as fast."""
    seconds, waste = timed(4500, 0.99, each(500))
    assert 225.0 / seconds >= 30.0
    assert waste <= 0.05


@pytest.mark.parametrize("p", [1.0, 0.95])
def test_guesses_that_are_always_wrong_cost_nothing(p):
    """A guess that is never right costs no time and hardly a sample, since it is soon ignored."""
    seconds, waste = timed(300, p, lambda step: True)
    assert seconds <= 1.02 * plain(300, p)
    assert waste <= 0.05


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5])
@pytest.mark.parametrize("steps", [300, 1000])
def test_guesses_that_are_often_wrong_stay_within_the_limit(share, steps):
    """With guesses sometimes wrong a run is no slower than without, and wastes no more than the limit."""
    seconds, waste = timed(steps, 1.0, now_and_then(share))
    assert seconds <= (0.7 if share == 0.1 else 1.0) * plain(steps, 1.0) + 1e-9
    assert waste <= 0.05


def random_latency(prompt, of):
    return Random(f"{prompt} {of.slot}").expovariate(1 / LATENCY)


@pytest.mark.parametrize("p", [0.99, 0.9, 0.8, 0.7])
def test_following_the_votes_is_not_slower_than_waiting_for_them(p):
    """Without guesses, varying latencies let steps begin early: no run is slower, and waste keeps its limit."""
    seconds, waste = timed(600, p, latency=random_latency)
    assert seconds <= plain(600, p, random_latency)
    assert waste <= 0.05


def test_following_the_votes_gains_where_they_are_mostly_right():
    """With votes right at 0.99, not waiting for the slowest of three samples makes a run 1.5 times as fast."""
    assert timed(600, 0.99, latency=random_latency)[0] <= plain(600, 0.99, random_latency) / 1.5


@pytest.mark.parametrize("waste", [0.01, 0.05, 0.2])
def test_the_share_that_may_be_wasted_is_kept(waste):
    """At any limit a long run keeps it, and a higher one makes it faster."""
    chain = Sum(1500)
    wrong = now_and_then(0.05)

    def guess(state):
        return chain.right(state) + wrong(state[0])

    seconds, wasted = timed(1500, 1.0, speculation=Speculation(guess, waste))
    assert wasted <= waste
    assert seconds < plain(1500, 1.0)
