"""The pace of Python's garbage collector during a run."""

import gc

import pytest

from unerring.runtime.signals import RAISED_THRESHOLD, run_stoppable


@pytest.fixture(autouse=True)
def pace():
    """Whatever a test does to it, the collector's pace is afterwards as it was."""
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)


async def inside(stop):
    return gc.get_threshold()


async def fails(stop):
    raise ZeroDivisionError


def test_the_collector_looks_less_often_while_a_run_goes_on():
    """Only the youngest generation's pace changes, and all is as before once the run is over."""
    gc.set_threshold(700, 11, 12)
    assert run_stoppable(inside) == (RAISED_THRESHOLD, 11, 12)
    assert gc.get_threshold() == (700, 11, 12)


def test_it_is_as_before_after_a_failure_too():
    """An exception changes nothing about that."""
    gc.set_threshold(700, 11, 12)
    with pytest.raises(ZeroDivisionError):
        run_stoppable(fails)
    assert gc.get_threshold() == (700, 11, 12)


@pytest.mark.parametrize("threshold", [(0, 10, 10), (RAISED_THRESHOLD + 1, 5, 5)], ids=["never", "more seldom still"])
def test_a_process_that_wants_it_still_less_often_has_it_so(threshold):
    """The setting is the process's own, and a run only ever makes it calmer."""
    gc.set_threshold(*threshold)
    assert run_stoppable(inside) == threshold
