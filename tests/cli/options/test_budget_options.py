"""Budgets on the command line: what they stop, what continues, and what is refused before any cost."""

import json

import pytest

from faults.answers import noise
from faults.server import serving
from unerring.api.journals.verify import verify


@pytest.fixture(scope="module")
def endpoint():
    """A model behind an endpoint."""
    with serving(models={"m": noise(p=0.99)}) as server:
        yield server


@pytest.fixture
def run(cli, endpoint, tmp_path):
    """Start a run of four disks on it, with further options."""
    (tmp_path / "prices.toml").write_text(f'["openai/m@{endpoint.url}"]\ninput = 0.40\noutput = 1.60\n')

    def start(*options):
        words = ("run", "hanoi", "--set", "disks=4", "--k", "2", "--model", f"openai/m@{endpoint.url}")
        return cli(*words, "--journal", tmp_path / "run.db", *options)

    return start


def test_a_budget_in_dollars_stops_a_run_and_a_larger_one_continues_it(cli, run, endpoint, tmp_path):
    """At its limit a run exits with 3, says what was spent and how to continue; with a larger budget it finishes."""
    before = endpoint.ledger.settled()
    stopped = run("--budget-usd", 0.003, "--prices", tmp_path / "prices.toml")
    spent = endpoint.ledger.settled().dollars(0.4, 1.6) - before.dollars(0.4, 1.6)
    assert stopped.code == 3
    line = stopped.err.splitlines()[-1]
    assert line.startswith("unerring: the budget of $0.003 is spent: $")
    assert line.endswith("run.db --budget-usd 0.01")
    report = json.loads(cli("report", tmp_path / "run.db", "--json").out)
    assert 0 < spent <= 0.003
    assert report["spend"]["dollars"] == pytest.approx(spent)
    assert report["spend"]["limits"]["dollars"] == pytest.approx(0.003)
    resumed = cli("resume", tmp_path / "run.db", "--budget-usd", 1)
    assert resumed.code == 0, resumed.err
    assert "budget       $1.00" in cli("report", tmp_path / "run.db").out
    assert verify(tmp_path / "run.db").problem is None


def test_prices_are_kept_with_the_run(cli, run, tmp_path):
    """A resumed run uses the prices that were read from the file when it began."""
    assert run("--max-steps", 3, "--prices", tmp_path / "prices.toml").code == 3
    (tmp_path / "prices.toml").unlink()
    assert cli("resume", tmp_path / "run.db", "--json").code == 0
    assert json.loads(cli("report", tmp_path / "run.db", "--json").out)["spend"]["dollars"] > 0


@pytest.mark.parametrize(
    ("option", "value", "word"),
    [("--budget-calls", 5, "5 calls"), ("--budget-tokens", 5000, "5,000 tokens"), ("--budget-hours", 0, "0 hours")],
)
def test_other_budgets_stop_a_run_too(run, option, value, word):
    """Budgets of calls, tokens and hours need no prices; each stops a run with exit code 3 and is named."""
    stopped = run(option, value)
    assert stopped.code == 3
    assert f"the budget of {word} is spent" in stopped.err


def test_without_prices_dollars_are_unknown_and_never_nothing(cli, run, tmp_path):
    """A model without a known price runs, and its report says that the cost is not known."""
    assert run().code == 0
    report = json.loads(cli("report", tmp_path / "run.db", "--json").out)
    assert report["spend"]["dollars"] is None
    assert report["spend"]["calls"] > 0
    assert "out; the price is not known" in cli("report", tmp_path / "run.db").out


def test_a_budget_that_could_not_be_kept_is_refused(cli, run, endpoint, tmp_path):
    """Dollars without a price, calls of a free model and nonsense are refused in one line, with exit code 2."""
    before = endpoint.ledger.settled().requests
    for options, word in [
        (("--budget-usd", 1), "(--prices)"),
        (("--budget-usd", -1), "'--budget-usd': -1.0 is not in the range"),
        (("--budget-usd", "nan"), "'--budget-usd': nan is not a finite number"),
        (("--budget-tokens", -5), "'--budget-tokens': -5 is not in the range"),
        (("--budget-usd", 1, "--prices", "nowhere.toml"), "cannot read the prices"),
    ]:
        refused = run(*options)
        assert refused.code == 2, options
        assert word in refused.err
        assert len(refused.err.splitlines()) == 1
    free = cli("run", "hanoi", "--set", "disks=3", "--model", "noise/p=1", "--k", "2", "--budget-calls", 3)
    assert free.code == 2
    assert "not paid for" in free.err
    assert endpoint.ledger.settled().requests == before
    assert list(tmp_path.glob("*.db")) == []


def test_progress_shows_what_is_spent(run, tmp_path, monkeypatch):
    """The progress line has what was spent of the budget."""
    monkeypatch.setattr("unerring.adapters.terminal.LOG_SECONDS", 0.0)
    done = run("--budget-usd", 1, "--prices", tmp_path / "prices.toml")
    assert done.code == 0
    assert "spent of $1.00" in done.err


def test_a_budget_stops_a_calibration_and_a_larger_one_continues_it(cli, endpoint, tmp_path):
    """It exits with 3, within the budget, says what was spent and how to continue; the calibration has the cost."""
    (tmp_path / "prices.toml").write_text(f'["openai/m@{endpoint.url}"]\ninput = 0.40\noutput = 1.60\n')
    words = ("calibrate", "hanoi", "--set", "disks=6", "--model", f"openai/m@{endpoint.url}", "--samples", 60)
    words += ("--out", "cal.json", "--prices", tmp_path / "prices.toml", "--in-flight", 4)
    before = endpoint.ledger.settled()
    stopped = cli(*words, "--budget-usd", 0.004)
    spent = endpoint.ledger.settled().dollars(0.4, 1.6) - before.dollars(0.4, 1.6)
    assert stopped.code == 3
    line = stopped.err.splitlines()[-1]
    assert line.startswith("unerring: the budget of $0.004 is spent: $")
    assert " --budget-usd 0.0" in line.rpartition("continue with: unerring calibrate hanoi")[2]
    assert 0 < spent <= 0.004
    assert json.loads((tmp_path / "cal.json").read_text())["spent"]["dollars"] == pytest.approx(spent)
    again = cli(*words)
    assert again.code == 3, "the budget of an earlier session holds until another one is given"
    done = cli(*words, "--budget-usd", 1)
    assert done.code == 0, done.err
    spent = endpoint.ledger.settled().dollars(0.4, 1.6) - before.dollars(0.4, 1.6)
    assert json.loads((tmp_path / "cal.json").read_text())["spent"]["dollars"] == pytest.approx(spent)
    (line,) = [line for line in done.out.splitlines() if line.startswith("spent")]
    assert " calls, " in line
    assert " tokens, $" in line
