"""Rate control on virtual time: finding how many calls at once a provider takes, and at which rate."""

from random import Random

import pytest
from provider_models import Bucket, Slots, simulated

from tables import each
from unerring.runtime.calls.rate_control import FIRST_WINDOW_CALLS, RateControl


def latencies(seed=1):
    """Log-normal, 0.22 s at the median, like a small model's."""
    chance = Random(seed)
    return lambda: chance.lognormvariate(-1.5, 0.4)


DRAW = latencies(9)
MEAN = sum(DRAW() for _ in range(20_000)) / 20_000


def test_the_window_doubles_in_each_round_trip_until_an_objection():
    """A window full of answers is followed by one twice as wide (slow start)."""
    pacing = RateControl(1024)
    for _ in range(3):
        width = int(pacing.limit)
        for _ in range(width):
            pacing.begin(1.0)
        assert not pacing.room
        for _ in range(width):
            pacing.succeeded()
        for _ in range(width):
            pacing.end()
    assert pacing.limit == FIRST_WINDOW_CALLS * 8


def test_a_window_that_is_not_filled_does_not_grow():
    """Sequential calls do not widen the window."""
    pacing = RateControl(1024)
    for _ in range(100):
        pacing.begin(1.0)
        pacing.succeeded()
        pacing.end()
    assert pacing.limit == FIRST_WINDOW_CALLS


def test_objections_of_one_window_cut_it_once():
    """Refusals of calls that were in flight at a cut do not cut the window again."""
    pacing = RateControl(1024, first=64)
    tickets = [pacing.begin(1.0) for _ in range(64)]
    assert sum(pacing.objected(ticket, 2.0) for ticket in tickets) == 1
    assert pacing.limit == pytest.approx(51.2)
    assert pacing.objected(pacing.begin(3.0), 4.0)
    assert pacing.limit == pytest.approx(40.96)


def test_few_refusals_are_the_noise_of_a_busy_provider():
    """One refusal in fifty calls changes neither the window nor the rate."""
    pacing, chance = RateControl(64, first=64), Random(1)
    for number in range(5000):
        ticket = pacing.begin(float(number))
        if number % 50 == 49:
            assert not pacing.objected(ticket, float(number), counted=chance.random() < 0.5)
        else:
            pacing.succeeded()
        pacing.end()
    assert (pacing.limit, pacing.rate) == (64, None)


def test_the_window_never_closes_and_never_passes_its_bound():
    """After any refusals one call may be made, and after any answers no more than the maximum."""
    pacing = RateControl(16)
    for second in range(200):
        pacing.objected(pacing.begin(second), second)
        pacing.end()
    assert pacing.limit == 1.0
    assert pacing.room
    for _ in range(3000):
        while pacing.room:
            pacing.begin(1.0)
        pacing.succeeded()
        pacing.end()
    assert pacing.limit == 16


@each("slots", [4, 8, 64, 500])
def test_it_finds_the_slots_of_a_small_server(slots):
    """Against a server with so many slots it has 90 % of the throughput, and at most two calls too many."""
    seen = simulated(Slots(slots, latencies()), RateControl(1024), seconds=120.0, pause=0.0)
    assert seen.most <= slots + 2
    assert seen.rate >= 0.9 * slots / MEAN
    assert seen.refused_share < 0.06


@each("rate", [2, 10, 100, 500])
def test_it_finds_the_rate_that_a_provider_counts(rate):
    """Against a limit of calls a second that charges refused ones too, it has 85 % of it, and below 5 % refused."""
    seen = simulated(Bucket(rate, max(1, rate / 2), latencies()), RateControl(1024), seconds=600.0, pause=1.0)
    assert seen.rate >= 0.85 * rate
    assert seen.refused_share < 0.05


def test_nothing_is_sent_before_a_pause_is_over_and_not_all_at_once_then():
    """After a pause of 60 s calls are spread over the following 12 s."""
    pacing = RateControl(1024, first=64)
    pacing.pause(100.0, spread=12.0)
    now, sent = 41.0, []
    while len(sent) < 64:
        now += pacing.wait(now)
        pacing.begin(now)
        sent.append(now)
    assert sent[0] == 100.0
    assert 111.0 < sent[-1] <= 112.0
    assert len(set(sent)) == 64


def test_a_shorter_pause_does_not_shorten_a_longer_one():
    """Nothing is sent before the latest requested time."""
    pacing = RateControl(8)
    pacing.pause(100.0)
    pacing.pause(50.0)
    assert pacing.wait(40.0) == 60.0
