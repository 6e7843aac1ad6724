"""Patterns of votes by voter, kept in bounded memory."""

import random

from tables import each
from unerring.core.certificate.vote_patterns import (
    ALL_VOTERS,
    MAX_EXAMPLES,
    MAX_PATTERNS,
    MAX_POOLED,
    MAX_SEQUENCES,
    VotePatterns,
    VoterTally,
    cast_votes,
    margin_of,
    pattern_of,
    pooled,
)
from unerring.core.journal.decided_step import DecidedStep
from unerring.core.journal.entries import Reply
from unerring.core.voting.redflag import FlagKind
from unerring.core.voting.sample import Finish, Usage


def decided(votes, step=0, winner="a", rounds=1):
    """A step with these votes as (voter, choice), in order; None is a flagged sample."""
    replies, first, tally = [], {}, {}
    for slot, (voter, choice) in enumerate(votes):
        flag = FlagKind.MALFORMED if choice is None else None
        replies.append(Reply(step, slot, "", first.get(choice, choice), flag, Usage(), Finish.STOP, None, voter))
        if choice is not None:
            first.setdefault(choice, slot)
            tally[choice] = tally.get(choice, 0) + 1
    flags = len(votes) - sum(tally.values())
    return DecidedStep(step, winner, tuple(sorted(tally.values(), reverse=True)), flags, rounds, tuple(replies))


def alternating(text, voters=3):
    """Votes by voters in rotation, one a letter."""
    return [(slot % voters, choice) for slot, choice in enumerate(text)]


def test_a_pattern_counts_each_voters_votes():
    """For each voter it has votes for the winner, for the runner-up and for the rest, without flagged samples."""
    votes = [(0, "a"), (1, "b"), (2, None), (0, "a"), (1, "b"), (2, "c"), (0, "a"), (2, "a"), (2, "a")]
    assert pattern_of(decided(votes)) == (VoterTally(0, 3, 0, 0), VoterTally(1, 0, 2, 0), VoterTally(2, 2, 0, 1))


def test_the_winner_is_the_choice_not_the_most_voted():
    """If votes are weighed, the winner may have fewer votes than the runner-up; the margin is then negative."""
    pattern = pattern_of(decided([(0, "b"), (1, "a"), (2, "b")], winner="a"))
    assert pattern == (VoterTally(0, 0, 1, 0), VoterTally(1, 1, 0, 0), VoterTally(2, 0, 1, 0))
    assert margin_of(pattern) == -1


def test_a_reference_may_point_forward():
    """The sample with the choice's text may have a higher number than one that refers to it, if it came first."""
    step = decided([(0, "a"), (1, "a"), (2, "b")])
    refers, spells, other = step.replies
    swapped = (refers._replace(choice=1), spells._replace(choice="a"), other)
    forward = DecidedStep(0, "a", (2, 1), 0, 1, swapped)
    assert pattern_of(forward) == pattern_of(step)


def test_steps_of_the_same_pattern_are_counted_together():
    """The order of the voters makes no difference."""
    patterns = VotePatterns()
    for votes in ([(0, "a"), (1, "a")], [(1, "a"), (0, "a")], [(0, "a"), (1, None), (1, "a")]):
        patterns.add(decided(votes))
    patterns.add(decided([(0, "a"), (1, "b"), (0, "a")]))
    patterns.add(decided([(1, "b"), (0, "a"), (0, "a")]))
    assert patterns.counted() == {
        (VoterTally(0, 1, 0, 0), VoterTally(1, 1, 0, 0)): 3,
        (VoterTally(0, 2, 0, 0), VoterTally(1, 0, 1, 0)): 2,
    }


def test_shares_are_of_votes_that_could_be_contradicted():
    """Votes and dissents are counted by voter, on steps with two votes or more."""
    patterns = VotePatterns()
    for text in ("aaa", "aba", "a", "abcaa"):
        patterns.add(decided(alternating(text)))
    assert patterns.shares() == {0: (0, 4), 1: (2, 4), 2: (1, 3)}


def test_a_step_without_votes_is_left_out():
    """A step whose samples are not kept has no pattern."""
    patterns = VotePatterns()
    patterns.add(DecidedStep(0, "a", (3,), 0, 1, ()))
    assert patterns.counted() == {}


def noisy(seed, steps, voters=4):
    """Steps with many different patterns of votes."""
    draw = random.Random(seed)
    for step in range(steps):
        votes = [(draw.randrange(voters), draw.choice("aaabbc")) for _ in range(draw.randrange(2, 40))]
        yield decided([*votes, *((0, "a") for _ in votes)], step)


def test_dissents_are_counted_exactly():
    """Votes and dissents of each voter are exact, also if patterns are pooled."""
    steps = [*noisy(4, 1500), *(decided([(int(digit), "a") for digit in f"{step:b}"], step) for step in range(500))]
    steps += [decided([(voter % 7, "a")], voter) for voter in range(70)]  # single votes, once no sequence has room
    patterns, against, votes = VotePatterns(), [0] * 7, [0] * 7
    for step in steps:
        patterns.add(step)
        for vote in step.cast:
            votes[vote.voter] += 1
            against[vote.voter] += vote.candidate != step.winner
    assert patterns.dissents() == {voter: (against[voter], votes[voter]) for voter in range(7)}


def test_there_are_never_more_than_512_patterns():
    """For any votes memory stays bounded, and no step is lost."""
    patterns = VotePatterns()
    for step in noisy(1, 2000):
        patterns.add(step)
    for step in range(500):  # and as many sequences of voters without dissent
        patterns.add(decided([(int(digit), "a") for digit in f"{step:b}"], step))
    assert sum(patterns.counted().values()) == 2500
    assert len(patterns.counted()) <= MAX_SEQUENCES + MAX_PATTERNS + MAX_POOLED == 512
    assert sum(map(len, patterns.examples.values())) <= 512 * MAX_EXAMPLES


def test_a_pattern_beyond_the_bound_is_never_taken_for_a_surer_one():
    """With too many patterns, steps are pooled over voters, then counted as the nearest one of no larger margin."""
    patterns = VotePatterns()
    for step in noisy(2, 1500):
        patterns.add(step)
    before = patterns.counted()
    assert patterns.pooled_steps > 0
    added = [
        step
        for step in noisy(3, 200)
        if pattern_of(step) not in before and pooled(pattern_of(step)) not in before and len(step.tally) > 1
    ]
    assert added
    for step in added:
        known, votes = patterns.counted(), cast_votes(pattern_of(step))
        pools = {pattern: cast_votes(pattern) for pattern in known if pattern[0].voter == ALL_VOTERS}
        assert len(pools) == MAX_POOLED
        patterns.add(step)
        (counted_as,) = [pattern for pattern, count in patterns.counted().items() if count != known.get(pattern, 0)]
        far = {pattern: sum(abs(a - b) for a, b in zip(votes, cast, strict=True)) for pattern, cast in pools.items()}
        no_surer = [pattern for pattern in pools if margin_of(pattern) <= margin_of(pattern_of(step))] or list(pools)
        assert counted_as in no_surer
        assert far[counted_as] == min(far[pattern] for pattern in no_surer)


def test_pooling_keeps_the_number_of_votes():
    """Pooling keeps the number of votes for winner, runner-up and others."""
    pattern = (VoterTally(0, 3, 1, 0), VoterTally(2, 1, 0, 2))
    assert pooled(pattern) == (VoterTally(ALL_VOTERS, 4, 1, 2),)
    assert cast_votes(pooled(pattern)) == cast_votes(pattern) == (4, 1, 2)


@each(
    ("one", "other"),
    [({"rounds": 3}, {"rounds": 2}), ({"flags": 2}, {"flags": 1})],
)
def test_the_most_doubtful_steps_of_a_pattern_are_kept(one, other):
    """More rounds come first, then more flags."""

    def made(rounds=1, flags=0, step=5):
        return decided([*[(0, None)] * flags, *alternating("aba")], step, rounds=rounds)

    patterns = VotePatterns()
    for number in range(MAX_EXAMPLES - 1):
        patterns.add(made(rounds=9, flags=9, step=number + 10))
    for step in (made(**other), made(**one), made(**other)):
        patterns.add(step)
    (kept,) = patterns.examples.values()
    worst = min(kept)
    expected = made(**one)
    assert (worst.rounds, worst.flags, worst.step) == (expected.rounds, expected.flags, expected.step)


def test_of_equally_doubtful_steps_the_first_are_kept():
    """Of equal steps the first ten stay."""
    patterns = VotePatterns()
    for step in range(30):
        patterns.add(decided(alternating("abaa"), step))
    (kept,) = patterns.examples.values()
    assert sorted(example.step for example in kept) == list(range(MAX_EXAMPLES))


def test_a_unanimous_step_is_an_example_only_with_a_flag():
    """Of unanimous steps, which are nearly all, only those with a flagged sample are kept as examples."""
    patterns = VotePatterns()
    for step in range(50):
        patterns.add(decided([(0, "a"), (1, "a")], step))
    assert patterns.examples == {}
    patterns.add(decided([(0, "a"), (1, None), (1, "a")], 50))
    assert [[example.step for example in kept] for kept in patterns.examples.values()] == [[50]]
