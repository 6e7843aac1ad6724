"""The laws of a race, against a brute force written from the definition (Meyerson et al., arXiv:2511.09030)."""

import random
from collections import Counter
from itertools import count

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from unerring.core.race import AheadBy, Continue, FirstTo, Majority, Race, Rule, Undecided, Won, rule_named

LAW = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
HEAVY = settings(LAW, max_examples=60)

CANDIDATES = "abcd"


def listed(elements, longest):
    """Lists of every length alike; left to itself Hypothesis makes mostly short ones."""
    return st.integers(0, longest).flatmap(lambda size: st.lists(elements, min_size=size, max_size=size))


votes_lists = listed(st.sampled_from(CANDIDATES), 30) | listed(st.sampled_from("aaabbc"), 30)
short_lists = listed(st.sampled_from(CANDIDATES), 9)
caps = st.none() | st.integers(1, 25)


def rules(largest=5):
    numbers = st.integers(1, largest)
    return st.builds(AheadBy, numbers) | st.builds(FirstTo, numbers) | st.builds(Majority, numbers)


def winner_by_definition(rule: Rule, tally):
    """The candidate that the rule's sentence elects, or None. Written without looking at `lacking`."""
    number = int(rule.name.split()[1])
    for candidate, votes in tally.items():
        others = [tally[other] for other in tally if other != candidate]
        match rule:
            case AheadBy() if votes >= number + max(others, default=0):
                return candidate
            case FirstTo() if votes >= number:
                return candidate
            case Majority() if 2 * votes > number:
                return candidate
    return None


def limit_by_definition(rule, cap):
    limits = [cap] if cap is not None else []
    if isinstance(rule, Majority):
        limits.append(rule.n)
    return min(limits, default=None)


def outcome_by_definition(rule, cap, votes):
    """("won", candidate, votes used), ("undecided", None, votes used), or ("open", None, votes)."""
    tally = {}
    limit = limit_by_definition(rule, cap)
    for used, vote in enumerate(votes, start=1):
        tally[vote] = tally.get(vote, 0) + 1
        winner = winner_by_definition(rule, tally)
        if winner is not None:
            return "won", winner, used
        if limit is not None and used >= limit:
            return "undecided", None, used
    return "open", None, len(votes)


def outcome(race):
    match race.verdict:
        case Won(choice):
            return "won", choice, race.votes
        case Undecided(votes):
            return "undecided", None, votes
        case Continue():
            return "open", None, race.votes


def fewest_to_end(rule, cap, tally):
    """Breadth-first over every continuation, a newcomer's votes included: the shortest that ends the race."""
    limit = limit_by_definition(rule, cap)

    def over(counts):
        named = dict(enumerate(counts))
        return winner_by_definition(rule, named) is not None or (limit is not None and sum(counts) >= limit)

    level = {(*sorted(tally.values()), 0)}
    for further in count():
        if any(over(tuple(votes for votes in counts if votes)) for counts in level):
            return further
        level = {
            tuple(sorted((*counts[:i], counts[i] + 1, *counts[i + 1 :], 0)))
            for counts in level
            for i in range(len(counts))
        }
    raise AssertionError("unreachable")


@LAW
@given(rules(), caps, votes_lists)
def test_a_race_agrees_with_its_definition(rule, cap, votes):
    """On any list of votes a race ends as the definition says, at the same vote, with the same winner."""
    race = Race(rule, cap)
    race.tell_all(votes)
    assert outcome(race) == outcome_by_definition(rule, cap, votes)


@LAW
@given(rules(), caps, votes_lists)
def test_a_race_agrees_with_its_definition_after_every_vote(rule, cap, votes):
    """Each vote's own verdict is the definition's for the votes so far."""
    race = Race(rule, cap)
    for told, vote in enumerate(votes, start=1):
        assert race.tell(vote) == race.verdict
        assert outcome(race) == outcome_by_definition(rule, cap, votes[:told])


@LAW
@given(rules(), caps, votes_lists, st.lists(st.integers(0, 6), max_size=12))
def test_how_votes_are_batched_never_changes_the_verdict(rule, cap, votes, sizes):
    """Any cutting of the votes into batches, empty ones included, gives verdict and tally of one by one."""
    single, batched = Race(rule, cap), Race(rule, cap)
    for vote in votes:
        single.tell(vote)
    start = 0
    for size in [*sizes, len(votes)]:
        batched.tell_all(votes[start : start + size])
        start += size
    assert (batched.verdict, batched.tally) == (single.verdict, single.tally)


@LAW
@given(rules(), caps, st.lists(st.sampled_from(CANDIDATES), min_size=30, max_size=60))
def test_rounds_of_missing_votes_waste_none(rule, cap, votes):
    """Asking for exactly `missing()` votes at a time ends a race on the last vote of a round, never inside one."""
    race = Race(rule, cap)
    start = 0
    while (missing := race.missing()) and start + missing <= len(votes):
        for vote in votes[start : start + missing]:
            assert isinstance(race.verdict, Continue)
            race.tell(vote)
        start += missing
    assert race.votes == start
    assert outcome(race) == outcome_by_definition(rule, cap, votes[:start])


@LAW
@given(rules(), caps, votes_lists, st.permutations("wxyz"))
def test_renaming_candidates_only_renames_the_winner(rule, cap, votes, names):
    """A race between renamed candidates runs alike and ends with the renamed winner."""
    renamed = dict(zip(CANDIDATES, names, strict=True))
    plain, other = Race(rule, cap), Race(rule, cap)
    for vote in votes:
        plain.tell(vote)
        other.tell(renamed[vote])
        assert plain.missing() == other.missing()
    kind, winner, used = outcome(plain)
    assert outcome(other) == (kind, renamed.get(winner), used)


@HEAVY
@given(rules(4), st.none() | st.integers(1, 12), short_lists)
def test_missing_is_the_fewest_further_votes_that_could_end_the_race(rule, cap, votes):
    """`missing()` equals the shortest continuation, of all there are, after which the race is over."""
    race = Race(rule, cap)
    race.tell_all(votes)
    if isinstance(race.verdict, Continue):
        assert race.missing() == fewest_to_end(rule, cap, race.tally)
    else:
        assert race.missing() == 0


@LAW
@given(rules(), caps, votes_lists)
def test_an_open_race_is_missing_at_least_one_vote_and_a_vote_saves_at_most_one(rule, cap, votes):
    """`missing()` is positive exactly while the race is open, and no vote lowers it by more than one."""
    race = Race(rule, cap)
    for vote in votes:
        before = race.missing()
        race.tell(vote)
        assert (race.missing() > 0) is isinstance(race.verdict, Continue)
        assert race.missing() >= before - 1


@LAW
@given(rules(9), listed(st.sampled_from("ab"), 10), st.sampled_from("abc"), st.integers(0, 2**32))
def test_insertion_order_never_decides(rule, earlier, last, seed):
    """Two races with the same votes in another order, both still open before the last, end alike."""
    shuffled = list(earlier)
    random.Random(seed).shuffle(shuffled)
    race, other = Race(rule, 11), Race(rule, 11)
    race.tell_all(earlier)
    other.tell_all(shuffled)
    if isinstance(race.verdict, Continue) and isinstance(other.verdict, Continue):
        assert race.tell(last) == other.tell(last)


@LAW
@given(rules(), caps, votes_lists)
def test_ties_never_decide(rule, cap, votes):
    """A race in which two candidates lead together has no winner."""
    race = Race(rule, cap)
    for vote in votes:
        race.tell(vote)
        leaders = [tally for tally in race.tally.values() if tally == max(race.tally.values())]
        if len(leaders) > 1:
            assert not isinstance(race.verdict, Won)


@LAW
@given(rules(), st.integers(1, 12), votes_lists, votes_lists)
def test_a_race_that_is_over_counts_no_more_votes(rule, cap, votes, later):
    """After the end neither verdict nor tally changes, whatever is told."""
    race = Race(rule, cap)
    race.tell_all([*votes, *"aaaaaaaaaaaa"])
    verdict, tally = race.verdict, Counter(race.tally)
    assert not isinstance(verdict, Continue)
    race.tell_all(later)
    assert (race.verdict, race.tally) == (verdict, tally)


@LAW
@given(rules(), caps, votes_lists)
def test_a_higher_cap_never_changes_a_winner(rule, cap, votes):
    """A race won under a cap is won by the same candidate at the same vote under any higher one."""
    capped, free = Race(rule, cap), Race(rule)
    capped.tell_all(votes)
    free.tell_all(votes)
    if isinstance(capped.verdict, Won):
        assert outcome(free) == outcome(capped)


@LAW
@given(rules(40))
def test_a_rule_is_read_back_from_its_name(rule):
    """`rule_named` is the inverse of `name`."""
    assert rule_named(rule.name) == rule


@LAW
@given(st.integers(1, 5), listed(st.sampled_from("RRRR112233"), 40))
def test_scattering_the_wrong_votes_never_takes_a_win_from_the_right_choice(k, votes):
    """Where the right choice beats all wrong votes pooled, it beats them apart, and no later."""
    pooled, split = Race(AheadBy(k)), Race(AheadBy(k))
    pooled.tell_all("R" if vote == "R" else "W" for vote in votes)
    split.tell_all(votes)
    if pooled.verdict == Won("R"):
        assert split.verdict == Won("R")
        assert split.votes <= pooled.votes
