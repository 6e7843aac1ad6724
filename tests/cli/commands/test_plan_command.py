"""`unerring plan`: its figures for numbers given or measured, and what it refuses."""

import json

import pytest
from command_runs import PILOT

from pilots import strict_json
from unerring.api.calibration.calibration_files import read_calibration
from unerring.core.voting import odds

MILLION = 2**20 - 1
ROWS = {  # 1 - p, dollars per million tokens in and out, tokens out; k and thousands of dollars of the paper's table
    "gpt-4.1-nano": (0.3571, 0.10, 0.4, 842, 29, 41.9),
    "gpt-4.1-mini, temperature 1.0": (0.0040, 0.40, 1.6, 580, 4, 4.9),
    "gpt-4.1-mini, temperature 0.1": (0.0022, 0.40, 1.6, 538, 3, 3.5),
    "o3-mini (low)": (0.0018, 1.10, 4.4, 535, 3, 9.4),
    "gpt-oss-20B": (0.0358, 0.05, 0.2, 1104, 6, 1.7),
}


def by_hand(wrong, read, written, tokens):
    """A row of the paper's table as options."""
    amounts = ("--input-tokens", 580, "--output-tokens", tokens, "--price-in", read, "--price-out", written)
    return ("--p", 1.0 - wrong, *amounts, "--steps", MILLION)


MINI = by_hand(0.0022, 0.40, 1.6, 538)


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_a_row_of_the_papers_table_is_planned_as_there(cli, row):
    """The plan and the paper's formula have the table's k, and its dollars within 5 %."""
    *figures, k, thousands = row
    done = cli("plan", *by_hand(*figures), "--json")
    assert (done.code, done.err) == (0, "")
    data = strict_json(done.out)
    assert (data["plan"]["k"], data["paper"]["k"]) == (k, k)
    for one in (data["plan"], data["paper"]):
        assert one["dollars"] == pytest.approx(1000 * thousands, rel=0.05)
        assert one["success"] >= 0.95


def test_a_model_that_is_always_wrong_is_refused(cli):
    """The table's last row, with p = 0, ends with one line and exit code 2."""
    done = cli("plan", "--p", 0, "--steps", MILLION)
    assert (done.code, done.out) == (2, "")
    assert "more than 1/2" in done.line


def test_json_is_one_object_with_plan_and_paper(cli):
    """--json prints k, votes a step, dollars and success probability of the plan and of the paper's formula."""
    done = cli("plan", *MINI, "--json")
    assert done.out.count("\n") == 1
    data = strict_json(done.out)
    for one in (data["plan"], data["paper"]):
        assert {"k", "expected_votes", "dollars", "success"} <= set(one)
    assert (data["steps"], data["target"], data["m"]) == (MILLION, 0.95, 1)
    assert data["plan"]["expected_votes"] == pytest.approx(odds.expected_votes(0.9978, 3))
    assert data["paper"]["success"] == pytest.approx(odds.chain_probability(0.9978, 3, MILLION))


def test_a_plan_can_halve_the_papers_bill(cli):
    """With n samples a prompt and the batch price, the paper's run of $3.5K costs at most half."""
    ways = strict_json(cli("plan", *MINI, "--json").out)["models"][0]["ways"]
    best = min(ways, key=lambda way: way["dollars"])
    assert (best["shared_prompt"], best["batch"]) == (True, True)
    assert best["dollars"] <= 1750.0


def test_a_plan_is_printed_as_text(cli):
    """As text a plan has its rule, votes, dollars, and the paper's formula."""
    done = cli("plan", *MINI)
    assert (done.code, done.err) == (0, "")
    for words in ("ahead-by 3", "paper's formula: k = 3", "$3,452.84", "1,048,575 steps", "$0.4 in, $1.6 out"):
        assert words in done.out


@pytest.mark.parametrize(
    "known", [(), ("--input-tokens", 580, "--output-tokens", 538), ("--price-in", 1, "--price-out", 2)]
)
def test_an_unknown_price_is_shown_as_unknown(cli, known):
    """Without a price or token counts, dollars are null in JSON and "unknown" in the text, not 0."""
    done = cli("plan", "--p", 0.99, "--steps", 1000, *known, "--json")
    data = strict_json(done.out)
    assert (data["plan"]["dollars"], data["paper"]["dollars"]) == (None, None)
    text = cli("plan", "--p", 0.99, "--steps", 1000, *known).out
    assert "dollars      unknown" in text
    assert "$0" not in text


def test_perfect_votes_need_one(cli):
    """At p = 1 the plan has k = 1."""
    data = strict_json(cli("plan", "--p", 1, "--steps", 1000, "--json").out)
    assert (data["plan"]["k"], data["plan"]["expected_votes"], data["plan"]["success"]) == (1, 1.0, 1.0)


def test_the_rule_of_log_odds_can_be_planned_for(cli):
    """With `--rule log-odds` the plan has a threshold, and no k."""
    data = strict_json(cli("plan", *MINI, "--rule", "log-odds", "--json").out)
    assert data["plan"]["k"] is None
    assert data["plan"]["rule"].startswith("log-odds ")
    assert data["plan"]["success"] >= 0.95


def test_more_samples_in_flight_take_less_time(cli):
    """`--concurrency` divides the time that follows from the given latency."""
    hours = [
        strict_json(cli("plan", "--p", 0.99, "--steps", 1000, "--latency", 2, "--concurrency", n, "--json").out)[
            "plan"
        ]
        for n in (1, 10)
    ]
    assert hours[0]["hours"] == pytest.approx(10.0 * hours[1]["hours"])


def test_prices_come_from_a_file(cli, tmp_path):
    """`--prices FILE` prices a calibrated model by its name; --price-in and --price-out take precedence."""
    calibration = ("--calibration", "cal.json", "--steps", 1023, "--json")
    assert cli(*PILOT, "--out", "cal.json").code == 0
    model = read_calibration("cal.json").model
    (tmp_path / "prices.toml").write_text(f'["{model}"]\ninput = 2.0\noutput = 8.0\n')
    priced = strict_json(cli("plan", *calibration, "--prices", "prices.toml").out)["models"][0]
    assert priced["price"] == {"input": 2.0, "output": 8.0, "source": "prices.toml"}
    assert priced["plan"]["dollars"] > 0.0
    own = ("--price-in", 1, "--price-out", 1)
    assert (
        strict_json(cli("plan", *calibration, "--prices", "prices.toml", *own).out)["models"][0]["price"]["input"]
        == 1.0
    )
    assert strict_json(cli("plan", *calibration).out)["plan"]["dollars"] == 0.0


BAD_PLANS = {
    "p below 1/2": ("--p", 0.4, "--steps", 1000, "--target", 0.95),
    "p of 1/2": ("--p", 0.5, "--steps", 1000),
    "p above 1": ("--p", 1.1, "--steps", 1000),
    "p below 0": ("--p", -0.1, "--steps", 1000),
    "p of NaN": ("--p", "nan", "--steps", 1000),
    "p in words": ("--p", "high", "--steps", 1000),
    "v of 0": ("--p", 0.9, "--v", 0, "--steps", 1000),
    "v above 1": ("--p", 0.9, "--v", 1.5, "--steps", 1000),
    "v without p": ("--v", 0.9, "--steps", 1000),
    "target of 1": ("--p", 0.9, "--steps", 1000, "--target", 1),
    "target of 0": ("--p", 0.9, "--steps", 1000, "--target", 0),
    "target above 1": ("--p", 0.9, "--steps", 1000, "--target", 95),
    "target of NaN": ("--p", 0.9, "--steps", 1000, "--target", "nan"),
    "steps of 0": ("--p", 0.9, "--steps", 0),
    "steps below 0": ("--p", 0.9, "--steps", -5),
    "steps not given": ("--p", 0.9),
    "steps in words": ("--p", 0.9, "--steps", "many"),
    "more steps than floats can tell": ("--p", 0.9, "--steps", "1" + "0" * 400),
    "m of 0": ("--p", 0.9, "--steps", 1000, "--m", 0),
    "m beyond help": ("--p", 0.9, "--steps", 1000, "--m", 50),
    "negative price in": ("--p", 0.9, "--steps", 1000, "--price-in", -1, "--price-out", 1),
    "negative price out": ("--p", 0.9, "--steps", 1000, "--price-in", 1, "--price-out", -1),
    "price of NaN": ("--p", 0.9, "--steps", 1000, "--price-in", "nan", "--price-out", 1),
    "half a price": ("--p", 0.9, "--steps", 1000, "--price-in", 1),
    "negative tokens": ("--p", 0.9, "--steps", 1000, "--input-tokens", -1),
    "tokens beyond sense": ("--p", 0.9, "--steps", 1000, "--output-tokens", "1e300"),
    "prices of true": ("--p", 0.9, "--steps", 1000, "--prices", "true.toml"),
    "m beyond the chain": ("--p", 0.9, "--steps", 1000, "--m", 1001),
    "negative latency": ("--p", 0.9, "--steps", 1000, "--latency", -1),
    "no concurrency": ("--p", 0.9, "--steps", 1000, "--concurrency", 0),
    "an unknown rule": ("--p", 0.9, "--steps", 1000, "--rule", "plurality"),
    "nothing known": ("--steps", 1000),
    "prices not there": ("--p", 0.9, "--steps", 1000, "--prices", "no.toml"),
    "malformed prices": ("--p", 0.9, "--steps", 1000, "--prices", "malformed.toml"),
    "a calibration and p": ("--calibration", "good.json", "--p", 0.9, "--steps", 1000),
    "a calibration and v": ("--calibration", "good.json", "--v", 0.9, "--steps", 1000),
    "a calibration that is {}": ("--calibration", "object.json", "--steps", 1000),
    "a calibration that is []": ("--calibration", "list.json", "--steps", 1000),
    "an empty file": ("--calibration", "nothing.json", "--steps", 1000),
    "a calibration that is binary": ("--calibration", "binary.json", "--steps", 1000),
    "a calibration that is other JSON": ("--calibration", "other.json", "--steps", 1000),
    "a calibration whose counts contradict each other": ("--calibration", "changed.json", "--steps", 1000),
    "a calibration of no steps": ("--calibration", "no_steps.json", "--steps", 1000),
    "a calibration not there": ("--calibration", "missing.json", "--steps", 1000),
    "a calibration that is a folder": ("--calibration", ".", "--steps", 1000),
    "a good calibration and a bad one": ("--calibration", "good.json", "--calibration", "list.json", "--steps", 1000),
}


@pytest.mark.parametrize("arguments", BAD_PLANS.values(), ids=BAD_PLANS)
@pytest.mark.parametrize("form", [(), ("--json",)], ids=["text", "json"])
def test_a_plan_that_cannot_be_made_is_one_line_and_exit_2(cli, files, arguments, form):
    """Each mistake, and each job that no k can do, gives one line on stderr, and an object on stdout with --json."""
    done = cli("plan", *arguments, *form)
    assert done.code == 2
    assert (json.loads(done.out)["exit_code"] == 2) if form else (done.out == "")
    assert len(done.line) < 400


@pytest.mark.parametrize("target", [0.5, 0.3, 0.001])
def test_a_short_chain_with_a_weak_target_has_a_plan(cli, target):
    """One step that may fail half of the time is planned like any other job, with a single vote."""
    data = strict_json(cli("plan", "--p", 0.9, "--steps", 1, "--target", target, "--json").out)
    assert (data["plan"]["k"], data["plan"]["success"]) == (1, pytest.approx(0.9))
