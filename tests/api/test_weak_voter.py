"""Three voters, one nearly always wrong in the same way: it is measured, planned for and outvoted."""

from dataclasses import replace

import pytest

import unerring
from unerring import Hanoi, Options
from unerring.api.calibration.calibrating import calibrate
from unerring.api.planning import Target, plan, planned_policy
from unerring.core.planning.assumptions import measured_assumptions
from unerring.core.planning.races import PlannedJob, expected_races
from unerring.core.planning.spread import equal_spread
from unerring.core.voting.race import AheadBy
from unerring.errors import NoKCanHelp
from unerring.testing import NoisySampler

CHAIN = Hanoi(disks=12)
STEPS = CHAIN.length()
SHORT = Hanoi(disks=10)
WRONG = (0.01, 0.79, 0.01)  # of the voters' votes, in their turns


class Voter(NoisySampler):
    """A voter with a name of its own; `stubborn` has one wrong answer to each question."""

    def __init__(self, name, p, stubborn=False):
        def rehearse(prompt):
            rehearsal = CHAIN.rehearse(prompt)
            return replace(rehearsal, wrong=rehearsal.wrong[-1:]) if stubborn else rehearsal

        super().__init__(rehearse, p)
        self._called = name

    @property
    def name(self):
        return self._called


def voters():
    return [Voter("one", 0.99), Voter("weak", 0.21, stubborn=True), Voter("two", 0.99)]


@pytest.fixture(scope="module")
def calibration():
    """Twenty thousand samples: the weak voter's errors are soon known, and the rest goes to the other two."""
    found = calibrate(CHAIN, voters(), 20_000)
    assert found.steps > 3000
    return found


def test_a_voter_that_is_wrong_more_often_than_right_weighs_nothing(calibration):
    """Its votes have no effect, and those of the others count as ones that are right on 99 of 100 steps."""
    policy, _ = planned_policy(CHAIN, voters(), Target(0.95, "log-odds", calibration))
    weights = dict(policy.rule.weights.voters)
    assert weights["weak"].bins == (0,)
    assert all(4000 < weights[name].bins[0] < 5200 for name in ("one", "two"))


def test_ten_disks_are_solved_without_an_error_by_weighed_votes(calibration, tmp_path):
    """Planned for 95 % under log-odds, 1,023 steps are right; the report shows who was outvoted."""
    path = tmp_path / "run.db"
    options = Options(target=Target(0.95, "log-odds", calibration))
    result = unerring.run(SHORT, voters(), path, options=options)
    assert result.steps == SHORT.length()
    assert unerring.verify(path).judged
    assert unerring.verify(path).problem is None
    assert result.report["votes_per_step"] < 5.0
    shares = {voter["name"]: voter["dissent"] for voter in result.report["voters"]}
    assert shares["weak"] == pytest.approx(0.79, abs=0.03)
    assert max(shares["one"], shares["two"]) < 0.02
    assert result.report["certificate"]["zero_probability"] > 0.95


def test_counted_votes_take_twice_as_many(calibration):
    """First-to-ahead-by-k reaches the target with k = 5, since each vote of the weak voter must be made up for."""
    (counted,) = plan([calibration], STEPS, 0.95, "ahead-by")
    (weighed,) = plan([calibration], STEPS, 0.95, "log-odds")
    assert counted.races.rule == AheadBy(5)
    assert 10.0 < counted.races.votes < 11.0
    assert weighed.races.votes < 0.6 * counted.races.votes


def test_the_margin_of_two_good_voters_is_too_small_with_a_weak_one(calibration):
    """Votes that are right on 99 % need k = 3 for 4,095 steps; with the weak voter in turn that loses most chains."""
    job = PlannedJob(STEPS, 0.95)
    true = replace(measured_assumptions(calibration), spread=equal_spread(WRONG))
    lost = {k: expected_races(true, AheadBy(k), job) for k in (3, 5)}
    assert expected_races(replace(true, spread=equal_spread((0.01,) * 3)), AheadBy(3), job).success(job) > 0.95
    assert lost[3].success(job) < 0.5
    assert lost[5].success(job) > 0.99


def test_a_short_pilot_promises_nothing(calibration):
    """After 2,000 samples too little is known of the good voters' errors: both rules are refused, with the reason."""
    short = calibrate(CHAIN, voters(), 2000)
    for rule in ("ahead-by", "log-odds"):
        with pytest.raises(NoKCanHelp, match="Calibrate with more samples"):
            plan([short], STEPS, 0.95, rule)
