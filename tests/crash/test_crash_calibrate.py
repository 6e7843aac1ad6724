"""A calibration of a paid endpoint, killed many times: the bill stays within the budget."""

import json
import logging
import signal
import subprocess
from dataclasses import replace
from random import Random

import pytest
from killing import PATIENCE_SECONDS, cli, happens

from faults.answers import noise
from faults.chat import Latency
from faults.server import serving
from unerring.api.calibration.calibration_files import read_calibration

log = logging.getLogger(__name__)

SAMPLES = 120
IN_FLIGHT = 4
WORST = 0.0016  # dollars that a call is reserved: 750 tokens written, and the question


class Stage:
    """An endpoint, and calibrations of it in processes of their own."""

    def __init__(self, folder, server):
        self.folder, self.server = folder, server
        self.prices = folder / "prices.toml"
        self.prices.write_text(f'["openai/m@{server.url},n=1"]\ninput = 0.40\noutput = 1.60\n')

    def begun(self, out, budget):
        """The process of a calibration that may cost so many dollars."""
        words = ("hanoi", "--set", "disks=8", "--model", f"openai/m@{self.server.url},n=1", "--samples", SAMPLES)
        limits = ("--budget-usd", f"{budget:.9f}", "--prices", self.prices, "--in-flight", IN_FLIGHT, "--no-probe")
        command = cli("calibrate", *words, "--out", out, *limits, "--json")
        return subprocess.Popen(command, cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def ended(self, out, budget):
        """Wait for the end of a calibration; returns its exit code and its output."""
        process = self.begun(out, budget)
        output, problems = process.communicate(timeout=PATIENCE_SECONDS)
        return process.returncode, output, problems

    def killed(self, out, budget, requests):
        """Kill a calibration once the server has had so many further requests; returns whether that happened."""
        until = self.server.ledger.totals.requests + requests
        process = self.begun(out, budget)
        happens(process, self.server.ledger, lambda totals: totals.requests >= until)
        process.kill()
        process.communicate()
        return process.returncode == -signal.SIGKILL

    @property
    def billed(self):
        """Dollars that the server has billed so far."""
        return self.server.ledger.settled().dollars(0.40, 1.60)


@pytest.mark.parametrize("times", [1, pytest.param(4, marks=pytest.mark.slow)])
def test_a_calibration_killed_again_and_again_keeps_to_its_budget(tmp_path, times):
    """With SIGKILL amid paid calls the bill of all sessions stays within the budget, and no sample is paid for twice.

    Killed calls count at their worst. Under a larger budget the calibration ends with the counts of one that was not
    killed, having paid for no more than that one, and for the calls that were in flight at a kill.
    """
    chance = Random(9)
    with serving(models={"m": noise(p=0.9)}, latency=Latency(0.03)) as server:
        stage = Stage(tmp_path, server)
        code, output, problems = stage.ended(tmp_path / "whole.json", 1.0)
        assert code == 0, problems
        whole, before = stage.billed, stage.billed
        out, budget, kills = tmp_path / "cal.json", 0.5 * whole + (times - 1) * IN_FLIGHT * WORST, 0
        while kills < times and stage.killed(out, budget, chance.randint(3, 15)):
            kills += 1
            assert stage.billed - before <= budget
        code, _, problems = stage.ended(out, budget)
        assert code == 3, problems
        assert "the budget of $" in problems
        assert "continue with: unerring calibrate " in problems
        assert stage.billed - before <= budget
        code, output, problems = stage.ended(out, 1.0)
        assert code == 0, problems
        billed = stage.billed - before
    spent = json.loads(output)["spent"]
    assert 4 * kills >= 3 * times
    assert billed <= spent["dollars"]
    assert spent["unknown_calls"] > 0
    assert spent["unknown_dollars"] > 0
    assert spent["unknown_dollars"] <= kills * IN_FLIGHT * WORST
    assert billed <= whole + kills * IN_FLIGHT * 24 * whole / SAMPLES
    found, expected = read_calibration(out), read_calibration(tmp_path / "whole.json")
    assert replace(found, calls_seconds=0.0, spent=None) == replace(expected, calls_seconds=0.0, spent=None)
    log.info("%d kills, $%.5f billed of $%.5f on record; unkilled $%.5f", kills, billed, spent["dollars"], whole)
