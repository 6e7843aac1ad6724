"""The law of replies: no step is won by the votes of fewer replies than its policy requires, in any order of calls."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st
from replay_runs import call_of

from unerring.core.voting.policy import Policy, policy_from
from unerring.core.voting.race import AheadBy, Continue, FirstTo, Majority, Race, Won
from unerring.core.voting.step import OpenStep
from vote_lists import tell_all

LAW = settings(max_examples=300, deadline=None)
RULES = st.one_of(
    st.builds(AheadBy, st.integers(1, 4)),
    st.builds(FirstTo, st.integers(1, 4)),
    st.builds(Majority, st.integers(1, 7)),
)


def policies(min_replies):
    return st.builds(Policy, RULES, st.integers(10, 30), st.integers(2, 4), min_replies=min_replies)


def decided(policy, sizes, arrival=None):
    """A step whose samples come in calls of random sizes until it is decided, the calls, and each sample's choice.

    The calls of a round come in the order of their samples, or in a random one.
    """
    step, calls, said = OpenStep(0, policy), [], {}
    while isinstance(step.verdict, Continue):
        wanted = step.wanted()
        together = []
        while wanted:
            size = sizes.randint(1, 4)
            together.append(wanted[:size])
            wanted = wanted[size:]
        if arrival is not None:
            arrival.shuffle(together)
        for slots in together:
            for slot in slots:
                said[slot] = random.Random(f"{policy.vote_cap}:{slot}").choice(["a", "a", "b", None])
            for reply in call_of(step, slots, [(said[slot], None) for slot in slots]).replies:
                step.receive(reply, slots[0])
            calls.append(slots)
    return step, calls, said


@LAW
@given(policies(st.integers(1, 3)), st.randoms(use_true_random=False))
def test_a_winners_votes_come_from_as_many_replies_as_the_policy_requires(policy, chance):
    """With any calls in any order, a winner has enough replies, and wins by the rule as well."""
    step, calls, said = decided(policy, chance, chance)
    if isinstance(step.verdict, Won):
        winner = step.choice(step.verdict.choice)
        replies = [slots for slots in calls if any(said[slot] == winner for slot in slots)]
        assert len(replies) >= policy.replies_to_win
        first, second = [*sorted(step.race.tally.values(), reverse=True), 0][:2]
        assert policy.rule.lacking(first, second) == 0


@LAW
@given(policies(st.just(1)), st.randoms(use_true_random=False))
def test_where_one_reply_is_enough_a_step_is_the_race_over_its_samples(policy, chance):
    """With `min_replies` 1 a step is the race over its samples, as in journals from before this rule."""
    step, _, said = decided(policy, chance, chance)
    race = Race(policy.rule, policy.vote_cap)
    tell_all(race, [said[slot] for slot in sorted(said) if said[slot] is not None])
    assert race.tally == {step.choice(candidate): votes for candidate, votes in step.race.tally.items()}


@LAW
@given(policies(st.integers(1, 3)), st.randoms(use_true_random=False))
def test_the_order_of_arrival_never_matters(policy, chance):
    """The same calls give the same verdict and tally, in any order within a round."""
    seed = chance.randint(0, 10**6)
    one, _, _ = decided(policy, random.Random(seed))
    other, _, _ = decided(policy, random.Random(seed), chance)
    assert type(one.verdict) is type(other.verdict)
    tallies = [{step.choice(choice): votes for choice, votes in step.race.tally.items()} for step in (one, other)]
    assert tallies[0] == tallies[1]
    assert (one.asked, one.flags, one.rounds) == (other.asked, other.flags, other.rounds)


@LAW
@given(policies(st.integers(1, 3)))
def test_a_policy_is_read_back_and_an_older_one_requires_one_reply(policy):
    """The field is written only if it is not 1; without it a run is decided as before."""
    data = policy.to_json()
    assert ("min_replies" in data) == (policy.min_replies > 1)
    assert policy_from(data) == policy
    data.pop("min_replies", None)
    assert policy_from(data).min_replies == 1
    assert policy.replies_to_win <= policy.rule.lacking(0, 0)
