"""The commands that measure and plan: what they print, what they refuse, and how a stopped pilot continues."""

import json
import shlex
from pathlib import Path

import pytest
from command_runs import LEDGER

from pilots import strict_json
from unerring import Hanoi
from unerring.api.calibration import calibrate
from unerring.api.calibration_files import read_calibration
from unerring.core.voting import odds
from unerring.errors import ProviderDown
from unerring.testing import NoisySampler

MILLION = 2**20 - 1
NOISE = ("--model", "noise/p=0.95,v=0.9,c=0")
PILOT = ("calibrate", "hanoi", "--set", "disks=10", *NOISE, "--samples", "300", "--in-flight", "8")
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


# --- plan, by hand


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


def test_more_samples_under_way_take_less_time(cli):
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


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """The bytes of a valid calibration."""
    path = tmp_path_factory.mktemp("good") / "good.json"
    calibrate(Hanoi(disks=10), "noise/p=0.95", 300, path)
    return path.read_bytes()


@pytest.fixture
def files(tmp_path, good):
    """Files that are not calibrations, and one that is."""
    (tmp_path / "good.json").write_bytes(good)
    empty = json.loads(good)
    counts = dict.fromkeys(("steps", "flagged", "votes", "wrong", "collisions", "same_wrong"), 0)
    voter = empty["voters"][0] | counts | {"bins": [[0, 0]] * 11, "tokens": [0, 0], "flags": {}}
    empty |= {"steps": 0, "samples": 0, "voters": [voter], "troubles": []}
    (tmp_path / "no_steps.json").write_text(json.dumps(empty))
    changed = json.loads(good) | {"calls_seconds": float("nan")}
    texts = {
        "object.json": "{}",
        "list.json": "[]",
        "nothing.json": "",
        "other.json": '{"name": "unerring", "version": 1, "voters": [1, 2]}',
        "changed.json": json.dumps(changed),
        "malformed.toml": "= 3",
        "true.toml": '["openai/gpt-4.1-mini"]\ninput = true\noutput = 1.0\n',
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "binary.json").write_bytes(bytes(range(256)))


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


# --- calibrate


def test_a_calibration_is_printed_and_kept(cli, tmp_path):
    """The text has the voter's p, v, flags and collisions; the command on stderr runs as printed."""
    done = cli(*PILOT, "--out", "cal.json")
    assert done.code == 0
    for words in (
        "process      hanoi disks=10",
        " first votes were right: a share of 0.9",
        "malformed: ",
        "both wrong",
        "drawn at random",
    ):
        assert words in done.out
    suggested = shlex.split(done.err.splitlines()[-1].removeprefix("Plan with it: unerring "))
    assert cli(*["1023" if word == "N" else word for word in suggested]).code == 0


@pytest.mark.parametrize("noise", ["p=0.4,v=1,c=0", "p=0.7,v=1,c=1"])
def test_a_calibration_that_no_k_can_be_planned_from_says_so(cli, noise):
    """The last line has the reason that `plan` would give, instead of a command that ends with it."""
    pilot = [f"noise/{noise}" if word == NOISE[1] else word for word in PILOT]
    done = cli(*pilot, "--out", "cal.json")
    assert (done.code, "unerring plan" in done.err) == (0, False)
    last = done.err.splitlines()[-1]
    assert last.startswith("A plan is not possible with it: no k can reach 0.95 over 1,023 steps with noise/")
    refused = cli("plan", "--calibration", "cal.json", "--steps", 1023)
    assert (refused.code, refused.err.splitlines()[-1].removeprefix("unerring: ") in last) == (2, True)


def test_json_is_what_the_file_holds(cli, tmp_path):
    """With --json stdout has the calibration of the file as one line, and stderr is empty."""
    done = cli(*PILOT, "--out", "cal.json", "--json")
    assert (done.code, done.err, done.out.count("\n")) == (0, "", 1)
    assert strict_json(done.out) == strict_json((tmp_path / "cal.json").read_text())


def test_models_that_take_turns_are_shown_singly_and_together(cli):
    """Two models have a block each, and a third block for both together."""
    done = cli(*PILOT, "--model", "noise/p=0.8,v=1,c=0")
    assert done.code == 0
    assert done.out.count("\nvoter ") == 2
    assert done.out.count("\ntogether ") == 1


def test_a_calibration_plans_a_run(cli):
    """A run planned by the pilot of its model ends without an error."""
    spec = "noise/p=0.95,v=0.9,c=0.0"
    model = ("hanoi", "--set", "disks=8", "--model", spec)
    assert cli("calibrate", *model, "--samples", 2000, "--out", "cal.json").code == 0
    assert cli("run", *model, "--calibration", "cal.json", "--journal", "run.db").code == 0
    assert cli("verify", "run.db").code == 0


def test_a_run_takes_the_specification_that_was_measured(cli):
    """`run --calibration` accepts exactly the model specification that was given to `calibrate`."""
    model = ("hanoi", "--set", "disks=8", "--model", "noise/p=0.99")
    assert cli("calibrate", *model, "--samples", 400, "--out", "cal.json").code == 0
    assert cli("run", *model, "--calibration", "cal.json", "--journal", "run.db").code == 0
    other = cli("run", *model[:-1], "noise/p=0.98", "--calibration", "cal.json", "--journal", "other.db")
    assert other.code == 2
    assert "noise/p=0.98" in other.line


def test_several_calibrations_are_ranked(cli):
    """Of two calibrations the cheaper model is planned, and the text shows both."""
    for name, p in (("good", 0.99), ("bad", 0.9)):
        model = ("--model", f"noise/p={p},v=1,c=0")
        assert (
            cli("calibrate", "hanoi", "--set", "disks=10", *model, "--samples", 600, "--out", f"{name}.json").code == 0
        )
    both = ("plan", "--calibration", "bad.json", "--calibration", "good.json", "--steps", 1023)
    data = strict_json(cli(*both, "--json", "--price-in", 1, "--price-out", 1).out)
    assert [one["model"] for one in data["models"]] == ["noise/p=0.99,v=1.0,c=0.0", "noise/p=0.9,v=1.0,c=0.0"]
    assert "-> " in cli(*both).out


def test_a_model_without_a_plan_is_shown_with_its_reason(cli):
    """A model that no k can help is listed with its reason, next to the plan for the other model."""
    for name, p in (("good", 0.99), ("bad", 0.3)):
        model = ("--model", f"noise/p={p},v=1,c=0")
        assert (
            cli("calibrate", "hanoi", "--set", "disks=10", *model, "--samples", 600, "--out", f"{name}.json").code == 0
        )
    done = cli("plan", "--calibration", "bad.json", "--calibration", "good.json", "--steps", 100)
    assert done.code == 0
    assert "refused: no k can reach" in done.out


BAD_PILOTS = {
    "an unknown process": ("hanoy", *NOISE),
    "an unknown model": ("hanoi", "--model", "gpt-9"),
    "no samples": ("hanoi", *NOISE, "--samples", 0),
    "samples in words": ("hanoi", *NOISE, "--samples", "many"),
    "none in flight": ("hanoi", *NOISE, "--in-flight", 0),
    "a folder as the file": ("hanoi", *NOISE, "--out", "."),
    "no such folder": ("hanoi", *NOISE, "--samples", 5, "--out", "no/such/cal.json"),
    "another program's file": ("hanoi", *NOISE, "--out", "list.json"),
    "another calibration": ("hanoi", *NOISE, "--out", "good.json"),
    "a process without rehearsal": ("plain:Plain", *NOISE),
}


@pytest.mark.parametrize("arguments", BAD_PILOTS.values(), ids=BAD_PILOTS)
def test_a_pilot_that_cannot_be_made_is_one_line_and_exit_2(cli, files, tmp_path, arguments):
    """Each mistake is one line on stderr, and no file is written or changed."""
    (tmp_path / "plain.py").write_text(LEDGER.replace("def rehearse", "def rehearsed").replace("Ledger", "Plain"))
    before = {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    done = cli("calibrate", *arguments)
    assert (done.code, done.out) == (2, "")
    assert len(done.line) < 400
    assert {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()} == before


def test_a_bug_in_the_users_parser_is_one_line_with_its_place(cli, tmp_path):
    """An exception of the process's parser ends with one line with file and line; samples drawn before are kept."""
    broken = LEDGER.replace("        return int(", "        assert '64' not in text\n        return int(")
    (tmp_path / "ledger.py").write_text(broken)
    done = cli("calibrate", "ledger:Ledger", "--set", "steps=50", "--model", "noise/p=1", "--out", "cal.json")
    assert done.code != 0
    assert "AssertionError" in done.line
    assert str(tmp_path / "ledger.py") in done.line
    assert read_calibration(tmp_path / "cal.json").steps == 5


def test_a_provider_that_goes_down_stops_with_what_was_drawn(cli, monkeypatch):
    """A provider's lasting failure gives exit code 3, and the same command then continues the pilot."""
    draw, calls = NoisySampler.sample, []

    async def failing(self, prompt, settings, n):
        calls.append(settings.step)
        if len(calls) == 100:
            raise ProviderDown("no quota")
        return await draw(self, prompt, settings, n)

    assert cli(*PILOT, "--out", "whole.json").code == 0
    monkeypatch.setattr(NoisySampler, "sample", failing)
    done = cli(*PILOT, "--out", "cal.json")
    assert (done.code, done.out) == (3, "")
    assert "no quota" in done.line
    assert "cal.json" in done.line
    assert "; continue with: unerring calibrate " in done.line
    assert 0 < read_calibration("cal.json").steps < 100
    assert cli(*PILOT, "--out", "cal.json").code == 0
    whole, again = (json.loads(Path(name).read_text()) for name in ("whole.json", "cal.json"))
    assert again["voters"] == whole["voters"]


def test_a_pilot_that_is_stopped_without_a_file_says_that_nothing_is_kept(cli, monkeypatch):
    """Without --out a stopped pilot cannot be continued, and the line says so."""

    async def down(self, prompt, settings, n):
        raise ProviderDown("no quota")

    monkeypatch.setattr(NoisySampler, "sample", down)
    done = cli(*PILOT)
    assert done.code == 3
    assert "its samples are lost, as there is no --out" in done.line
