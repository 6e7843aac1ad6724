"""A model that changes during a run sets off an alarm within a stated number of steps, live and in the report."""

import io
import re
from math import log

import pytest

import unerring
from unerring import Hanoi, Options
from unerring.api.calibration.calibrating import calibrate
from unerring.api.planning import Target, planned_policy
from unerring.cli.progress import Progress
from unerring.cli.text.report import report_text
from unerring.errors import StepLimit
from unerring.testing import NoisySampler

CHAIN = Hanoi(disks=11)
STEPS, CHANGE = 2047, 700
P = 0.98


class Changing:
    """A sampler that changes at some step: from then on it errs more often, or repeats answers like a cache."""

    name = "changing"
    paid = False
    compact = True

    def __init__(self, p, cached=False):
        self._before, self._after = (NoisySampler(CHAIN.rehearse, chance) for chance in (P, p))
        self._cached = cached

    async def sample(self, prompt, settings, n):
        if settings.step < CHANGE:
            return await self._before.sample(prompt, settings, n)
        if self._cached:  # the same answer to the same prompt, without a word
            return [unerring.Sample(CHAIN.rehearse(prompt).right, voter="noise")] * n
        return await self._after.sample(prompt, settings, n)


@pytest.fixture(scope="module")
def target():
    """The target of the run's plan, with a pilot of the model as it is at first."""
    return Target(0.95, calibration=calibrate(CHAIN, NoisySampler(CHAIN.rehearse, P), samples=4000, seed=5))


@pytest.fixture(scope="module")
def cached(target):
    """The warnings and the report of a run in which a cache replaces the model."""
    return watched(Changing(P, cached=True), target)


def watched(model, target):
    """The live warnings of a run and its report."""
    log = io.StringIO()
    with Progress(log) as progress:
        report = unerring.run(CHAIN, model, seed=3, options=Options(target=target, observer=progress)).report
    assert report["steps"] == STEPS
    warnings = [line for line in log.getvalue().splitlines(keepends=True) if line.startswith("warning")]
    return "".join(warnings), report  # a slow machine shows lines of progress as well


def dissent(p, k):
    """The probability that a race to a margin of k has a vote against its winner."""
    return 1.0 - p**k - (1.0 - p) ** k


def noticed(warning, report):
    """The step of the alarm, and the step since which dissent is off plan; live warning and report must agree."""
    (alarm,) = (one for one in report["certificate"]["warnings"] if one.startswith("dissent "))
    assert warning == f"warning: {alarm}\n"
    assert f"warning      {alarm}" in report_text(report, "run.db").splitlines()
    since, steps = re.search(r"at about step (\S+): \S+ of the (\S+) steps", alarm).groups()
    return int(since.replace(",", "")) + int(steps.replace(",", "")) - 1, int(since.replace(",", ""))


def test_a_model_that_stays_the_same_sets_off_no_alarm(target):
    """A model that behaves as measured by the pilot causes no warning."""
    warning, report = watched(Changing(P), target)
    assert warning == ""
    assert report["certificate"]["warnings"] == []


def test_a_model_that_dissents_twice_as_often_sets_off_an_alarm(target):
    """Dissent at twice the planned upper bound h is noticed within 1.5 times the expected steps.

    Each step adds about 0.39 h to the sum, and the alarm is at ln(1000 N). A model that has changed like this errs
    more often.
    """
    (policy, plan), worse = planned_policy(CHAIN, Changing(P), target), P
    high = plan["dissent"][1]
    while dissent(worse, policy.rule.k) < 2 * high:
        worse -= 0.0005
    warning, report = watched(Changing(worse), target)
    at, since = noticed(warning, report)
    enough = log(1000 * STEPS) / (0.39 * high)
    assert "has the model changed?" in warning
    assert CHANGE < at <= CHANGE + 1.5 * enough
    assert abs(since - CHANGE) <= enough / 2


def test_a_cache_that_answers_sets_off_an_alarm(target, cached):
    """If copies are counted as votes, dissent vanishes, and the alarm comes after about 2 ln(1000 N) / l steps."""
    low = planned_policy(CHAIN, Changing(P), target)[1]["dissent"][0]
    warning, report = cached
    at, since = noticed(warning, report)
    enough = 2 * log(1000 * STEPS) / low
    assert "does a cache answer?" in warning
    assert CHANGE < at <= CHANGE + 1.1 * enough
    assert abs(since - CHANGE) <= enough / 8


def test_an_alarm_survives_a_stop_and_resume(tmp_path, target, cached):
    """A run stopped during a change and resumed reports the same alarm as an uninterrupted run."""
    path, changing = tmp_path / "run.db", Changing(P, cached=True)
    with pytest.raises(StepLimit):
        unerring.run(CHAIN, changing, path, seed=3, options=Options(target=target, max_steps=CHANGE + 200))
    resumed = unerring.resume(path, CHAIN, changing).report["certificate"]
    assert resumed == cached[1]["certificate"] == unerring.report(path)["certificate"]
    assert len(resumed["warnings"]) == 1
