"""Three models behind endpoints, one of them always wrong on four steps of five: weighed votes decide correctly."""

import pytest
from endpoint_runs import PRICE, QuickClock

import unerring
from faults.answers import noise, stubborn
from faults.server import serving
from unerring import Hanoi
from unerring.api.calibration.calibrating import PilotOptions, calibrate
from unerring.api.options import Options
from unerring.api.planning import Target


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_voter_that_is_mostly_wrong_cannot_outweigh_two_good_ones(tmp_path):
    """Calibrated and weighed, voters of 21 %, 99 % and 99 % solve it without an error; the first weighs nothing."""
    disks = 12
    models = {"bad": stubborn(r=0.21), "good": noise(p=0.99), "better": noise(p=0.99, v=0.95)}
    with serving(models=models, keep=10) as server:
        specs = [f"openai/{name}@{server.url}" for name in models]
        measured = calibrate(Hanoi(disks), specs, samples=20_000, options=PilotOptions(in_flight=64))
        options = Options(
            target=Target(0.95, "log-odds", measured),
            clock=QuickClock(),
            prices=dict.fromkeys(specs, PRICE),
            speculate="noise/p=1",
        )
        result = unerring.run(Hanoi(disks), specs, tmp_path / "run.db", options=options)
    assert result.steps == 2**disks - 1
    assert unerring.verify(tmp_path / "run.db").problem is None
    shares = {voter["name"]: voter["dissents"] / voter["votes"] for voter in result.report["voters"]}
    bad, *good = (shares[spec] for spec in specs)
    assert bad > 0.7
    assert max(good) < 0.03
