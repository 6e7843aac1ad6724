"""A plan's costs, compared with runs simulated vote by vote: samples, calls, tokens, dollars, hours."""

import random
from dataclasses import replace
from functools import cache

import pytest
from scipy.stats import binom

from pilots import one_line
from tables import each
from unerring.core.planning.assumptions import stated_assumptions
from unerring.core.planning.costs import CallMode, ExpectedAmount, Price, SampleCost, expected_bill
from unerring.core.planning.races import PlannedJob, margin_plan
from unerring.core.voting.race import Race, Won
from unerring.errors import InputError

ALARM = 1e-6
JOB = PlannedJob(200)
FLAGGED = 0.2
RACES = margin_plan(stated_assumptions(0.9), JOB)
TERMS = SampleCost(1.0 - FLAGGED, 100.0, 30.0, Price(2.0, 8.0), 1.5, 4)
SHARED = CallMode(shared_prompt=True)


@cache
def simulated_runs():
    """(samples, calls) of 400 runs; each round asks for its missing votes in one call, and again after flags."""
    draw, runs = random.Random(11), []
    for _ in range(400):
        samples = calls = 0
        for _ in range(JOB.steps):
            race = Race(RACES.rule)
            while not isinstance(race.verdict, Won):
                asked = race.missing()
                samples, calls = samples + asked, calls + 1
                for _ in range(asked):
                    if draw.random() >= FLAGGED:
                        race.tell(draw.random() < 0.9)
        runs.append((samples, calls))
    return runs


def test_the_expected_samples_are_those_of_simulated_runs():
    """Over 400 seeded runs the mean of samples is within 5 standard errors of the bill's (1 seed in a million)."""
    expected = expected_bill(RACES, JOB, TERMS).samples
    samples = [run[0] for run in simulated_runs()]
    deviation = (expected.most - expected.expected) / 2.3263
    assert abs(sum(samples) / len(samples) - expected.expected) < 5.0 * deviation / len(samples) ** 0.5


def test_runs_stay_below_what_a_bill_calls_most_in_99_of_100():
    """The share of 400 seeded runs below the 99th percentile is 0.99, within what one seed in a million exceeds.

    A bound from both sides: percentiles that no run ever comes near would be as wrong.
    """
    most = expected_bill(RACES, JOB, TERMS).samples.most
    above = sum(samples > most for samples, _ in simulated_runs())
    assert binom.sf(above - 1, 400, 0.01) > ALARM
    assert max(samples for samples, _ in simulated_runs()) > 0.97 * most


def test_calls_for_several_samples_are_no_more_than_billed():
    """A bill with n samples a prompt is at least that of rounds of calls, and far below one call a sample."""
    plain, shared = expected_bill(RACES, JOB, TERMS), expected_bill(RACES, JOB, TERMS, SHARED)
    calls = sum(calls for _, calls in simulated_runs()) / 400.0
    billed = shared.input_tokens.expected / 100.0
    assert calls <= billed <= 0.75 * plain.input_tokens.expected / 100.0
    assert shared.samples == plain.samples
    assert shared.output_tokens == plain.output_tokens


def test_a_vote_takes_a_sample_for_every_flag_too():
    """Samples are votes divided by v, and tokens and dollars follow from them."""
    made = expected_bill(RACES, JOB, TERMS)
    assert made.samples.expected == pytest.approx(JOB.steps * RACES.votes / 0.8)
    assert made.input_tokens.expected == pytest.approx(100.0 * made.samples.expected)
    assert made.output_tokens.most == pytest.approx(30.0 * made.samples.most)
    assert made.dollars.expected == pytest.approx((100.0 * 2.0 + 30.0 * 8.0) * made.samples.expected / 1e6)
    assert made.hours.expected == pytest.approx(made.samples.expected * 1.5 / 4.0 / 3600.0)


def test_nothing_varies_where_every_vote_is_right_and_unflagged():
    """With p = v = 1 the maximum equals the expectation: one sample a step."""
    certain = margin_plan(stated_assumptions(1.0), JOB)
    assert expected_bill(certain, JOB, replace(TERMS, v=1.0)).samples == ExpectedAmount(200.0, 200.0)


def test_a_batch_costs_half_and_decides_the_same():
    """The batch price halves the dollars and changes nothing else."""
    plain, batch = expected_bill(RACES, JOB, TERMS), expected_bill(RACES, JOB, TERMS, CallMode(batch=True))
    assert batch.dollars.expected == pytest.approx(plain.dollars.expected / 2.0)
    assert batch.dollars.most == pytest.approx(plain.dollars.most / 2.0)
    assert replace(batch, dollars=None) == replace(plain, dollars=None)


def test_subtasks_of_several_steps_are_fewer():
    """A chain has steps / m subtasks, and each costs a race."""
    job = PlannedJob(200, m=2)
    found = margin_plan(stated_assumptions(0.95), job)
    assert expected_bill(found, job, SampleCost()).samples.expected == pytest.approx(100.0 * found.votes)


@each("unknown", ["input_tokens", "output_tokens", "price"])
def test_dollars_are_unknown_where_any_part_is(unknown):
    """Without tokens or price, dollars are None, while everything known stays."""
    made = expected_bill(RACES, JOB, replace(TERMS, **{unknown: None}))
    assert made.dollars is None
    assert made.samples == expected_bill(RACES, JOB, TERMS).samples
    if unknown != "price":
        assert getattr(made, unknown) is None


def test_hours_are_unknown_without_a_latency():
    """A time that was not measured is None."""
    assert expected_bill(RACES, JOB, replace(TERMS, latency=None)).hours is None


def test_what_is_free_costs_nothing_also_with_unknown_tokens():
    """A price of 0 costs 0 for any tokens, known or not."""
    free = SampleCost(price=Price(0.0, 0.0))
    assert expected_bill(RACES, JOB, free).dollars == ExpectedAmount(0.0, 0.0)
    assert expected_bill(RACES, JOB, replace(free, price=None)).dollars is None


@each("dollars", [-1.0, float("nan"), float("inf"), 10**400, 1e300, True, None, "1"])
def test_a_price_that_is_no_number_of_dollars_is_refused(dollars):
    """Prices are numbers from 0 to a plausible maximum; the message is one line."""
    for parts in ((dollars, 1.0), (1.0, dollars)):
        with pytest.raises(InputError, match="price") as raised:
            Price(*parts)
        assert len(one_line(raised.value)) < 200


def test_a_price_of_one_part_alone_counts():
    """Input may be free while output is not."""
    made = expected_bill(RACES, JOB, replace(TERMS, price=Price(0.0, 8.0)))
    assert made.dollars.expected == pytest.approx(30.0 * 8.0 * made.samples.expected / 1e6)
