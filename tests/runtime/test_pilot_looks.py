"""Pilots of voters that err often: which of their errors are sampled again, and which are known well enough."""

from dataclasses import replace

from pilots import UnknownTruth, counted, piloted
from unerring import Hanoi
from unerring.api.calibration.calibrating import PilotOptions, acalibrate
from unerring.core.planning.calibration import MIN_REPEATED_STEPS
from unerring.runtime.ensemble import Ensemble
from unerring.testing import NoisySampler
from virtual_time import LoopClock, Says, Slow, virtually


def jittered(prompt, settings):
    """Seconds that a call takes, different for every call, so that answers come back in another order."""
    return (settings.step * 7919 + settings.slot * 104_729) % 997 / 100.0


def three_voters(chain, wrong=0.79):
    """Two voters that are right on 99 % of their votes, and one that mostly gives the same wrong answer."""

    def one_wrong(prompt):
        rehearsal = chain.rehearse(prompt)
        return replace(rehearsal, wrong=rehearsal.wrong[-1:])

    voters = [NoisySampler(chain.rehearse, p=0.99), NoisySampler(one_wrong, p=1.0 - wrong)]
    return Ensemble([*voters, NoisySampler(chain.rehearse, p=0.99, v=0.999)])


def test_a_voter_that_errs_on_most_steps_is_not_sampled_again_on_each():
    """After sixty steps with repeat samples its errors are known, and samples go to steps where others may err."""
    chain = Hanoi(disks=12)
    found = piloted(chain, three_voters(chain), 12_000, in_flight=256)
    good, bad, better = (
        [step for step in found.error_steps if step.voters[number].first_wrong] for number in range(3)
    )
    assert all(step.repeated for step in good + better)
    alone = [step for step in bad if step.voters[0].first_wrong is step.voters[2].first_wrong is False]
    assert sum(step.repeated for step in alone) <= MIN_REPEATED_STEPS
    assert found.repeated_share(1) < 0.1
    assert found.steps > 1500


def test_which_steps_are_sampled_again_does_not_depend_on_arrival():
    """With many steps in flight whose answers overtake each other, the same steps are sampled again."""

    def came(in_flight):
        chain = Hanoi(disks=9)
        slow = Ensemble([Slow(voter, jittered) for voter in three_voters(chain).members])
        return virtually(acalibrate(chain, slow, 10**6, options=PilotOptions(in_flight=in_flight, clock=LoopClock())))

    alone = came(1)
    assert alone.repeated_share(1) < 0.5
    assert counted(came(64)) == counted(alone)


def test_a_resumed_pilot_samples_the_same_steps_again(tmp_path):
    """Which errors are known well follows from the counts, so a stopped pilot continues as it would have."""
    chain, path = Hanoi(disks=10), tmp_path / "cal.json"
    for samples in (3000, 6000):
        piloted(chain, three_voters(chain), samples, path)
    together = piloted(chain, three_voters(chain), 9000, path)
    assert counted(together) == counted(piloted(chain, three_voters(chain), 9000))


def test_all_errors_of_a_voter_that_errs_rarely_are_sampled_again():
    """If a voter errs on at most a quarter of the steps, all its errors are sampled again."""
    chain = Hanoi(disks=12)
    found = piloted(chain, NoisySampler(chain.rehearse, p=0.85), 8000, in_flight=256)
    assert found.voters[0].wrong > 2 * MIN_REPEATED_STEPS
    assert found.repeated_share(0) == 1.0


def test_without_a_truth_every_doubtful_step_is_sampled_again():
    """If a wide margin replaces the truth, all doubtful steps get repeat samples, since who erred is not certain."""

    def says(prompt, step, slot):
        return "a" if slot % 3 else "b"

    found = piloted(UnknownTruth(400), Says(says), 9000)
    assert found.judged_by == "votes"
    assert len(found.error_steps) > MIN_REPEATED_STEPS
    assert all(step.repeated for step in found.error_steps)
