"""Exact confidence intervals for a share: so many of so many trials.

Clopper and Pearson (Biometrika 26, 1934): the interval holds every share under which the count, or a more extreme one,
is not too improbable. It covers the true share at least as often as it says, for any number of trials; the price is
that it is somewhat wide. Assumption: trials are independent, such as one vote on each of many steps drawn at random.
"""

from collections.abc import Callable
from math import exp, expm1, lgamma, log, log1p

from unerring.core.voting.odds import loss_probability_of
from unerring.errors import InputError

_MIN_DENOMINATOR = 1e-300
_HALVINGS = 64  # of an interval of log-odds, down to the spacing of floats


def upper_bound(count: float, trials: float, confidence: float = 0.95) -> float:
    """The largest share that `count` of `trials` leave possible, one-sided: above the true one with `confidence`.

    1 where there were no trials.
    """
    _check(count, trials, confidence)
    if count >= trials:
        return 1.0
    if count == 0:
        return -expm1(log1p(-confidence) / trials)
    return _solve_share(lambda share: beta_cdf(share, count + 1.0, trials - count) >= confidence)


def interval(count: float, trials: float, confidence: float = 0.95) -> tuple[float, float]:
    """The two-sided interval of the share: each side is missed with probability at most (1 - `confidence`) / 2."""
    _check(count, trials, confidence)
    each = (1.0 + confidence) / 2.0
    low = 1.0 - upper_bound(trials - count, trials, each) if trials else 0.0
    if 0 < count < trials:  # solved for itself: small shares keep their digits
        low = _solve_share(lambda share: beta_cdf(share, count, trials - count + 1.0) >= 1.0 - each)
    return low, upper_bound(count, trials, each)


def beta_cdf(x: float, a: float, b: float) -> float:
    """The regularized incomplete beta function I_x(a, b): the probability that a Beta(a, b) variable is at most x.

    Continued fraction (Abramowitz and Stegun 26.5.8) by Lentz's method, on the side where it converges fast.
    """
    if x <= 0.0 or x >= 1.0:
        return float(x > 0.0)
    scale = exp(a * log(x) + b * log1p(-x) - log_beta(a, b))
    if x < (a + 1.0) / (a + b + 2.0):
        return scale * _fraction(x, a, b) / a
    return 1.0 - scale * _fraction(1.0 - x, b, a) / b


def log_beta(a: float, b: float) -> float:
    """The natural logarithm of the beta function."""
    return lgamma(a) + lgamma(b) - lgamma(a + b)


def _check(count: float, trials: float, confidence: float) -> None:
    if not 0 <= count <= trials:
        raise InputError(f"{count} of {trials} is no share")
    if not 0.0 < confidence < 1.0:
        raise InputError(f"the confidence is a probability strictly between 0 and 1; it cannot be {confidence}")


def _fraction(x: float, a: float, b: float) -> float:
    numerator, denominator = 1.0, _away_from_zero(1.0 - (a + b) * x / (a + 1.0))
    denominator = 1.0 / denominator
    value = denominator
    for m in range(1, 10_000):
        even = m * (b - m) * x / ((a + 2 * m - 1.0) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1.0))
        for term in (even, odd):
            denominator = 1.0 / _away_from_zero(1.0 + term * denominator)
            numerator = _away_from_zero(1.0 + term / numerator)
            factor = numerator * denominator
            value *= factor
        if abs(factor - 1.0) < 1e-15:
            break
    return value


def _away_from_zero(value: float) -> float:
    return value if abs(value) > _MIN_DENOMINATOR else _MIN_DENOMINATOR


def bisect(holds: Callable[[float], bool], low: float, high: float, turns: int) -> tuple[float, float]:
    """Narrow an interval by bisection: the condition fails at `low` and holds at `high`."""
    for _ in range(turns):
        middle = (low + high) / 2.0
        if holds(middle):
            high = middle
        else:
            low = middle
    return low, high


def _solve_share(enough: Callable[[float], bool]) -> float:
    """The share at which a monotone condition begins to hold, by bisection over its log-odds."""
    return _share(bisect(lambda place: enough(_share(place)), -60.0, 60.0, _HALVINGS)[1])


def _share(log_odds: float) -> float:
    return loss_probability_of(-log_odds)
