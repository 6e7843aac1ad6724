"""Leads of weighed votes in a certificate: their formulas, which part of a lead counts, and their report."""

import json
from dataclasses import replace
from itertools import chain, cycle
from math import exp, inf, log
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import geom

import unerring
from pilots import simulated
from tables import each
from unerring import Hanoi, Options
from unerring.api.calibration.calibrating import calibrate
from unerring.api.journals.history import History
from unerring.core.certificate.certificate import (
    ASSUME_INDEPENDENT_VOTERS,
    ASSUME_SAME_REPEATS,
    ASSUME_WEIGHTS,
    ASSUME_WINNERS_RIGHT,
    MIN_FIRST_VOTES,
)
from unerring.core.certificate.weighted_margins import DOUBTFUL_PROBABILITY, WeightedMargins
from unerring.core.planning.measured_weights import measured_bins, weights_of
from unerring.core.voting.odds import loss_probability_of
from unerring.core.voting.policy import Policy
from unerring.core.voting.race import LogOdds, Won
from unerring.core.voting.redflag import FlagKind
from unerring.core.voting.weights import VoterWeights, Weights
from unerring.errors import StepLimit
from unerring.testing import NoisySampler

FLAG = FlagKind.MALFORMED
FIRST = VoterWeights((5000,), 2000, again=1500, turn=5000)
OFTEN = VoterWeights((5000,), 1500)  # its votes count any number of times
SECOND = VoterWeights((4000,), 1000)
THIRD = VoterWeights((3000,), 0)  # they weigh nothing
WEIGHTS = Weights((), (("first", FIRST), ("second", SECOND), ("third", THIRD)))


def weighed(script, threshold=4.9, weights=WEIGHTS, plan=None):
    """A weighed run of the voters that these weights have."""
    return script.open(Policy(LogOdds(threshold, weights)), plan, len(weights.voters))


def certificate(script):
    """The certificate in a report, which is JSON with finite numbers."""
    found = script.report()["certificate"]
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    return found


def decide(script, votes, then="a"):
    """Decide the next step by these votes, a letter each (`-` is a flagged sample), then by `then` until it is won."""
    step = script.state.committed
    for vote in chain(votes, cycle(then)):
        script.vote(step, FLAG if vote == "-" else vote)
        if isinstance(script.state.step(step).verdict, Won):
            break
    script.decide()


def lead_of(script, votes, then="a"):
    """The lead in nats that counts for such a step; it must be the smallest so far."""
    decide(script, votes, then)
    chance = certificate(script)["nearest"][0]["wrong_probability"]
    return log(1 / chance - 1)


# --- formulas


def expecting(rest, doubt=0.0):
    """Leads with so many expected wrong steps, and some further doubtful ones."""
    return WeightedMargins(rest + doubt, rest, doubt)


@settings(max_examples=200, deadline=None)
@given(st.floats(1e-12, 1e9))
def test_the_number_of_wrong_steps_is_geometric(mu):
    """Its mean, P(0) and 97.5 % quantile are those of scipy's geometric distribution from 0."""
    leads, law = expecting(mu), geom(1 / (1 + mu), loc=-1)
    assert leads.outlook.wrong == mu
    assert leads.outlook.none == pytest.approx(law.pmf(0))
    beyond = geom(1 / (1 + mu), loc=-1).sf
    assert beyond(leads.most_wrong) <= 0.025 * (1 + 1e-6)
    assert leads.most_wrong == 0 or beyond(leads.most_wrong - 1) >= 0.025 * (1 - 1e-6)


@each("mu", [0.01, 0.025, 0.03, 0.5, 1.0, 7.0, 1234.5])
def test_the_end_of_the_interval_is_scipys_quantile(mu):
    """The same for some given numbers; from 1/39 expected ones on, one wrong step is not excluded."""
    assert expecting(mu).most_wrong == geom.ppf(0.975, 1 / (1 + mu), loc=-1)


@given(st.floats(0.0, 50.0))
def test_the_least_probability_of_none_is_that_of_the_rate_at_its_bound(mu):
    """An exponential rate of mean mu is below ln(40) mu with 97.5 %, and then none is wrong with e^-that."""
    assert expecting(mu).none_low == pytest.approx(exp(-log(40) * mu))


@given(st.floats(0.0, 50.0), st.floats(0.0, 50.0))
def test_its_probabilities_are_in_order(rest, doubt):
    """For any steps the lower bound is the smaller of the two probabilities."""
    leads = expecting(rest, doubt)
    assert 0.0 <= leads.none_low <= leads.outlook.none <= 1.0


def test_a_run_without_steps_has_no_wrong_ones():
    """Before the first step nothing is wrong, and no p of a voter is claimed."""
    leads = WeightedMargins()
    assert (leads.outlook.wrong, leads.outlook.none, leads.none_low, leads.most_wrong) == (0.0, 1.0, 1.0, 0)
    assert (leads.first, list(leads.nearest())) == ({}, [])


def test_the_chances_of_the_steps_add_up(script):
    """A step won by a lead of m nats is wrong with 1 / (1 + e^m); the expected number is the sum."""
    weighed(script)
    for _ in range(3):
        script.decide("a")
    script.decide(FLAG, "a", "a")
    found = certificate(script)
    assert found["expected_wrong"] == pytest.approx(3 * loss_probability_of(5.0) + loss_probability_of(7.0))
    assert found["zero_probability"] == pytest.approx(1 / (1 + found["expected_wrong"]))
    assert found["zero_probability_low"] == pytest.approx(0.025 ** found["expected_wrong"])
    assert found["wrong_interval"] == [0, 0]
    assert found["certifiable"]


def test_a_step_in_doubt_by_itself_has_a_factor_of_its_own(script):
    """Two steps that are wrong with 1/3: none is with (2/3)^2, whatever the rate of other errors."""
    weights = Weights((), (("first", VoterWeights((694,), 0)), ("second", VoterWeights((3000,), 0))))
    weighed(script, 0.69, weights)
    for _ in range(2):
        script.decide("a")
    script.decide(FLAG, "a")
    found, rest = certificate(script), loss_probability_of(3.0)
    assert loss_probability_of(0.694) > DOUBTFUL_PROBABILITY > rest
    assert found["expected_wrong"] == pytest.approx(2 / 3 + rest, abs=1e-3)
    assert found["zero_probability"] == pytest.approx(4 / 9 / (1 + rest), rel=1e-3)
    assert found["zero_probability_low"] == pytest.approx(4 / 9 * 0.025**rest, rel=1e-3)


def test_the_largest_leads_give_finite_numbers(script):
    """The largest weights give finite numbers."""
    heavy = VoterWeights((30_000,), 30_000)
    weighed(script, 100, Weights((), (("first", heavy), ("second", heavy), ("third", THIRD))))
    decide(script, "aa")
    assert certificate(script)["expected_wrong"] < 1e-26


# --- leads


def test_a_step_is_judged_by_the_lead_that_won_it(script):
    """A step's lead depends on its votes' weights, the number of voters, and how often each counted."""
    weighed(script, 5.9)
    assert lead_of(script, "-aa") == pytest.approx(7.0, abs=1e-6)
    weighed(script := type(script)(), 6.4, Weights((), (("first", OFTEN),)))
    assert lead_of(script, "") == pytest.approx(6.5, abs=1e-6)


def test_a_winner_with_fewer_votes_is_judged_by_its_lead(script):
    """Its margin in votes is negative, and its probability is that of its lead."""
    weighed(script, 2.0, Weights((), (("first", VoterWeights((900,), 0)), ("second", VoterWeights((3000,), 0)))))
    assert lead_of(script, "b-b") == pytest.approx(3.0 - 0.9, abs=1e-6)
    (step,) = certificate(script)["nearest"]
    assert (step["tally"], step["margin"]) == ([2, 1], -1)


# --- steps and voters


def test_the_steps_of_the_smallest_leads_are_named(script):
    """The most probably wrong come first, the earlier first among equals, at most ten."""
    weighed(script, weights=Weights((), (("first", OFTEN), ("second", SECOND), ("third", THIRD))))
    for _ in range(15):
        decide(script, "-aa")
    decide(script, "a")
    nearest = certificate(script)["nearest"]
    assert [step["step"] for step in nearest] == [15, *range(9)]
    chances = [step["wrong_probability"] for step in nearest]
    assert chances == sorted(chances, reverse=True)


def test_p_is_the_share_of_first_votes_that_won(script):
    """P is the share of a voter's first votes that won, with half a case of each kind added.

    Here 20 of 120 first votes lost.
    """
    weights = Weights((), (("first", VoterWeights((1000,), 0)), ("second", VoterWeights((4000,), 0))))
    weighed(script, 2.9, weights, {"p": {"second": [0.8, 0.9, 0.95]}})
    for step in range(120):
        script.decide("b" if step < 20 else "a", "a")
    first, second = certificate(script)["voters"]
    assert first == {"name": "first", "p": pytest.approx(1 - 20.5 / 121), "votes": 120, "planned": None}
    assert second == {"name": "second", "p": None, "votes": 0, "planned": [0.8, 0.9, 0.95]}


@pytest.mark.parametrize("steps", [5, MIN_FIRST_VOTES - 1, MIN_FIRST_VOTES])
def test_few_first_votes_say_nothing_of_p(script, steps):
    """Below a hundred first votes no p is shown, nor the assumption that goes with it."""
    weighed(script)
    for _ in range(steps):
        script.decide("a")
    found = certificate(script)
    assert (
        (found["voters"][0]["p"] is None)
        is (ASSUME_WINNERS_RIGHT not in found["assumptions"])
        is (steps < MIN_FIRST_VOTES)
    )
    assert found["voters"][0]["votes"] == steps


def test_a_first_vote_that_refers_to_a_later_sample_is_for_the_same_choice(script):
    """The sample with the choice's text may have a higher number than the first vote, if it came before it."""
    weighed(script, 6.0, Weights((), (("first", FIRST),)))
    script.tell(script.said(0, 1, "a"))
    script.tell(script.said(0, 0, "a"))
    script.decide()
    assert script.series.leads.first == {0: (0, 1)}


def test_a_voter_that_loses_first_votes_more_often_than_planned_gets_a_warning(script):
    """The warning names the voter; other voters' first votes on the same step do not count for it."""
    weights = Weights((), (("first", VoterWeights((1000,), 0)), ("second", VoterWeights((4000,), 0))))
    weighed(script, 2.9, weights, {"p": {"first": [0.99, 0.995, 0.999]}})
    for step in range(200):
        script.decide("b" if step % 10 == 0 else "a", "a")
    (warning,) = certificate(script)["warnings"]
    assert warning == "first was outvoted 20 times in 200 votes, planned were 2 at most"


def test_its_assumptions_are_listed(script):
    """Weights are assumed to hold as measured, and several voters to be independent."""
    weighed(script).decide("a")
    assert certificate(script)["assumptions"] == [ASSUME_WEIGHTS, ASSUME_SAME_REPEATS, ASSUME_INDEPENDENT_VOTERS]
    alone = weighed(type(script)(), weights=Weights((), (("first", FIRST),)))
    alone.decide("a")
    assert certificate(alone)["assumptions"] == [ASSUME_WEIGHTS, ASSUME_SAME_REPEATS]


def test_its_keys_are_those_of_any_certificate(script):
    """The keys are the same as if votes were counted."""
    weighed(script).decide("a")
    other = type(script)().open()
    other.decide("a", "a", "a")
    assert certificate(script).keys() == certificate(other).keys()


def test_votes_that_count_alike_are_not_judged_by_leads(script):
    """Under a rule that counts votes, no leads are kept."""
    script.open().decide("a", "a", "a")
    assert script.series.leads is None


def test_a_voter_that_is_mostly_wrong_weighs_nothing():
    """Weights are made from its rates as from any other's, and its votes move nothing."""
    calibration = simulated(lambda _: [0.8, 0.01], 2000, Random(1), voters=2)
    poor, good = (one.weights for one in measured_bins(calibration))
    assert max(poor.bins) == 0 == poor.again
    assert min(good.bins) > 3000


# --- runs


class Voter:
    """A noise sampler with a name of its own."""

    paid = False
    compact = True

    def __init__(self, chain, name, p):
        self._noise, self.name = NoisySampler(chain.rehearse, p), name

    async def sample(self, prompt, settings, n):
        return [replace(sample, voter=self.name) for sample in await self._noise.sample(prompt, settings, n)]


HANOI = Hanoi(disks=8)
VOTERS = [Voter(HANOI, "one", 0.99), Voter(HANOI, "two", 0.99), Voter(HANOI, "three", 0.98)]


@pytest.fixture(scope="module")
def options():
    """Options of a weighed run, from measured weights of its voters."""
    calibration = calibrate(HANOI, VOTERS, samples=3000, seed=3)
    weights = weights_of([voter.name for voter in calibration.voters], measured_bins(calibration))
    return Options(policy=Policy(LogOdds(8.0, weights)))


def test_a_real_run_is_certified_by_its_leads(tmp_path, options):
    """In a measured and run chain, each step's probability follows from the votes that count, live and read back."""
    path = tmp_path / "run.db"
    result = unerring.run(HANOI, VOTERS, path, options=options)
    found, steps = result.report["certificate"], list(History(path).steps())
    assert unerring.report(path)["certificate"] == found
    assert any(len({reply.voter for reply in step.replies}) < len(step.replies) for step in steps)
    assert found["expected_wrong"] == pytest.approx(sum(loss_probability_of(step.margin / 1000) for step in steps))
    assert found["wrong_interval"][0] == 0
    assert [(voter["name"], voter["votes"], voter["p"] is None) for voter in found["voters"]] == [
        ("one", 255, False),
        ("two", 0, True),
        ("three", 0, True),
    ]
    assert found["warnings"] == []


@each("speculate", ["off", "auto"])
def test_a_resumed_run_has_the_certificate_of_its_whole_journal(tmp_path, options, speculate):
    """A stopped and resumed run ends with the certificate of its journal, equal to an uninterrupted run's."""
    whole, parts = tmp_path / "whole.db", tmp_path / "parts.db"
    options = replace(options, speculate=speculate)
    unbroken = unerring.run(HANOI, VOTERS, whole, options=options).report["certificate"]
    with pytest.raises(StepLimit):
        unerring.run(HANOI, VOTERS, parts, options=replace(options, max_steps=100))
    resumed = unerring.resume(parts, model=VOTERS, options=Options(speculate=speculate)).report["certificate"]
    assert resumed == unerring.report(parts)["certificate"] == unbroken


def test_a_weighed_journal_with_a_forged_plan_is_certified(script):
    """A plan decides nothing in a weighed run either."""
    weighed(script, plan={"p": {"first": [0, 10**400, inf]}, "dissent": "never"}).decide("a")
    assert certificate(script)["voters"][0]["planned"] is None
