"""One step written by hand: rounds, caps, references and the order of votes."""

from unerring.core.journal.entries import Intent, Resumed, Voter
from unerring.core.voting.policy import Policy
from unerring.core.voting.race import AheadBy, Continue, FirstTo, LogOdds, Undecided, Won
from unerring.core.voting.redflag import FlagKind
from unerring.core.voting.weights import VoterWeights, Weights

FLAG = FlagKind.MALFORMED


def test_a_step_asks_for_what_is_missing_and_no_more(script):
    """A round has exactly the votes that could end the race: 3, then 1 after each lost lead."""
    script.open()
    step = script.state.step(0)
    assert step.wanted() == [0, 1, 2]
    script.vote(0, "a", "a", "b")
    assert step.wanted() == [3, 4]
    script.vote(0, "a", "a")
    assert step.wanted() == []
    assert step.rounds == 2


def test_a_flagged_sample_is_replaced_and_costs_no_vote(script):
    """A flag costs a sample, not a vote: the next round asks for one in its place."""
    script.open().vote(0, "a", FLAG, "a")
    step = script.state.step(0)
    assert step.race.votes == 2
    assert step.flags == 1
    assert step.wanted() == [3]


def test_a_fast_answer_does_not_vote_first(script):
    """If two votes win, the samples with the lowest numbers decide, even if others were received before."""
    script.open(Policy(AheadBy(2), vote_cap=9))
    script.vote(0, "a", "b")
    step = script.state.step(0)
    assert step.wanted() == [2, 3]
    script.tell(script.said(0, 3, "b"))
    assert step.race.votes == 2
    script.tell(script.said(0, 2, "a"))
    assert (step.race.votes, step.wanted()) == (4, [4, 5])


def test_a_candidate_named_by_a_later_sample_that_came_first_is_the_same_candidate(script):
    """Sample 0 may take its choice from sample 2, if that was received first."""
    script.open()
    for slot in (2, 0, 1):
        script.tell(script.said(0, slot, "a"))
    step = script.state.step(0)
    assert step.replies[0].choice == 2
    assert isinstance(step.verdict, Won)
    assert step.choice(step.verdict.choice) == "a"
    assert step.text(0) == step.text(2) == "text of a"


def test_a_step_with_too_many_flags_is_undecided(script):
    """After flag_cap flags for each vote counted or missing, the step is undecided at the end of the round."""
    script.open(Policy(AheadBy(3), flag_cap=2))
    script.vote(0, *[FLAG] * 5)
    assert isinstance(script.state.step(0).verdict, Continue)
    script.vote(0, FLAG)
    assert script.state.step(0).verdict == Undecided(0)
    assert script.state.step(0).wanted() == []


def test_a_raised_flag_cap_continues_the_step(script):
    """After the flag cap is raised the next round is asked for, and the earlier flags still count."""
    script.open(Policy(AheadBy(3), flag_cap=1))
    script.vote(0, FLAG, FLAG, FLAG)
    assert script.state.step(0).verdict == Undecided(0)
    script.tell(Resumed(1.0, flag_cap=2))
    step = script.state.step(0)
    assert (step.flags, step.wanted()) == (3, [3, 4, 5])
    script.vote(0, "a", "a", "a")
    assert isinstance(step.verdict, Won)


def test_a_raised_vote_cap_continues_the_step(script):
    """After the vote cap is raised the same tally continues to a winner."""
    script.open(Policy(AheadBy(2), vote_cap=3))
    script.vote(0, "a", "b", "a")
    assert script.state.step(0).verdict == Undecided(3)
    script.tell(Resumed(1.0, vote_cap=60))
    step = script.state.step(0)
    assert step.wanted() == [3]
    script.vote(0, "a")
    assert step.choice(step.verdict.choice) == "a"


def test_raised_caps_hold_for_steps_opened_later(script):
    """A cap raised on resuming holds for all later steps."""
    script.open(Policy(AheadBy(2), vote_cap=3))
    script.tell(Resumed(1.0, vote_cap=5))
    script.vote(0, "a", "b", "a", "b", "c")
    assert script.state.step(0).verdict == Undecided(5)


def test_resuming_keeps_received_samples(script):
    """A resumption asks only for samples without a reply, and counts the lost ones as unknown."""
    script.open()
    script.tell(Intent(0, 0, 3), script.said(0, 1, "a"), Resumed(1.0))
    assert script.state.step(0).wanted() == [0, 2]
    assert script.state.calls.unknown == 2
    assert not script.state.calls.in_flight


def test_several_steps_are_open_at_once(script):
    """Votes on a later step wait there until it is next."""
    script.open(Policy(FirstTo(1)))
    script.vote(2, "c", at=script.after(1))
    script.vote(1, "b", at=script.after(0))
    script.decide("a")
    script.decide()
    script.decide()
    assert script.state.committed == 3
    assert [d.step for d in sorted(script.series.hardest(), key=lambda d: d.step)] == [0, 1, 2]


def test_the_leading_choice_ignores_votes_of_weight_0(script):
    """A step's likely choice is predicted from votes that may decide it, also those not counted yet."""
    script.open()
    script.tell(script.said(0, 0, "a"), script.said(0, 2, "b"))
    assert script.state.step(0).leaning() == {"a": 1, "b": 1}
    weights = Weights((), (("first", VoterWeights((2000,), 0)), ("poor", VoterWeights((0,), 0))))
    other = type(script)().open(Policy(LogOdds(6.0, weights)))
    other.tell(Voter(1, "poor"), other.said(0, 0, "a"), other.said(0, 1, "b", voter=1))
    other.tell(other.said(0, 2, "a"))
    step = other.state.step(0)
    assert step.leaning() == {"a": 2}
    assert (step.race.votes, step.race.margin, step.wanted()) == (3, 2000, [3, 4])
