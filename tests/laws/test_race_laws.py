"""The laws of a race, against a brute force written from the definition (Meyerson et al., arXiv:2511.09030)."""

import random
from collections import Counter
from fractions import Fraction
from itertools import combinations_with_replacement, count

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from unerring.core.voting.race import (
    AheadBy,
    Continue,
    FirstTo,
    LogOdds,
    Majority,
    Race,
    Rule,
    Undecided,
    Won,
    rule_named,
)
from unerring.core.voting.weights import VoterWeights, Weights
from vote_lists import tell_all

LAW = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
HEAVY = settings(LAW, max_examples=60)

CANDIDATES = "abcd"


def listed(elements, longest):
    """Lists of every length alike; by itself Hypothesis makes mostly short ones."""
    return st.integers(0, longest).flatmap(lambda size: st.lists(elements, min_size=size, max_size=size))


votes_lists = listed(st.sampled_from(CANDIDATES), 30) | listed(st.sampled_from("aaabbc"), 30)
short_lists = listed(st.sampled_from(CANDIDATES), 9)
caps = st.none() | st.integers(1, 25)


def rules(largest=5):
    numbers = st.integers(1, largest)
    return st.builds(AheadBy, numbers) | st.builds(FirstTo, numbers) | st.builds(Majority, numbers)


def log_odds(threshold, heaviest):
    """A log-odds rule with a threshold in nats, whose heaviest vote weighs so many millinats."""
    return LogOdds(threshold, Weights((), (("voter", VoterWeights((heaviest,), 0)),)))


thresholds = st.integers(1, 25).map(lambda number: number / 1000) | st.floats(0.0001, 0.025)
weighing_rules = st.builds(log_odds, thresholds, st.integers(1, 9))
weighed_lists = listed(st.tuples(st.sampled_from("aaabbcd"), st.integers(0, 9) | st.just(1)), 30)


def winner_by_definition(rule: Rule, tally):
    """The candidate that the rule's definition elects, or None. Written without looking at `lacking`."""
    number = Fraction(rule.name.split()[1])
    for candidate, votes in tally.items():
        others = [tally[other] for other in tally if other != candidate]
        match rule:
            case AheadBy() if votes >= number + max(others, default=0):
                return candidate
            case LogOdds() if votes >= 1000 * number + max(others, default=0):
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
    return outcome_of_weighed(rule, cap, [(vote, 1) for vote in votes])


def outcome_of_weighed(rule, cap, votes):
    """The same for votes given as (candidate, weight)."""
    scores = {}
    limit = limit_by_definition(rule, cap)
    for used, (vote, weight) in enumerate(votes, start=1):
        scores[vote] = scores.get(vote, 0) + weight
        winner = winner_by_definition(rule, scores)
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
    """The shortest continuation that ends the race, by breadth-first search, a new candidate's votes included."""
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
    tell_all(race, votes)
    assert outcome(race) == outcome_by_definition(rule, cap, votes)


@LAW
@given(rules(), caps, votes_lists)
def test_a_race_agrees_with_its_definition_after_every_vote(rule, cap, votes):
    """The verdict after each vote is the definition's for the votes so far."""
    race = Race(rule, cap)
    for counted, vote in enumerate(votes, start=1):
        assert race.tell(vote) == race.verdict
        assert outcome(race) == outcome_by_definition(rule, cap, votes[:counted])


@LAW
@given(rules(), caps, votes_lists, st.lists(st.integers(0, 6), max_size=12))
def test_how_votes_are_batched_never_changes_the_verdict(rule, cap, votes, sizes):
    """Any division of the votes into batches, empty ones included, gives the verdict and tally of one by one."""
    single, batched = Race(rule, cap), Race(rule, cap)
    for vote in votes:
        single.tell(vote)
    start = 0
    for size in [*sizes, len(votes)]:
        tell_all(batched, votes[start : start + size])
        start += size
    assert (batched.verdict, batched.tally) == (single.verdict, single.tally)


@LAW
@given(rules(), caps, st.lists(st.sampled_from(CANDIDATES), min_size=30, max_size=60))
def test_rounds_of_missing_votes_waste_none(rule, cap, votes):
    """Asking for exactly `missing()` votes at a time ends a race at the last vote of a round, never within one."""
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
    """A race with renamed candidates has the same course and the renamed winner."""
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
    """`missing()` equals the length of the shortest continuation that ends the race."""
    race = Race(rule, cap)
    tell_all(race, votes)
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
    """Two races with the same votes in another order, both open before the last, end alike."""
    shuffled = list(earlier)
    random.Random(seed).shuffle(shuffled)
    race, other = Race(rule, 11), Race(rule, 11)
    tell_all(race, earlier)
    tell_all(other, shuffled)
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
    """After the end neither verdict nor tally changes with further votes."""
    race = Race(rule, cap)
    tell_all(race, [*votes, *"aaaaaaaaaaaa"])
    verdict, tally = race.verdict, Counter(race.tally)
    assert not isinstance(verdict, Continue)
    tell_all(race, later)
    assert (race.verdict, race.tally) == (verdict, tally)


@LAW
@given(rules(), caps, votes_lists)
def test_a_higher_cap_never_changes_a_winner(rule, cap, votes):
    """A race won under a cap is won by the same candidate at the same vote under any higher one."""
    capped, free = Race(rule, cap), Race(rule)
    tell_all(capped, votes)
    tell_all(free, votes)
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
    """If the right choice beats all wrong votes pooled, it beats them scattered, no later."""
    pooled, split = Race(AheadBy(k)), Race(AheadBy(k))
    tell_all(pooled, ["R" if vote == "R" else "W" for vote in votes])
    tell_all(split, votes)
    if pooled.verdict == Won("R"):
        assert split.verdict == Won("R")
        assert split.votes <= pooled.votes


# --- votes that weigh


@LAW
@given(weighing_rules | rules(), caps, weighed_lists)
def test_a_race_of_weighed_votes_agrees_with_its_definition_after_every_vote(rule, cap, votes):
    """Scores are sums of weights, the cap counts votes, and each verdict is the definition's."""
    race = Race(rule, cap)
    for counted, (choice, weight) in enumerate(votes, start=1):
        assert race.tell(choice, weight) == race.verdict
        assert outcome(race) == outcome_of_weighed(rule, cap, votes[:counted])
    scores = Counter()
    for choice, weight in votes[: race.votes]:
        scores[choice] += weight
    assert (race.scores, race.tally) == (scores, Counter(choice for choice, _ in votes[: race.votes]))
    first, second, *_ = (*sorted(scores.values(), reverse=True), 0, 0)
    assert race.margin == first - second


@LAW
@given(st.integers(1, 5), st.integers(1, 9), caps, votes_lists)
def test_votes_of_equal_weight_are_counted_as_by_ahead_by_k(k, weight, cap, votes):
    """A threshold of k times the one weight of all votes is the paper's rule, at every vote."""
    plain, weighed = Race(AheadBy(k), cap), Race(log_odds(k * weight, 1000 * weight), cap)
    for vote in votes:
        assert weighed.tell(vote, 1000 * weight) == plain.tell(vote)
        assert weighed.tally == plain.tally


def could_be_over(race, further):
    """Whether so many further votes of the heaviest weight can end a race, also for a new candidate."""
    if race.cap is not None and race.votes + further >= race.cap:
        return True
    for given_to in combinations_with_replacement("abcdn", further):
        scores = Counter(race.scores)
        for candidate in given_to:
            scores[candidate] += race.rule.weights.heaviest
        if winner_by_definition(race.rule, scores) is not None:
            return True
    return False


@HEAVY
@given(weighing_rules, st.none() | st.integers(1, 6), weighed_lists)
def test_missing_is_the_fewest_further_votes_of_the_heaviest_weight(rule, cap, votes):
    """`missing()` votes of the heaviest weight can end the race, and fewer never can."""
    race = Race(rule, cap)
    for choice, weight in votes[:5]:
        race.tell(choice, weight)
    assume(race.missing() < 7)
    if isinstance(race.verdict, Continue):
        assert could_be_over(race, race.missing())
        assert not could_be_over(race, race.missing() - 1)
    else:
        assert race.missing() == 0


@LAW
@given(weighing_rules, caps, weighed_lists, st.permutations("wxyz"))
def test_renaming_candidates_of_weighed_votes_only_renames_the_winner(rule, cap, votes, names):
    """A race with renamed candidates has the same course and the renamed winner."""
    renamed = dict(zip(CANDIDATES, names, strict=True))
    plain, other = Race(rule, cap), Race(rule, cap)
    for choice, weight in votes:
        plain.tell(choice, weight)
        other.tell(renamed[choice], weight)
        assert plain.missing() == other.missing()
    kind, winner, used = outcome(plain)
    assert outcome(other) == (kind, renamed.get(winner), used)


@LAW
@given(weighing_rules, weighed_lists, st.tuples(st.sampled_from("abc"), st.integers(0, 9)), st.integers(0, 2**32))
def test_the_order_of_weighed_votes_never_decides(rule, earlier, last, seed):
    """Two races with the same votes in another order, both open before the last, end alike."""
    shuffled = list(earlier)
    random.Random(seed).shuffle(shuffled)
    race, other = Race(rule, 31), Race(rule, 31)
    for one, another in zip(earlier, shuffled, strict=True):
        race.tell(*one)
        other.tell(*another)
    if isinstance(race.verdict, Continue) and isinstance(other.verdict, Continue):
        assert race.tell(*last) == other.tell(*last)
        assert race.margin == other.margin


@LAW
@given(weighing_rules, weighed_lists, st.integers(0, 2**32))
def test_votes_that_weigh_nothing_move_nothing_but_the_number_of_votes(rule, votes, seed):
    """Votes of weight 0 anywhere change neither winner nor scores; only a cap counts them."""
    draw, mixed = random.Random(seed), []
    for vote in votes:
        mixed += [(draw.choice("abcd"), 0) for _ in range(draw.randrange(3))] + [vote]
    race, other = Race(rule), Race(rule)
    for vote in votes:
        race.tell(*vote)
    for vote in mixed:
        other.tell(*vote)
    assert (race.verdict, +Counter(race.scores), race.margin) == (other.verdict, +Counter(other.scores), other.margin)
    assert race.votes <= other.votes


@LAW
@given(thresholds, st.integers(1, 9))
def test_a_log_odds_rule_is_read_back_from_its_name(threshold, heaviest):
    """With the weights `rule_named` is the inverse of `name`, with the threshold rounded up to a millinat."""
    rule = log_odds(threshold, heaviest)
    assert rule_named(rule.name, rule.weights) == rule
    assert Fraction(threshold) <= Fraction(rule.name.split()[1]) + Fraction(1, 10**12)
    assert Fraction(rule.name.split()[1]) < Fraction(threshold) + Fraction(1, 999)
