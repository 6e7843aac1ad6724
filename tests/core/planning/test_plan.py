"""Plans as they are shown: the paper's table, costs, and the costs of the same votes by other ways of asking."""

import json
from dataclasses import replace
from random import Random

import numpy as np
import pytest
from scipy.stats import binom

from pilots import one_line, simulated, strict_json
from tables import each
from unerring.core.planning.assumptions import measured_assumptions, stated_assumptions
from unerring.core.planning.costs import Price
from unerring.core.planning.plan import PLANNED_RULES, PlanRequest, plan_entry, plan_model, ranked_plans
from unerring.core.planning.races import PlannedJob, dissent_band, margin_plan
from unerring.errors import InputError, NoKCanHelp

MILLION = 2**20 - 1
PAPER = {  # 1 - p, dollars per million tokens in and out, tokens out; k and thousands of dollars of the paper
    "gpt-4.1-nano": (0.3571, 0.10, 0.4, 842, 29, 41.9),
    "gpt-4.1-mini, temperature 1.0": (0.0040, 0.40, 1.6, 580, 4, 4.9),
    "gpt-4.1-mini, temperature 0.1": (0.0022, 0.40, 1.6, 538, 3, 3.5),
    "o3-mini (low)": (0.0018, 1.10, 4.4, 535, 3, 9.4),
    "gpt-oss-20B": (0.0358, 0.05, 0.2, 1104, 6, 1.7),
}
MINI = stated_assumptions(0.9978, input_tokens=580, output_tokens=538)
MINI_PRICE = Price(0.40, 1.60)


# --- the paper's table


@each("row", PAPER.values(), ids=PAPER)
def test_a_plan_has_the_k_of_the_papers_table(row):
    """From a row's error rate, the plan and the paper's formula both have the table's k."""
    wrong, *_, k, _ = row
    data = plan_model(stated_assumptions(1.0 - wrong), PlannedJob(MILLION, 0.95)).json
    assert (data["plan"]["k"], data["paper"]["k"]) == (k, k)
    assert data["plan"]["success"] >= 0.95


@each("row", PAPER.values(), ids=PAPER)
def test_a_plan_costs_what_the_papers_table_says(row):
    """With 580 input tokens a call at list price, dollars are within 5 % of the paper's."""
    wrong, read, written, tokens, _, thousands = row
    assumed = stated_assumptions(1.0 - wrong, input_tokens=580, output_tokens=tokens)
    data = plan_model(assumed, PlannedJob(MILLION, 0.95), PlanRequest(price=Price(read, written))).json
    assert data["paper"]["dollars"] == pytest.approx(1000 * thousands, rel=0.05)
    assert data["plan"]["dollars"] == pytest.approx(1000 * thousands, rel=0.05)


def test_a_model_that_is_always_wrong_has_no_plan():
    """The paper's last row, llama-3.2-3B, is refused with the reason."""
    with pytest.raises(NoKCanHelp) as raised:
        plan_model(stated_assumptions(0.0), PlannedJob(MILLION, 0.95))
    assert "right with probability 0," in one_line(raised.value)


@each("wanted", [{"rule": "majority"}, {"concurrency": 0}, {"concurrency": -3}], ids=str)
def test_an_impossible_request_is_refused(wanted):
    """An unknown rule and less than one sample in flight are refused."""
    with pytest.raises(InputError):
        PlanRequest(**wanted)


def test_figures_given_by_hand_are_taken_in_their_range():
    """The share of samples without a flag is 1e-9 to 1, ends included; other values are refused."""
    assert stated_assumptions(0.9, 1e-9).v == 1e-9
    assert stated_assumptions(0.9, 1.0).v == 1.0
    for v in (0.0, 0.99e-9, 1.01):
        with pytest.raises(InputError, match="v is the share of samples without a red flag, from 1e-09 to 1"):
            stated_assumptions(0.9, v)


@each("p", [0.5 + 1e-15, 0.501, 1.0 - 2.0**-53, 1.0])
@each(("steps", "m"), [(1, 1), (10**6, 1), (10**18, 1), (10**18, 10**6), (10**18, 10**18)])
@each("target", [5e-324, 0.5, 1.0 - 2.0**-53])
def test_extreme_figures_have_a_plan_or_a_reason(p, steps, m, target):
    """P near 1/2 or near 1 and long chains have a plan or a reason, and all figures shown are numbers."""
    try:
        found = plan_model(
            stated_assumptions(p, 1e-9, 1e12, 1e12, 1e12),
            PlannedJob(steps, target, m),
            PlanRequest(price=Price(1e12, 1e12)),
        ).json
    except InputError as error:
        one_line(error)
    else:
        assert found["plan"]["success"] >= target * (1.0 - 1e-9)
        strict_json(json.dumps(found))


@each("rule", PLANNED_RULES)
@each("steps", [1, 2, 10, 10**15, 10**400], ids=["1", "2", "10", "10^15", "10^400"])
@each("target", [1e-17, 1e-9, 0.3, 0.5, 0.95, 1.0 - 2.0**-53])
def test_every_job_has_a_plan_or_a_reason(rule, steps, target):
    """Short chains with weak targets and long ones with strong targets have a plan that reaches it, or an error."""
    try:
        job = PlannedJob(steps, target)
        found = plan_model(stated_assumptions(0.9), job, PlanRequest(rule))
    except InputError as error:
        one_line(error)
    else:
        assert found.json["plan"]["success"] >= target * (1.0 - 1e-9)


# --- plans as they are shown


def test_an_unknown_price_is_unknown_and_not_nothing():
    """Without a price or token counts, all dollars of the plan are None."""
    for assumed, price in [
        (MINI, None),
        (stated_assumptions(0.9978), MINI_PRICE),
        (stated_assumptions(0.99, output_tokens=5), MINI_PRICE),
    ]:
        data = plan_model(assumed, PlannedJob(MILLION), PlanRequest(price=price)).json
        found = [data["plan"]["dollars"], data["plan"]["dollars_most"], data["paper"]["dollars"]]
        assert found + [way["dollars"] for way in data["ways"]] == [None] * (3 + len(data["ways"]))


def test_a_model_that_is_free_costs_nothing_whatever_its_tokens():
    """A price of 0 makes dollars 0, also if tokens are unknown."""
    data = plan_model(stated_assumptions(0.99), PlannedJob(1000), PlanRequest(price=Price(0.0, 0.0))).json
    assert (data["plan"]["dollars"], data["paper"]["dollars"]) == (0.0, 0.0)


def cheapest(data):
    return min(data["ways"], key=lambda way: way["dollars"])


def test_n_samples_a_prompt_and_a_batch_halve_the_papers_bill():
    """With the paper's figures of gpt-4.1-mini, its run of $3.5K is planned for at most half of that."""
    data = plan_model(MINI, PlannedJob(MILLION, 0.95), PlanRequest(price=MINI_PRICE)).json
    best = cheapest(data)
    assert (best["shared_prompt"], best["batch"]) == (True, True)
    assert best["dollars"] <= 3500.0 / 2.0
    assert data["plan"]["dollars"] == pytest.approx(3500.0, rel=0.05)


def runs(p, margin, steps, n, draw):
    """Errors and votes of n runs, from exact counts of how many races have each lead."""
    at = np.zeros((n, 2 * margin + 1), dtype=np.int64)
    at[:, margin] = steps
    lost, votes = np.zeros(n, dtype=np.int64), np.zeros(n, dtype=np.int64)
    while (undecided := at.sum(axis=1)).any():
        votes += undecided
        right = draw.binomial(at, p)
        wrong, at = at - right, np.zeros_like(at)
        at[:, 1:] += right[:, :-1]
        at[:, :-1] += wrong[:, 1:]
        lost += at[:, 0]
        at[:, 0] = at[:, -1] = 0
    return lost, votes


@each("rule", PLANNED_RULES)
def test_two_hundred_simulated_runs_at_half_the_cost_are_nearly_all_without_an_error(rule):
    """Of 200 planned runs of 1,048,575 steps, at least 95 % decide every step correctly. Seeded.

    How samples are asked for changes no vote, so the cheapest way has the races of its rule. By the exact chance of
    success, 0.989, fewer than 190 good runs come up for one seed in 10,000; the mean of the votes is within 5 standard
    errors of the plan's.
    """
    found = plan_model(MINI, PlannedJob(MILLION, 0.95), PlanRequest(rule, MINI_PRICE))
    lost, votes = runs(0.9978, found.races.rule.lacking(0, 0), MILLION, 200, np.random.default_rng(2025))
    assert (lost == 0).sum() >= 190
    assert binom.cdf(189, 200, found.json["plan"]["success"]) < 1e-4
    expected, error = found.json["plan"]["votes"], found.races.deviation * (MILLION / 200.0) ** 0.5
    assert abs(votes.mean() - expected) < 5.0 * error + 1e-6 * expected


def test_every_rule_with_a_plan_has_all_ways_of_asking():
    """These are plain, n samples a prompt, batch, and both; the first has the plan's own cost."""
    data = plan_model(MINI, PlannedJob(MILLION), PlanRequest(price=MINI_PRICE)).json
    assert [(way["shared_prompt"], way["batch"]) for way in data["ways"]] == 2 * [
        (False, False),
        (True, False),
        (False, True),
        (True, True),
    ]
    assert data["ways"][0]["dollars"] == data["plan"]["dollars"]
    assert data["ways"][2]["dollars"] == pytest.approx(data["plan"]["dollars"] / 2.0)


def test_the_requested_rule_is_the_plan():
    """The other rule is shown too; if only the other has a plan, the request is refused."""
    for rule in PLANNED_RULES:
        data = plan_model(MINI, PlannedJob(MILLION), PlanRequest(rule)).json
        assert data["plan"]["rule"].startswith(rule)
        others = [one for one in PLANNED_RULES if one != rule]
        assert [one["rule"].split()[0] for one in data["rules"]] == [rule, *others]
    with pytest.raises(NoKCanHelp, match="log-odds"):
        plan_model(replace(MINI, voter_bins=()), PlannedJob(MILLION), PlanRequest("log-odds"))
    assert len(plan_model(replace(MINI, voter_bins=()), PlannedJob(MILLION)).json["rules"]) == 1


def test_models_are_ranked_by_what_the_whole_job_costs():
    """A cheap model that errs often may cost more in total; unknown prices come last, by number of samples."""
    job = PlannedJob(MILLION)

    def plan_of(p, price, name):
        assumed = replace(stated_assumptions(p, input_tokens=580, output_tokens=538), model=name)
        return plan_model(assumed, job, PlanRequest(price=price))

    plans = [
        plan_of(0.6429, Price(0.10, 0.40), "cheap and often wrong"),
        plan_of(0.9, None, "unknown, more samples"),
        plan_of(0.9978, Price(0.40, 1.60), "dear and right"),
        plan_of(0.99, None, "unknown, fewer samples"),
    ]
    assert [one.json["model"] for one in ranked_plans(plans)] == [
        "dear and right",
        "cheap and often wrong",
        "unknown, fewer samples",
        "unknown, more samples",
    ]


def test_the_time_is_that_of_as_many_samples_as_were_asked_for():
    """With a latency given by hand, ten samples in flight take a tenth of the time of one."""
    assumed, job = stated_assumptions(0.99, latency=2.0), PlannedJob(1000)
    one, ten = (plan_model(assumed, job, PlanRequest(concurrency=n)).json for n in (1, 10))
    assert one["plan"]["hours"] == pytest.approx(one["plan"]["samples"]["expected"] * 2.0 / 3600.0)
    assert (ten["concurrency"], ten["plan"]["hours"]) == (10, pytest.approx(one["plan"]["hours"] / 10.0))


def test_no_more_samples_are_taken_to_be_as_fast_than_were_measured():
    """A latency measured with 8 samples in flight holds for at most 8, so the time is that of 8, not of 100."""
    assumed = replace(stated_assumptions(0.99, latency=2.0), at_once=8)
    several = [plan_model(assumed, PlannedJob(1000), PlanRequest(concurrency=n)).json for n in (None, 4, 8, 100)]
    assert [one["concurrency"] for one in several] == [8, 4, 8, 8]
    assert [one["plan"]["hours"] for one in several[2:]] == [several[0]["plan"]["hours"]] * 2


def test_a_journal_keeps_what_a_certificate_needs_of_a_plan():
    """It keeps rule, target, success, votes, the interval of every voter's p, and the band of dissent."""
    assumed, job = measured_assumptions(simulated(lambda _: [0.01], 2000, Random(8))), PlannedJob(100_000)
    races = margin_plan(assumed, job)
    kept = plan_entry(assumed, races, job)
    assert (kept["k"], kept["rule"], kept["steps"], kept["target"]) == (races.rule.k, races.rule.name, 100_000, 0.95)
    low, estimate, high = kept["p"]["sim"]
    assert low < estimate < high
    assert kept["dissent"] == list(dissent_band(assumed, races, job))
    assert kept["success"] >= 0.95
