"""`unerring calibrate`: what it prints and keeps, what it refuses, and how a stopped pilot continues."""

import json
import shlex
from pathlib import Path

import pytest
from command_runs import LEDGER, PILOT, PILOT_MODEL

from pilots import strict_json
from unerring.api.calibration.calibration_files import read_calibration
from unerring.errors import ProviderDown
from unerring.testing import NoisySampler


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
    pilot = [f"noise/{noise}" if word == PILOT_MODEL[1] else word for word in PILOT]
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
    "an unknown process": ("hanoy", *PILOT_MODEL),
    "an unknown model": ("hanoi", "--model", "gpt-9"),
    "no samples": ("hanoi", *PILOT_MODEL, "--samples", 0),
    "samples in words": ("hanoi", *PILOT_MODEL, "--samples", "many"),
    "none in flight": ("hanoi", *PILOT_MODEL, "--in-flight", 0),
    "a folder as the file": ("hanoi", *PILOT_MODEL, "--out", "."),
    "no such folder": ("hanoi", *PILOT_MODEL, "--samples", 5, "--out", "no/such/cal.json"),
    "another program's file": ("hanoi", *PILOT_MODEL, "--out", "list.json"),
    "another calibration": ("hanoi", *PILOT_MODEL, "--out", "good.json"),
    "a process without rehearsal": ("plain:Plain", *PILOT_MODEL),
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
