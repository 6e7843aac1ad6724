"""The laws of an open step: the order of replies, and the moment at which a cap is raised, change nothing."""

import random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from replay_runs import START, VOTERS, call_of, outcomes, policies

from unerring.core.voting.policy import Policy
from unerring.core.voting.race import Undecided, Won
from unerring.core.voting.step import OpenStep, VoterRecord

LAW = settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def settled(step):
    """The result of a step, with choices instead of numbers."""
    verdict = step.verdict
    return (
        step.choice(verdict.choice) if isinstance(verdict, Won) else verdict,
        {step.choice(candidate): votes for candidate, votes in step.race.tally.items()},
        {step.choice(candidate): score for candidate, score in step.race.scores.items()},
        (step.counted, step.asked, step.flags, step.rounds),
    )


def opened(policy):
    """A new step of a run with three voters."""
    return OpenStep(0, policy, {number: VoterRecord(name) for number, name in enumerate(VOTERS)})


def answer(step, slot, outcomes):
    """Receive a sample; votes rotate among three voters."""
    said = (outcomes.of(0, slot, START), outcomes.logprob(0, slot, START))
    step.receive(call_of(step, [slot], [said], voter=slot % len(VOTERS)).replies[0])


def play(policy, outcomes, arrival):
    """One step to its end, with replies in an order that a seed chooses; None is the order of numbers."""
    step, draw = opened(policy), random.Random(arrival)
    while wanted := step.wanted():
        answer(step, wanted[0] if arrival is None else draw.choice(wanted), outcomes)
    return step


@settings(LAW, max_examples=100)
@given(policies(), outcomes, st.integers(0, 2**32))
def test_the_order_of_arrival_never_changes_a_step(policy, outcomes, arrival):
    """Verdict, tally, flags, rounds and requested samples are those of replies in the order of numbers."""
    assert settled(play(policy, outcomes, arrival)) == settled(play(policy, outcomes, None))


@settings(LAW, max_examples=100)
@given(policies(), outcomes)
def test_a_step_ends_won_or_undecided_and_only_by_its_caps(policy, outcomes):
    """If nothing is left to ask, a step is won, or its votes or flags are at their cap."""
    step = play(policy, outcomes, None)
    verdict = step.verdict
    if isinstance(verdict, Undecided):
        limit = min(policy.vote_cap, policy.rule.most_votes or policy.vote_cap)
        flag_limit = policy.flag_cap * (step.race.votes + step.race.missing())
        assert step.race.votes == limit or step.flags >= flag_limit
    else:
        assert isinstance(verdict, Won)
        assert step.choice(verdict.choice) in {'"a"', '"b"', '["c"]'}


@settings(LAW, max_examples=100)
@given(policies(), outcomes, st.integers(1, 20), st.integers(0, 5))
def test_a_raised_cap_continues_with_the_same_votes(policy, outcomes, more_votes, more_flags):
    """A won step stays the same under higher caps; any other keeps every counted vote."""
    step = play(policy, outcomes, None)
    verdict, counted, tally = step.verdict, step.counted, dict(step.race.tally)
    raised = Policy(policy.rule, policy.vote_cap + more_votes, policy.flag_cap + more_flags)
    step.recap(raised)
    assert step.counted == counted
    assert dict(step.race.tally) == tally
    if isinstance(verdict, Won):
        assert step.verdict == verdict
    elif step.flags == 0 and policy.rule.most_votes is None:
        assert 1 <= len(step.wanted()) <= step.race.missing()


@settings(LAW, max_examples=100)
@given(policies(), outcomes, st.integers(0, 2**32), st.integers(0, 30), st.integers(0, 12))
def test_raising_a_cap_halfway_is_starting_with_it(policy, outcomes, arrival, halfway, more):
    """A step interrupted at any point and resumed under a higher cap ends as with that cap from the start."""
    raised = Policy(policy.rule, policy.vote_cap + more, policy.flag_cap)
    step, draw = opened(policy), random.Random(arrival)
    for turn in range(10_000):
        if turn == halfway:
            step.recap(raised)
        wanted = step.wanted()
        if not wanted:
            if turn >= halfway:
                break
            continue
        answer(step, draw.choice(wanted), outcomes)
    assert settled(step) == settled(play(raised, outcomes, None))
