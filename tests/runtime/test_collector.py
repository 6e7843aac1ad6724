"""The thresholds of Python's garbage collector during a run."""

import gc

import pytest

from unerring.runtime.signals import RAISED_THRESHOLD, run_stoppable


@pytest.fixture(autouse=True)
def thresholds():
    """Restore the collector's thresholds after each test."""
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)


async def inside(stop):
    return gc.get_threshold()


async def fails(stop):
    raise ZeroDivisionError


def test_the_collector_runs_less_often_during_a_run():
    """Only the youngest generation's threshold changes, and all are as before after the run."""
    gc.set_threshold(700, 11, 12)
    assert run_stoppable(inside) == (RAISED_THRESHOLD, 11, 12)
    assert gc.get_threshold() == (700, 11, 12)


def test_thresholds_are_restored_after_a_failure():
    """After an exception all thresholds are as before."""
    gc.set_threshold(700, 11, 12)
    with pytest.raises(ZeroDivisionError):
        run_stoppable(fails)
    assert gc.get_threshold() == (700, 11, 12)


@pytest.mark.parametrize("threshold", [(0, 10, 10), (RAISED_THRESHOLD + 1, 5, 5)], ids=["never", "more seldom still"])
def test_a_higher_threshold_of_the_process_is_kept(threshold):
    """A run never lowers a threshold that the process has set."""
    gc.set_threshold(*threshold)
    assert run_stoppable(inside) == threshold
