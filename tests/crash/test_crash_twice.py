"""Asked to stop twice, a run ends at once, whatever it waits for; what it waited for is recorded as unknown."""

import signal
from pathlib import Path

import pytest
from killing import acknowledged, driver, life

from unerring import reading

WAYS = ["--hang-at", "--spin-at"]


def end_by(process, number: signal.Signals) -> int:
    """Send a signal again and again until the process ends; a run drains for 30 s after one, and not after two."""
    for _ in range(100):
        process.send(number)
        if process.over(0.1):
            return process.ended().code
    raise AssertionError("a hundred signals in ten seconds did not end the run")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
@pytest.mark.parametrize("way", WAYS)
def test_a_second_signal_ends_a_run_that_is_stuck(tmp_path: Path, way: str, number: signal.Signals):
    """A run whose model never answers, or never gives control back, ends at the second signal and can be resumed."""
    journal, ledger = tmp_path / "run.db", tmp_path / "ledger"
    with life(driver(journal, ledger, "--disks", 3, way, 4), journal) as process:
        while not ledger.exists() or ledger.read_text().count("\n") < 4:
            assert not process.over(0.01)
        code = end_by(process, number)
    assert code in (3, -number)
    entries = acknowledged(journal)
    assert entries > 0
    with life(driver(journal, ledger, "--disks", 3, "--resume"), journal) as process:
        assert process.ended().code == 0
    found, samples = reading.verify(journal), reading.report(journal)["samples"]
    assert (found.finished, found.problem) == (True, None)
    assert samples["unknown"] >= 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_a_second_signal_ends_a_run_whose_function_hangs_in_its_thread(tmp_path: Path, number: signal.Signals):
    """A run whose model is a plain function that never returns, as a request without a deadline, ends just so."""
    journal = tmp_path / "run.db"
    with life(driver(journal, "-", "--disks", 3, "--stuck"), journal) as process:
        assert process.reaches(2)  # the opening, and the intent of the call that hangs
        assert end_by(process, number) in (3, -number)
    assert not reading.verify(journal).finished
