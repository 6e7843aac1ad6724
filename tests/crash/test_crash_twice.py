"""A run that hangs ends at the second signal, or at the third if its code never yields."""

import signal
from pathlib import Path

import pytest
from killing import Life, driver, life

from unerring.api.journals import history as reading
from unerring.api.journals.verify import verify

SIGNALS = pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)


def end_by_two(process: Life, number: signal.Signals) -> int:
    """Send a signal, wait until the run says that it received it, and send another; returns the exit code."""
    process.send(number)
    process.says("a second one stops at once")
    process.send(number)
    assert process.over(20.0)  # it would wait for the grace
    return process.ended().code


def assert_can_be_resumed(journal: Path, ledger: Path) -> None:
    """Assert that the run can be resumed to its end, and that the unanswered call counts as unknown."""
    with life(driver(journal, ledger, "--disks", 3, "--resume"), journal) as process:
        assert process.ended().code == 0
    found, samples = verify(journal), reading.report(journal)["samples"]
    assert (found.finished, found.problem) == (True, None)
    assert samples["unknown"] >= 1


def calls(ledger: Path) -> int:
    """How many calls the model has received."""
    return ledger.read_text().count("\n") if ledger.exists() else 0


@SIGNALS
def test_a_second_signal_ends_a_run_whose_model_never_answers(tmp_path: Path, number: signal.Signals):
    """A run that waits for an answer for ever ends at the second signal with exit code 3, and can be resumed."""
    journal, ledger = tmp_path / "run.db", tmp_path / "ledger"
    with life(driver(journal, ledger, "--disks", 3, "--hang-at", 4), journal) as process:
        while calls(ledger) < 4:
            assert not process.over(0.01)
        assert end_by_two(process, number) == 3
    assert_can_be_resumed(journal, ledger)


@SIGNALS
def test_a_second_signal_ends_a_run_whose_function_hangs_in_its_thread(tmp_path: Path, number: signal.Signals):
    """The same holds for a plain function that never returns, like a request without a deadline."""
    journal = tmp_path / "run.db"
    with life(driver(journal, "-", "--disks", 3, "--stuck"), journal) as process:
        assert process.reaches(2)  # the opening, and the intent of the call that hangs
        assert end_by_two(process, number) == 3
    assert not verify(journal).finished


@SIGNALS
def test_signals_end_a_run_whose_own_code_never_returns(tmp_path: Path, number: signal.Signals):
    """A run stuck in code that blocks the event loop is ended by a few signals, and can be resumed."""
    journal, ledger = tmp_path / "run.db", tmp_path / "ledger"
    with life(driver(journal, ledger, "--disks", 3, "--spin-at", 4), journal) as process:
        while calls(ledger) < 4:
            assert not process.over(0.01)
        for _ in range(100):
            process.send(number)
            if process.over(0.1):
                break
        assert process.over(0.0), "a hundred signals in ten seconds did not end the run"
        assert process.ended().code in (3, -number)
    assert_can_be_resumed(journal, ledger)
