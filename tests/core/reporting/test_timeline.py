"""Dissent along a run: the number of windows is limited, and merging them loses nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unerring.core.reporting.timeline import MAX_WINDOWS, Timeline


def timeline_of(dissents, most=MAX_WINDOWS):
    """The timeline of steps with and without dissent."""
    timeline = Timeline(most)
    for dissented in dissents:
        timeline.add(dissented)
    return timeline


@given(st.lists(st.booleans(), max_size=300), st.sampled_from([2, 4, 10]), st.integers(0, 60))
def test_the_windows_cover_the_run(dissents, most, least):
    """Windows follow one another without a gap, and each counts the dissents of its steps."""
    at = 0
    for first, steps, count in timeline_of(dissents, most).windows(least):
        assert (first, count) == (at, sum(dissents[at : at + steps]))
        at += steps
    assert at == len(dissents)


@given(st.integers(0, 2_000), st.sampled_from([2, 4, 10, MAX_WINDOWS]))
def test_there_are_never_more_windows_than_allowed(steps, most):
    """A run of any length has at most so many windows, and at least half as many once it has that many steps."""
    windows = timeline_of([False] * steps, most).windows()
    assert min(steps, most // 2) <= len(windows) <= most


@given(st.lists(st.booleans(), min_size=1, max_size=300), st.integers(1, 60))
def test_windows_are_as_wide_as_was_asked(dissents, least):
    """Each window has at least the requested number of steps; the last has half, or is the only one."""
    windows = timeline_of(dissents, 10).windows(least)
    assert all(window.steps >= least for window in windows[:-1])
    assert len(windows) == 1 or 2 * windows[-1].steps >= least


def test_a_long_run_has_wide_windows():
    """100,000 steps with dissent on every tenth have windows of 512 steps that each show it."""
    timeline = timeline_of(step % 10 == 0 for step in range(100_000))
    assert (timeline.steps, timeline.dissents) == (100_000, 10_000)
    assert {window.steps for window in timeline.windows()[:-1]} == {512}
    assert all(window.dissents / window.steps == pytest.approx(0.1, abs=0.003) for window in timeline.windows())


def test_a_run_without_steps_has_no_windows():
    """Before the first step there is no window."""
    assert timeline_of([]).windows() == []
