"""The time left of a run is shown once its rates give it to a factor of two."""

from random import Random

from unerring.core.reporting.time_left import MAX_RATE_WINDOWS, RateWindows, steady


def test_rates_are_steady_or_not():
    """Few windows, gaps, a slow start and a change of pace are distinguished from a steady rate."""
    cases = {
        (): False,
        (5, 5, 5): False,
        (5, 5, 5, 5): True,
        (1, 9, 1, 9): False,
        (0, 0, 0, 0, 0, 0): False,
        (0, 10, 10, 10): False,  # a slow start
        (0, *[10] * 7): True,  # is waited out
        (1, 1, 1, 1, 100, 100, 100, 100): False,
        (8, 12, 9, 11, 10, 10): True,
    }
    assert {windows: steady(windows) for windows in cases} == cases


def test_a_time_that_is_shown_is_right_to_a_factor_of_two():
    """Of 300 random runs with very uneven steps, at most 1 % show a time that is more than that off.

    Lengths are log-normal, so that the mean is far from the median; seeds are fixed.
    """
    wrong = shown = 0
    for seed in range(300):
        chance, rates, at, steps = Random(seed), RateWindows(), 0.0, 0
        spread = chance.choice([0.2, 1.0, 2.0])
        mean = 0.05 * 2.718281828 ** (spread * spread / 2)
        while steps < 3000 and not rates.steady:
            at += 0.05 * chance.lognormvariate(0.0, spread)
            steps += 1
            rates.add(at)
        if rates.steady:
            shown += 1
            wrong += not 0.5 <= (at / steps) / mean <= 2.0
    assert shown >= 290
    assert wrong <= 3


def test_a_slow_first_step_is_not_taken_for_the_pace():
    """After a first step of a minute and others of 1 ms, no time is shown until the first is a minor part."""
    rates, shown = RateWindows(), []
    for step in range(400_000):
        rates.add(60.0 + step / 1000)
        if rates.steady:
            shown.append(step)
            break
    assert shown
    assert 60.0 + shown[0] / 1000 > 2 * 60.0  # from then on the start has less than half of the time


def test_windows_are_few_however_long_a_run_or_a_pause_is():
    """Counting a step costs the same after a pause of a year."""
    rates = RateWindows()
    for at in (0.0, 0.1, 3600.0, 86_400.0 * 365, 86_400.0 * 366):
        rates.add(at)
        assert len(rates._full) < MAX_RATE_WINDOWS
