"""Races of weighed votes as plans predict them, against the same races walked vote by vote, weighed as in runs."""

from collections import defaultdict
from dataclasses import dataclass
from math import exp

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tables import each
from unerring.core.planning.measured_weights import LogprobBins
from unerring.core.planning.spread import StepKind
from unerring.core.planning.walk import closed_form_race
from unerring.core.planning.weighted_race import GRID_POINTS_PER_NAT, MAX_WEIGHTED_VOTES, equal_weights, weighted_race
from unerring.core.voting.race import LogOdds
from unerring.core.voting.weights import StepWeights, VoterWeights, Weights, voter_weights

EDGES = (-1.0, -0.1)
LOGPROBS = (-9.0, -0.5, -0.01)  # one in each bin


@dataclass(frozen=True)
class Walked:
    """Exact results of races: the share lost, still open at the end, with a dissenting vote; mean votes."""

    lost: float
    still: float
    dissent: float
    votes: float


def walked(voter_bins, kind, threshold, most, least=1e-14):
    """Walk races vote by vote; courses differ by the lead of the right choice and by each voter's earlier votes."""
    edges = EDGES[: len(voter_bins[0].right) - 1]
    names = [f"voter {number}" for number in range(len(voter_bins))]
    rule = LogOdds(threshold, Weights(edges, tuple(zip(names, (one.weights for one in voter_bins), strict=True))))
    open_, lost, dissent, votes, number = {(0, (), ()): 1.0}, 0.0, 0.0, 0.0, 0
    while (still := sum(open_.values())) > 1e-12 and number < most:
        votes += still
        voter, after = number % len(voter_bins), defaultdict(float)
        right, wrong = kind.turns[voter]
        for (lead, said, choices), chance in open_.items():
            after[lead, said, choices] += chance * (1.0 - right - wrong)
            for candidate, share, falls in ((1, right, voter_bins[voter].right), (0, wrong, voter_bins[voter].wrong)):
                for place, part in enumerate(falls):
                    course = chance * share * part
                    if course <= least:
                        continue
                    weighing = StepWeights(rule.weights, dict(said))
                    weight = weighing.weigh(names[voter], LOGPROBS[place], candidate)
                    reached = lead + (weight if candidate else -weight)
                    both = tuple(sorted({*choices, candidate}))
                    if rule.lacking(abs(reached), 0):
                        after[reached, tuple(sorted(weighing.said.items())), both] += course
                    else:
                        lost += course * (reached < 0)
                        dissent += course * (len(both) > 1)
        open_, number = after, number + 1
    return Walked(
        lost, still, dissent + sum(share for (*_, choices), share in open_.items() if len(choices) > 1), votes
    )


def foreseen(voter_bins, kind, threshold):
    return weighted_race(kind, 1e-9, voter_bins, round(threshold * GRID_POINTS_PER_NAT))


shares = st.floats(0.01, 1.0)


@st.composite
def voters(draw, bins):
    """A voter's bins: any probabilities of its votes to fall into the bins, and any valid weights."""
    right, wrong = (draw(st.lists(shares, min_size=bins, max_size=bins)) for _ in range(2))
    weights = tuple(sorted(draw(st.lists(st.integers(0, 6000), min_size=bins, max_size=bins))))
    again = draw(st.integers(0, max(weights)))
    weighing = VoterWeights(weights, 0, again, draw(st.integers(0, 6000)) if again else 0)
    return LogprobBins(tuple(one / sum(right) for one in right), tuple(one / sum(wrong) for one in wrong), weighing)


@st.composite
def races(draw):
    count, bins = draw(st.integers(1, 2)), draw(st.integers(1, 3))
    voter_bins = tuple(draw(voters(bins)) for _ in range(count))
    wrong = tuple(draw(st.sampled_from([1e-6, 0.001, 0.03, 0.2, 0.45])) for _ in range(count))
    mute = draw(st.sampled_from([(), tuple(draw(st.sampled_from([0.0, 0.3])) for _ in range(count))]))
    return voter_bins, StepKind(1.0, wrong, mute)


@settings(max_examples=60, deadline=None)
@given(races(), st.integers(1, 160))
def test_no_more_races_fail_than_a_plan_predicts(race, lead):
    """For any weights and error rates, the predicted losses are no less than the exact ones."""
    voter_bins, kind = race
    if max(max(one.weights.bins) for one in voter_bins) == 0 or equal_weights(voter_bins):
        return
    found = foreseen(voter_bins, kind, lead / GRID_POINTS_PER_NAT)
    exact = walked(
        voter_bins, kind, lead / GRID_POINTS_PER_NAT, most=MAX_WEIGHTED_VOTES, least=1e-9
    )  # what is left out there is not counted
    assert exact.lost + exact.still <= found.failed + 1e-9
    assert 0.0 <= found.unanimous <= 1.0
    assert found.votes >= 1.0


def measured(wrong, repeat, strays, bins):
    """A voter with the weights that its rates allow; wrong votes fall into lower bins than right ones."""
    right = {1: (1.0,), 3: (0.01, 0.09, 0.9)}[bins]
    falls = {1: (1.0,), 3: (0.3, 0.6, 0.1)}[bins]
    sure = [(1.0 - wrong) * r / ((1.0 - wrong) * r + wrong * w) for r, w in zip(right, falls, strict=True)]
    return LogprobBins(right, falls, voter_weights(sure, repeat, strays))


CASES = {
    "one voter": ([measured(0.02, 0.05, 0.03, 3)], (0.02,)),
    "one voter in one bin": ([measured(0.05, 0.08, 0.06, 1)], (0.05,)),
    "one voter that repeats": ([measured(0.02, 0.3, 0.02, 3)], (0.02,)),
    "two voters": ([measured(0.01, 0.1, 0.01, 3), measured(0.03, 0.1, 0.03, 3)], (0.01, 0.03)),
    "three voters, one weak": ([measured(q, 0.1, q, 1) for q in (0.01, 0.02, 0.15)], (0.01, 0.02, 0.15)),
}


@each("threshold", [3.0, 6.0, 10.0])
@each(("voter_bins", "wrong"), CASES.values(), ids=CASES)
def test_predictions_are_close(voter_bins, wrong, threshold):
    """Votes are predicted to 5 %, and failures within a factor of two and never too few."""
    kind = StepKind(1.0, wrong)
    found, exact = (
        foreseen(voter_bins, kind, threshold),
        walked(voter_bins, kind, threshold, MAX_WEIGHTED_VOTES, least=1e-13),
    )
    assert exact.lost + exact.still <= found.failed <= 2.0 * (exact.lost + exact.still) + 1e-6
    assert exact.votes == pytest.approx(found.votes, rel=0.05)
    assert exact.lost <= min(found.failed, exp(-threshold))


def test_votes_that_all_weigh_alike_race_as_votes_that_count_one():
    """If all votes weigh the same, walked races are those of a margin."""
    voter_bins = [LogprobBins((1.0,), (1.0,), VoterWeights((2000,), 2000))]
    exact, margin = walked(voter_bins, StepKind(1.0, (0.1,)), 7.9, 200), closed_form_race(0.9, 4)
    assert equal_weights(voter_bins)
    assert (exact.lost, exact.votes) == pytest.approx((margin.wrong, margin.votes), rel=1e-6)
    assert not equal_weights([LogprobBins((1.0,), (1.0,), VoterWeights((2000,), 1000))])
    assert not equal_weights([*voter_bins, LogprobBins((1.0,), (1.0,), VoterWeights((3000,), 3000))])


def test_a_race_that_its_first_vote_decides_takes_one_vote():
    """The mean of its votes and the mean of their square are both 1, so that they have no spread."""
    decisive = [LogprobBins((1.0,), (1.0,), VoterWeights((3000,), 3000))]
    found = foreseen(decisive, StepKind(1.0, (0.1,)), 2.0)
    assert (found.votes, found.votes_squared) == pytest.approx((1.0, 1.0), abs=1e-9)


def test_a_voter_does_not_win_by_repeating_itself():
    """Two equal votes are all that count, so the race is given up, however often the voter would repeat itself."""
    steady, stubborn = measured(1e-4, 0.5, 1e-4, 3), measured(1e-4, 0.75, 1e-4, 3)
    found = foreseen([steady, stubborn, steady], StepKind(1.0, (1e-6, 1.0, 1e-6)), 30.0)
    assert found.wrong < 1e-6
    assert found.undecided > 0.99
    assert found.votes == pytest.approx(MAX_WEIGHTED_VOTES, rel=0.01)


def test_a_voter_flagged_at_first_counts_later():
    """A flagged turn does not use up a voter's votes."""
    voter_bins = [measured(0.01, 0.2, 0.01, 1)] * 2
    spoken, mute = (foreseen(voter_bins, StepKind(1.0, (0.01, 0.01), mute), 8.0) for mute in ((), (0.5, 0.5)))
    assert mute.failed == pytest.approx(spoken.failed, rel=0.25)
    assert mute.votes > 1.5 * spoken.votes
