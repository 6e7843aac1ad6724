"""The counts of a pilot, from steps written by hand: shares of first votes, and repeat samples after errors."""

from random import Random

import pytest

from pilots import USAGE, blank, looked, observed, simulated
from tables import each
from unerring.core.planning.calibration import (
    LOGPROB_EDGES,
    REPEAT_VOTES,
    Calibration,
    ErrorStep,
    PilotStep,
    VoterOnErrorStep,
    bin_of,
)
from unerring.core.planning.estimates import (
    INTERVAL_CONFIDENCE,
    IntervalEstimate,
    binomial_tail,
    ensemble_estimate,
    noticed_probability,
    repeat_probability,
    voter_estimate,
    wrong_choice_leads,
)
from unerring.core.planning.intervals import interval
from unerring.core.voting.redflag import FlagKind
from unerring.core.voting.sample import Usage


def counted(*steps, voters=1):
    """A calibration of steps, each given as its choices in order."""
    calibration = blank(voters)
    for number, choices in enumerate(steps):
        calibration.add(looked(number, *choices, voters=voters))
    return calibration


# --- first votes


def test_shares_are_counted_on_first_votes_alone():
    """However often a step was sampled again, it counts as one vote, right or wrong."""
    voter = counted("r", "r", "wrrrr", "wwwww", "rwwww").voters[0]
    assert (voter.steps, voter.votes, voter.wrong) == (5, 5, 2)


def test_a_flagged_first_sample_is_a_flag_and_the_next_vote_the_first():
    """The share of flags is that of first samples; the first vote may come later."""
    voter = counted([None, "r"], [None, None, "w", "r"], "r", [*"wr", None]).voters[0]
    assert (voter.steps, voter.flagged, voter.votes, voter.wrong) == (4, 2, 4, 2)


def test_flags_are_counted_by_cause_and_once_a_step():
    """Flags of first samples are counted by cause; those of later samples are not counted."""
    calibration = blank()
    causes = [FlagKind.TOO_LONG, FlagKind.MALFORMED, FlagKind.TOO_LONG]
    for step, cause in enumerate(causes):
        flagged = observed(None, flag=cause)
        calibration.add(PilotStep(step, (flagged, flagged, observed("r")), "r"))
    assert calibration.voters[0].flags == {"too long": 2, "malformed": 1}


def test_a_step_where_all_samples_were_flagged_has_no_vote():
    """A voter without a vote on a step counts as asked and flagged there, neither right nor wrong."""
    calibration = counted([None] * 40, "r")
    voter = calibration.voters[0]
    assert (voter.steps, voter.flagged, voter.votes, voter.wrong) == (2, 1, 1, 0)
    assert calibration.error_steps == []
    assert voter_estimate(calibration, 0).silent == 1


def test_tokens_are_those_of_first_samples():
    """Tokens are averaged over first samples, since hard steps, which are sampled again, would weigh more."""
    calibration = blank()
    hard = (observed("w", usage=Usage(30, 9)), *(observed("r", usage=Usage(1000, 1000)) for _ in range(REPEAT_VOTES)))
    calibration.add(PilotStep(0, hard, "r"))
    calibration.add(looked(1, "r"))
    assert calibration.voters[0].usage == Usage(30, 9) + USAGE
    assert voter_estimate(calibration, 0).input_tokens == 20.0


def test_every_sample_counts_as_drawn_and_its_seconds_too():
    """`samples` is what was paid for, flags and repeat samples included, and latency is their mean."""
    calibration = blank()
    assert calibration.latency is None
    calibration.add(looked(0, "w", "r", None, "r", seconds=2.0))
    calibration.add(looked(1, "r", seconds=7.0))
    assert (calibration.steps, calibration.samples, calibration.latency) == (2, 5, 3.0)


@each("place", range(len(LOGPROB_EDGES)))
def test_votes_are_binned_by_their_log_probability(place):
    """A vote on an edge is in the bin above it, and one just below it in the bin below."""
    assert (bin_of(LOGPROB_EDGES[place]), bin_of(LOGPROB_EDGES[place] - 1e-9)) == (place + 1, place)


def test_bins_hold_right_and_wrong_first_votes():
    """Each first vote is in one bin: without a log-probability in the last, at extreme values in the outer ones."""
    calibration = blank()
    for step, (choice, logprob) in enumerate([("r", 0.0), ("w", -1e300), ("r", None), ("r", -0.02), ("w", -0.02)]):
        calibration.add(PilotStep(step, (observed(choice, logprob=logprob), observed("w", logprob=-0.5)), "r"))
    bins = calibration.voters[0].bins
    assert {number: counts for number, counts in enumerate(bins) if any(counts)} == {
        0: [0, 1],
        bin_of(-0.02): [1, 1],
        len(LOGPROB_EDGES): [1, 0],
        len(LOGPROB_EDGES) + 1: [1, 0],
    }


# --- errors that come together


def test_a_collision_is_two_wrong_votes_at_first():
    """A voter's first two votes on a step collide if both are wrong; equal wrong ones are also counted separately."""
    voter = counted("ww", "wx", "wr", "rw", "wrw", "r").voters[0]
    assert (voter.wrong, voter.collisions, voter.same_wrong) == (4, 2, 1)


def test_flags_between_votes_do_not_hide_a_collision():
    """Flagged samples between the first two votes make no difference."""
    voter = counted(["w", None, None, "w"], [None, "w", None, "x"]).voters[0]
    assert (voter.collisions, voter.same_wrong) == (2, 1)


def test_pairs_are_the_first_votes_of_two_voters():
    """With several voters the first two votes of a step are those of two voters: both wrong, or equal."""
    calibration = counted("wwr", "wxr", "wrw", "rww", "rrr", voters=3)
    assert (calibration.pairs_wrong, calibration.pairs_same) == (2, 1)


def test_a_voter_that_is_silent_leaves_its_place_in_the_pair_to_the_next():
    """If the first voter has no vote, the first two votes are those of the next two voters."""
    calibration = blank(3)
    calibration.add(looked(0, None, "w", "w", voters=3))
    assert (calibration.pairs_wrong, calibration.pairs_same) == (1, 1)


# --- second looks


def test_a_step_where_a_first_vote_was_wrong_is_kept():
    """All votes on such a step are kept by voter; the votes after the first are also pooled."""
    first = "wrr"
    again = ["wrr", "xwr", "wwr", "rxw"]
    calibration = counted("rrr", first + "".join(again), voters=3)
    (step,) = calibration.error_steps
    assert step == ErrorStep(
        step=1,
        voters=(VoterOnErrorStep(1, 4, True, 2), VoterOnErrorStep(2, 3, False, 2), VoterOnErrorStep(4, 1, False, 1)),
        right=5,
        rival=5,
    )


def test_a_step_whose_first_votes_were_all_right_is_not_kept():
    """Only first votes decide whether a step is kept: later errors are seen only on steps sampled again."""
    assert counted("rw", "rrww").error_steps == []


def test_a_kept_step_separates_first_votes_from_later_ones():
    """The first vote made the step noticed, so only later votes measure the voter's error rate there."""
    erred, other = VoterOnErrorStep(20, 5, True, 4), VoterOnErrorStep(25, 0, False, 0)
    assert (erred.later, erred.later_wrong, erred.chance) == (24, 4, 4.5 / 25)
    assert (other.later, other.later_wrong, other.chance) == (24, 0, 0.5 / 25)
    assert VoterOnErrorStep(0, 0, False, 0).later == 0


def test_only_has_the_counts_of_one_voter():
    """`only` has the counts of one voter, whose kept steps are those where any voter erred."""
    calibration = counted("wr" + "wrrrxr", "rrrr", "rw" + "rwrwrr", voters=2)
    alone = calibration.only(1)
    assert alone.model == "sim/1"
    assert alone.voters == [calibration.voters[1]]
    assert alone.error_steps == [
        ErrorStep(0, (VoterOnErrorStep(4, 0, False, 0),), 3, 0),
        ErrorStep(2, (VoterOnErrorStep(1, 3, True, 2),), 1, 2),
    ]
    assert (alone.pairs_wrong, alone.pairs_same) == (0, 0)
    assert len(calibration.voters) == 2


def test_a_voter_without_votes_on_a_kept_step_has_counts_of_0():
    """A voter with only flagged samples on a kept step has 0 right votes there, not fewer."""
    calibration = blank(2)
    calibration.add(looked(0, "w", None, "r", None, voters=2))
    (step,) = calibration.only(1).error_steps
    assert (step.right, step.rival, step.voters[0].later) == (0, 0, 0)


# --- estimates


def test_an_estimate_is_its_counts_with_exact_intervals():
    """A voter's p, v and tokens are shares of first samples and votes, with two-sided 99 % intervals."""
    assert INTERVAL_CONFIDENCE == 0.99
    calibration = simulated(lambda _: [0.05], 3000, Random(1), v=0.9)
    voter, found = calibration.voters[0], voter_estimate(calibration, 0)
    low, high = interval(voter.wrong, voter.votes, INTERVAL_CONFIDENCE)
    assert (found.p.estimate, found.p.low, found.p.high) == (1.0 - voter.wrong / voter.votes, 1.0 - high, 1.0 - low)
    low, high = interval(voter.flagged, voter.steps, INTERVAL_CONFIDENCE)
    assert (found.v.estimate, found.v.low, found.v.high) == (1.0 - voter.flagged / voter.steps, 1.0 - high, 1.0 - low)
    assert (found.input_tokens, found.output_tokens) == (10.0, 5.0)


def test_collisions_are_compared_with_what_independence_expects():
    """If errors were independent of the step, votes * (1 - p)^2 collisions would be expected."""
    found = voter_estimate(counted("ww", "wr", *["r"] * 8), 0)
    assert (found.collisions, found.same_wrong) == (1, 1)
    assert found.expected_collisions == pytest.approx(10 * 0.2**2)


def test_a_wrong_choice_that_outvotes_the_right_one_makes_a_step_pathological():
    """The share of such steps is the share seen, divided by the probability that one is noticed."""
    calibration = counted("w" + "w" * 20 + "r" * 4, "w" + "w" * 4 + "r" * 20, *["r"] * 98)
    bad = voter_estimate(calibration, 0).pathological
    assert bad.estimate == pytest.approx(0.01 / (20.5 / 25))
    assert bad.low < 0.01 < bad.high


def test_without_such_a_step_an_upper_bound_is_what_is_left():
    """A pilot that saw none has an upper bound: at least every second one is noticed."""
    bad = voter_estimate(counted(*["r"] * 1000), 0).pathological
    assert (bad.estimate, bad.low) == (0.0, 0.0)
    assert bad.high == pytest.approx(interval(0, 1000, INTERVAL_CONFIDENCE)[1] / 0.5)


def test_wrong_votes_that_scatter_make_no_step_pathological():
    """A majority of wrong votes for different choices elects none of them."""
    scattered = "w" + "".join(f"{letter}" for letter in "abcdefghijklmnop") + "r" * 8
    assert voter_estimate(counted(scattered, *["r"] * 9), 0).pathological.estimate == 0.0


def test_voters_together_outvote_one_that_is_always_wrong():
    """A step that one of three voters always gets wrong is pathological for it alone, not for all in turn."""
    calibration = counted("wrr" * (REPEAT_VOTES + 1), *["rrr"] * 9, voters=3)
    assert voter_estimate(calibration, 0).pathological.estimate > 0.1
    assert ensemble_estimate(calibration).pathological.estimate == 0.0


def test_voters_together_have_the_mean_of_their_shares():
    """The ensemble's figures are sums over its voters, and its name has all of their names."""
    calibration = counted("wr" * 25, *["rr"] * 9, voters=2)
    together = ensemble_estimate(calibration)
    assert together.name == "sim/0 + sim/1"
    assert (together.votes, together.p.estimate) == (20, 0.95)


def test_an_empty_calibration_has_the_widest_intervals():
    """An empty calibration has estimates with intervals as wide as possible."""
    found = voter_estimate(blank(), 0)
    assert (found.votes, found.p.low, found.p.high, found.v.low, found.v.high) == (0, 0.0, 1.0, 0.0, 1.0)
    assert ensemble_estimate(blank(2)).expected_collisions == 0.0
    assert isinstance(blank(), Calibration)


@each(("stubborn", "low", "high"), [(lambda chance: chance.random() < 0.02, 0.7, 1.0), (lambda _: 0.02, 0.0, 0.2)])
def test_repeated_errors_are_distinguished_from_independent_ones(stubborn, low, high):
    """The probability to err again is near 1 if the same steps always fail, and near 1 - p if any does.

    Seeded; at least 30 steps erred, and a share that far off has a chance below one in a million.
    """
    calibration = simulated(lambda chance: [float(stubborn(chance))], 6000, Random(4))
    found = voter_estimate(calibration, 0)
    assert calibration.voters[0].wrong >= 30
    assert low < found.repeat < high


def test_repeats_are_averaged_over_steps():
    """Each step on which the voter erred counts once, with half a step of doubt; without any it is 1/2."""
    assert repeat_probability([]) == 0.5
    assert repeat_probability(
        [VoterOnErrorStep(12, 13, True, 12), VoterOnErrorStep(25, 0, False, 0)]
    ) == pytest.approx((0.5 + 0.5) / 2.0)


def test_a_lead_is_more_than_chance_where_a_fair_coin_would_rarely_show_it():
    """A wrong choice leads if at even odds it would do so in fewer than 1 of 20 cases."""
    assert wrong_choice_leads(0, 5)
    assert not wrong_choice_leads(0, 4)
    assert not wrong_choice_leads(12, 12)
    assert binomial_tail(3, 4, 0.5) == pytest.approx(5.0 / 16.0)
    assert [binomial_tail(0, 4, 0.5), binomial_tail(5, 4, 0.5)] == [1.0, 0.0]


def test_a_step_is_noticed_where_any_voter_may_err():
    """The probability that a step is noticed is one minus that of all first votes being right."""
    step = ErrorStep(0, (VoterOnErrorStep(12, 13, True, 12), VoterOnErrorStep(25, 0, False, 0)), 36, 12)
    assert noticed_probability(step, blank(2), (1.0, 1.0)) == pytest.approx(
        1.0 - (1.0 - 12.5 / 25.0) * (1.0 - 0.5 / 25.0)
    )


def test_the_rest_of_a_share_is_the_other_share():
    """Right and wrong shares add up to one at both ends of the interval."""
    share = IntervalEstimate.of(3, 40)
    assert (share.rest.estimate, share.rest.low, share.rest.high) == (1.0 - 3 / 40, 1.0 - share.high, 1.0 - share.low)
