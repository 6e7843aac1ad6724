"""Planning: the smallest margin that reaches a target, from figures given by hand and from a pilot."""

from collections import defaultdict
from dataclasses import replace
from math import ceil, inf, log, nan
from random import Random

import pytest
from hypothesis import given as for_all
from hypothesis import settings
from hypothesis import strategies as st

from pilots import blank, looked, observed, one_line, simulated
from tables import each
from unerring.core.planning.assumptions import measured_assumptions, stated_assumptions
from unerring.core.planning.calibration import LOGPROB_EDGES, REPEAT_VOTES, PilotStep
from unerring.core.planning.plan import plan_model
from unerring.core.planning.races import PlannedJob, dissent_band, margin_plan, weighted_plan
from unerring.core.planning.spread import ErrorSpread, StepKind, beta_spread
from unerring.core.planning.walk import walk_race
from unerring.core.voting import odds
from unerring.core.voting.race import AheadBy, LogOdds
from unerring.core.voting.weights import StepWeights
from unerring.errors import InputError, NoKCanHelp

MILLION = 2**20 - 1


# --- figures given by hand


@settings(max_examples=150, deadline=None)
@for_all(st.floats(0.55, 1.0), st.integers(3, 10**12), st.floats(0.01, 0.999), st.integers(1, 3))
def test_one_p_for_every_step_gives_the_papers_k(p, steps, target, m):
    """If p is the same on every step, the plan is the paper's formula, and its promises hold."""
    job, root = PlannedJob(steps, target, m), p ** (1.0 / m)
    found = margin_plan(stated_assumptions(root), job)
    k = odds.k_min(root, steps, target, m)
    fewer = min(k, found.rule.k)  # where the last digit decides
    assert found.rule.k == k or odds.chain_probability(root, fewer, steps, m) == pytest.approx(target, abs=1e-12)
    assert found.success(job) >= target * (1.0 - 1e-12)
    assert found.success(job) == pytest.approx(odds.chain_probability(root, found.rule.k, steps, m), rel=1e-9)
    assert found.votes == pytest.approx(odds.expected_votes(root, found.rule.k, m), rel=1e-6)


def test_perfect_votes_need_a_single_one():
    """At p = 1 the plan is k = 1: one vote a step, no dissent, success 1."""
    found = margin_plan(stated_assumptions(1.0), PlannedJob(MILLION))
    assert (found.rule, found.votes, found.dissent, found.success(PlannedJob(MILLION))) == (AheadBy(1), 1.0, 0.0, 1.0)


@each("p", [0.0, 0.3, 0.4, 0.4999999, 0.5])
@each("steps", [1, 1000, 10**12])
def test_half_or_less_has_no_plan(p, steps):
    """At p <= 1/2 no k can help; the message says so, why, and what to do."""
    with pytest.raises(NoKCanHelp) as raised:
        margin_plan(stated_assumptions(p), PlannedJob(steps))
    message = one_line(raised.value)
    assert message.startswith("no k can reach")
    assert "more than 1/2" in message
    assert "better model" in message


@each("p", [0.500001, 0.5001, 0.5000001])
def test_a_margin_too_large_is_not_blamed_on_a_pilot(p):
    """If figures were given by hand and k would be too large, the reason does not mention a pilot."""
    with pytest.raises(NoKCanHelp) as raised:
        margin_plan(stated_assumptions(p), PlannedJob(10**12))
    assert "pilot" not in one_line(raised.value)


@each(("p", "v"), [(-0.1, 1.0), (1.1, 1.0), (nan, 1.0), (0.9, 0.0), (0.9, 1e-300), (0.9, 1.1), (0.9, nan)])
def test_figures_that_are_no_probabilities_are_refused(p, v):
    """P and v given by hand are probabilities, and v is not 0."""
    with pytest.raises(InputError):
        stated_assumptions(p, v)


@each("name", ["input_tokens", "output_tokens", "latency"])
@each("value", [-1.0, nan, inf, 1e300])
def test_impossible_amounts_are_refused(name, value):
    """Tokens and latency given by hand are numbers from 0 to a plausible maximum."""
    with pytest.raises(InputError, match=name):
        stated_assumptions(0.9, **{name: value})


@each(
    "wanted",
    [
        {"steps": 0},
        {"steps": -1},
        {"steps": 1.5},
        {"steps": True},
        {"target": 0.0},
        {"target": 1.0},
        {"target": -0.5},
        {"target": nan},
        {"target": 95.0},
        {"m": 0},
        {"m": 1.5},
        {"m": 1001},
        {"steps": 10**18 + 1},
        {"steps": 10**400},
    ],
    ids=str,
)
def test_an_impossible_job_is_refused(wanted):
    """Steps and m are whole numbers from 1, and the target lies strictly between 0 and 1; the message is one line.

    A subtask is no longer than the chain, and a chain no longer than can be computed.
    """
    with pytest.raises(InputError) as raised:
        PlannedJob(**({"steps": 1000} | wanted))
    assert len(one_line(raised.value)) < 200


# --- races of a plan


def test_kinds_of_steps_are_averaged():
    """Error, votes and dissent of a plan are means over kinds of steps, and k is the smallest that suffices."""
    spread = ErrorSpread((StepKind(0.9, (0.001,)), StepKind(0.1, (0.2,))))
    assumed, job = replace(stated_assumptions(0.98), spread=spread, calm=spread), PlannedJob(10_000)
    found = margin_plan(assumed, job)
    k = found.rule.k

    def error(k):
        return 0.9 * odds.loss_probability(0.999, k) + 0.1 * odds.loss_probability(0.8, k)

    assert error(k) <= job.error < error(k - 1)
    assert found.error == pytest.approx(error(k))
    assert found.votes == pytest.approx(0.9 * odds.expected_votes(0.999, k) + 0.1 * odds.expected_votes(0.8, k))
    assert found.dissent == pytest.approx(1.0 - 0.9 * 0.999**k - 0.1 * (0.8**k + 0.2**k))


def test_steps_that_are_surely_right_take_k_votes():
    """The share that is missing from the kinds are steps without errors, which take k votes."""
    spread = ErrorSpread((StepKind(0.25, (0.1,)),))
    found = margin_plan(replace(stated_assumptions(0.975), spread=spread, calm=spread), PlannedJob(1000))
    k = found.rule.k
    assert found.votes == pytest.approx(0.25 * odds.expected_votes(0.9, k) + 0.75 * k)


@each("wrong", [(0.01, 0.02, 0.03), (0.001, 0.3), (0.05, 0.05, 0.4)])
def test_voters_who_take_turns_are_raced_as_they_are(wrong):
    """With several voters k is the smallest margin, from their number up, that suffices in their own races."""
    spread, job = ErrorSpread((StepKind(1.0, wrong),)), PlannedJob(100_000)
    assumed = replace(stated_assumptions(0.98), voters=tuple("abc"[: len(wrong)]), spread=spread, calm=spread)
    k = margin_plan(assumed, job).rule.k
    votes = [((1, 1.0 - q), (-1, q)) for q in wrong]

    def error(k):
        return walk_race(lambda number: votes[number % len(votes)], k).wrong

    smallest = next(k for k in range(len(wrong), 100) if error(k) <= job.error)
    assert smallest <= k <= smallest + 1 + smallest // 8


def test_a_share_of_steps_that_no_margin_decides_is_refused_where_it_is_too_large():
    """Steps with mostly wrong votes are lost at any k; a larger share than the target allows is refused."""
    few, many = (ErrorSpread((StepKind(1.0 - share, (0.01,)), StepKind(share, (0.8,)))) for share in (1e-8, 1e-5))
    job = PlannedJob(100_000)
    assert margin_plan(replace(stated_assumptions(0.99), spread=few, calm=few), job).success(job) >= 0.95
    with pytest.raises(NoKCanHelp):
        margin_plan(replace(stated_assumptions(0.99), spread=many, calm=many), job)


@each("p", [0.6, 0.9, 0.9978])
def test_practically_no_race_meets_the_cap_of_a_plan(p):
    """Races longer than the cap are far fewer than those that may be lost."""
    job = PlannedJob(100_000)
    found = margin_plan(stated_assumptions(p), job)
    still = walk_race(lambda _: ((1, p), (-1, 1.0 - p)), found.rule.k, negligible=0.0, most=found.cap).undecided
    assert still <= 0.02 * job.error


def test_kinds_of_steps_that_are_too_rare_count_as_lost():
    """Steps too rare to be computed are counted as wrong."""
    spread = ErrorSpread((StepKind(1.0 - 1e-9, (0.01,)), StepKind(1e-9, (1e-6,))))
    found = margin_plan(replace(stated_assumptions(0.99), spread=spread, calm=spread), PlannedJob(100_000))
    assert found.error == pytest.approx(odds.loss_probability(0.99, found.rule.k) + 1e-9, rel=1e-6)


def test_a_long_chain_is_planned_for_its_rarest_steps():
    """Steps that a million steps would not contain are planned for if the chain is longer."""
    spread = ErrorSpread((StepKind(1.0 - 1e-13, (0.001,)), StepKind(1e-13, (0.4,))))
    job = PlannedJob(10**15)
    found = margin_plan(replace(stated_assumptions(0.999), spread=spread, calm=spread), job)
    assert found.rule.k > odds.k_min(0.999, job.steps, 0.95) + 5
    assert 1e-13 * odds.loss_probability(0.6, found.rule.k) <= job.error


def test_a_run_that_goes_as_planned_stays_in_the_band_of_dissent():
    """The band goes from the dissent of the easiest possible steps to that of the planned ones."""
    calm, hard = beta_spread([0.005], 100.0), beta_spread([0.02], 100.0)
    assumed, job = replace(stated_assumptions(0.99), spread=hard, calm=calm), PlannedJob(10_000)
    found = margin_plan(assumed, job)
    low, high = dissent_band(assumed, found, job)
    assert 0.0 < low < high == found.dissent
    kinds = calm.kinds
    agreed = sum(one.share * ((1.0 - one.wrong[0]) ** found.rule.k + one.wrong[0] ** found.rule.k) for one in kinds)
    assert low == pytest.approx(1.0 - agreed - (1.0 - sum(one.share for one in kinds)))


# --- the rule of log-odds


@each("p", [0.9, 0.9642, 0.9978, 1.0])
def test_votes_that_all_weigh_alike_need_the_margin_of_the_paper(p):
    """Without log-probabilities the threshold takes exactly k votes."""
    job = PlannedJob(MILLION)
    found, margin = weighted_plan(stated_assumptions(p), job), margin_plan(stated_assumptions(p), job)
    assert isinstance(found.rule, LogOdds)
    assert found.rule.lacking(0, 0) == margin.rule.k
    assert found.success(job) >= 0.95
    assert found.votes == pytest.approx(margin.votes, rel=1e-6)
    assert found.deviation == pytest.approx(margin.deviation, rel=1e-6)
    assert found.dissent == pytest.approx(margin.dissent, rel=1e-6)


def test_a_higher_threshold_that_changes_nothing_is_not_the_last_one():
    """If a slightly higher threshold needs no more votes, a still higher one is tried."""
    assumed, job = (
        measured_assumptions(simulated(lambda _: [0.01] * 3, 20_000, Random(1), voters=3)),
        PlannedJob(1000, 0.99),
    )
    assert weighted_plan(assumed, job).success(job) >= 0.99


def test_the_rule_of_log_odds_reaches_where_the_margin_does():
    """Votes of equal weight are only counted, so a model with a k has a threshold too."""
    job = PlannedJob(MILLION)
    found = weighted_plan(stated_assumptions(0.6429), job)
    assert found is not None
    assert found.success(job) >= 0.95


def sure_and_unsure(samples, chance, wrong=0.02, voters=1):
    """A pilot of voters whose right votes mostly have high log-probabilities, and whose wrong ones mostly do not."""
    calibration = blank(voters, asked_for=samples)

    def draw(voter):
        erred = chance.random() < wrong
        sure = chance.random() < (0.05 if erred else 0.9)
        return observed("w" if erred else "r", voter, logprob=-2e-5 if sure else -0.5)

    while calibration.samples < samples:
        drawn = [draw(voter) for voter in range(voters)]
        if any(one.choice == "w" for one in drawn):
            drawn += [draw(voter) for _ in range(REPEAT_VOTES) for voter in range(voters)]
        calibration.add(PilotStep(calibration.steps, tuple(drawn), "r"))
    return calibration


def test_sure_votes_count_more_and_fewer_are_needed():
    """If log-probabilities separate right votes from wrong ones, weighing takes fewer votes than counting."""
    assumed = measured_assumptions(sure_and_unsure(60_000, Random(5), voters=3))
    job = PlannedJob(MILLION)
    weighed, counted = weighted_plan(assumed, job), margin_plan(assumed, job)
    assert weighed.success(job) >= 0.95
    assert weighed.votes < counted.votes - 0.5


def lost(rule, bins, q, votes):
    """The exact probability that a wrong choice wins within so many votes, if a voter is wrong with q.

    Courses are distinguished by the lead of the right choice and by what the voter has said.
    """
    open_, losses = {(0, ()): 1.0}, 0.0
    for _ in range(votes):
        after = defaultdict(float)
        for (lead, said), chance in open_.items():
            for place, logprob in enumerate([-9.0, *LOGPROB_EDGES]):
                for right, share in ((True, (1.0 - q) * bins.right[place]), (False, q * bins.wrong[place])):
                    weighing = StepWeights(rule.weights, dict(said))
                    weight = weighing.weigh("sim", logprob, int(right))
                    reached = lead + weight if right else lead - weight
                    if rule.lacking(abs(reached), 0):
                        after[reached, tuple(weighing.said.items())] += chance * share
                    elif reached < 0:
                        losses += chance * share
        open_ = {course: chance for course, chance in after.items() if chance > 1e-12}
    return losses


def test_the_plan_of_a_weighted_race_errs_on_the_safe_side():
    """With exact weights instead of the coarse grid, races are lost no more often than the plan says."""
    assumed, job = measured_assumptions(sure_and_unsure(5000, Random(6), wrong=0.05)), PlannedJob(1000)
    found = weighted_plan(assumed, job)
    assert found.error <= job.error
    kinds = [(kind.share, kind.wrong[0]) for kind in assumed.spread.kinds if kind.share > 1e-7]
    error = sum(share * lost(found.rule, assumed.voter_bins[0], q, 14) for share, q in kinds)
    assert 0.0 < error <= found.error


def test_votes_that_weigh_nothing_make_no_plan():
    """No threshold is planned for subtasks of several steps, without bins, or if no vote has a weight."""
    assert weighted_plan(stated_assumptions(0.9), PlannedJob(1000, m=2)) is None
    assert weighted_plan(replace(stated_assumptions(0.9), voter_bins=()), PlannedJob(1000)) is None
    assert weighted_plan(stated_assumptions(0.5), PlannedJob(1000)) is None


# --- what a pilot leaves open


def test_a_pilot_is_planned_for_on_the_safe_side():
    """The planned voter errs more often than the measured one, and the planned minimum of dissent is lower."""
    calibration = simulated(lambda _: [0.01], 4000, Random(1))
    assumed = measured_assumptions(calibration)
    estimate = 1.0 - assumed.p[0].estimate
    assert assumed.calm.mean_wrong(0) < estimate < assumed.spread.mean_wrong(0)
    assert assumed.spread.mean_wrong(0) < 1.0 - assumed.p[0].low
    assert margin_plan(assumed, PlannedJob(MILLION)).rule.k > odds.k_min(assumed.mean_p, MILLION, 0.95)


def test_a_longer_pilot_needs_no_more_votes():
    """With more samples k falls to what the estimate itself needs, or one above."""
    ks = [
        margin_plan(measured_assumptions(simulated(lambda _: [0.01], samples, Random(2))), PlannedJob(MILLION)).rule.k
        for samples in (1000, 4000, 40_000)
    ]
    assert ks == sorted(ks, reverse=True)
    assert ks[-1] <= odds.k_min(0.99, MILLION, 0.95) + 1


def test_flags_make_samples_dearer_and_are_taken_at_their_worst():
    """A plan uses the lower bound of v, so that costs are rather too high."""
    assumed = measured_assumptions(simulated(lambda _: [0.01], 3000, Random(3), v=0.9))
    assert 0.87 < assumed.v < 0.9


@each("empty", [blank(), blank(2)])
def test_a_calibration_without_votes_cannot_be_planned_with(empty):
    """An empty calibration is refused in one line that asks for more samples."""
    with pytest.raises(InputError) as raised:
        measured_assumptions(empty)
    assert "more samples" in one_line(raised.value)


def test_a_calibration_of_flags_alone_cannot_be_planned_with():
    """If every first sample was flagged, the cost of a vote has no bound, though there are votes."""
    calibration = blank()
    for step in range(50):
        calibration.add(looked(step, None, "r"))
    with pytest.raises(InputError, match="flagged") as raised:
        measured_assumptions(calibration)
    one_line(raised.value)


def test_a_voter_without_votes_cannot_be_planned_with():
    """The same holds if one of several voters was always flagged."""
    calibration = blank(2)
    calibration.add(looked(0, "r", None, None, None, voters=2))
    with pytest.raises(InputError, match="votes"):
        measured_assumptions(calibration)


def test_a_step_that_is_always_wrong_forbids_a_long_chain():
    """With a step that was wrong all 25 times there is no margin, and the reason counts such steps."""
    calibration = simulated(lambda _: [0.001], 3000, Random(4))
    calibration.add(looked(calibration.steps, *["w"] * (REPEAT_VOTES + 1)))
    with pytest.raises(NoKCanHelp) as raised:
        margin_plan(measured_assumptions(calibration), PlannedJob(100_000))
    message = one_line(raised.value)
    assert "the most likely answer is wrong" in message
    assert "other models" in message


def test_a_step_hard_for_one_voter_is_carried_by_the_others():
    """The same step of one voter among three leaves a plan: the others outvote it."""
    calibration = simulated(lambda _: [0.001] * 3, 9000, Random(5), voters=3)
    calibration.add(looked(calibration.steps, *"wrr" * (REPEAT_VOTES + 1), voters=3))
    job = PlannedJob(100_000)
    assert margin_plan(measured_assumptions(calibration), job).success(job) >= 0.95
    with pytest.raises(NoKCanHelp):
        margin_plan(measured_assumptions(calibration.only(0)), job)


def test_a_plan_has_a_bound_on_pathological_steps():
    """A plan has an upper bound on steps whose most likely answer is wrong, though the pilot met none."""
    data = plan_model(measured_assumptions(simulated(lambda _: [0.01], 2000, Random(6))), PlannedJob(100_000)).json
    assert data["pathological"]["share"] == 0.0
    assert 100.0 < data["pathological"]["steps_at_most"] < 1000.0


def test_notes_say_how_the_pilot_judged():
    """A plan has a note if the pilot was judged by votes, walked the chain, or had several voters."""
    plain = simulated(lambda _: [0.01], 500, Random(7))
    assert measured_assumptions(plain).notes == ()
    plain.judged_by, plain.walked = "votes", True
    assert len(measured_assumptions(plain).notes) == 2
    assert len(measured_assumptions(simulated(lambda _: [0.01, 0.01], 500, Random(7), voters=2)).notes) == 1


def test_the_error_of_a_job_is_what_one_step_may_have():
    """The error of one step that just reaches the target is 1 - t^(m/s), exact for long chains."""
    assert PlannedJob(1, 0.95).error == pytest.approx(0.05)
    assert PlannedJob(10**12, 0.95).error == pytest.approx(-log(0.95) / 10**12, rel=1e-9)
    assert PlannedJob(100, 0.95, m=10).error == PlannedJob(10, 0.95).error
    assert ceil(PlannedJob(100, m=3).subtasks) == 34
