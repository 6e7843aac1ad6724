"""The paper's formulas: how often the right answer wins a race or a chain, and how many votes that takes.

Source: Meyerson et al., arXiv:2511.09030, section 3; a single race is the gambler's ruin, which is also Wald's
sequential probability ratio test (1945). Notation as there:

    p  probability that an unflagged sample of one step is right     m  steps decided by one subtask
    k  margin that wins a race                                       s  steps of the whole chain
    t  target probability that the whole chain is right

Assumptions: votes are independent and p is the same at every step (both optimistic); all wrong votes agree
(pessimistic: scattered wrong votes lose sooner). They break where the most likely answer of a step is wrong: no
formula here applies to it, and no k helps.

Everything is computed from log-odds, so that results keep their precision for p -> 1 and for s of 1e12 and more, where
1 - P is far below the spacing of floats around 1.
"""

from math import atanh, ceil, exp, expm1, inf, log, log1p, tanh

from unerring.errors import InputError, NoKCanHelp


def _check(p: float, k: int = 1, m: int = 1) -> None:
    if not 0.0 <= p <= 1.0:
        raise InputError(f"p is a probability, between 0 and 1; it cannot be {p}")
    if k < 1 or m < 1:
        raise InputError(f"k and m are at least 1; they cannot be {k} and {m}")


def log_odds(p: float, m: int = 1) -> float:
    """Log-odds that one vote on m steps is right: ln(p^m / (1 - p^m)), nats; may be infinite."""
    _check(p, m=m)
    if p == 0.0:
        return -inf
    if p == 1.0:
        return inf
    if m == 1:
        return 2.0 * atanh(2.0 * p - 1.0) if p > 0.25 else log(p) - log1p(-p)
    return m * log(p) - log(-expm1(m * log(p)))


def loss_probability(p: float, k: int, m: int = 1) -> float:
    """Probability that a wrong choice wins: 1 / (1 + (p^m/(1-p^m))^k), precise where it is tiny.

    It is 1 minus the paper's equation 9 (for m = 1). Valid for any p; at p = 1/2 it is 1/2 for every k.
    """
    _check(p, k, m)
    return loss_probability_of(k * log_odds(p, m))


def loss_probability_of(weight: float) -> float:
    """1 / (1 + e^weight): the probability of a wrong choice at log-odds `weight` (nats) for the other one."""
    return exp(-weight) / (1.0 + exp(-weight)) if weight >= 0.0 else 1.0 / (1.0 + exp(weight))


def expected_votes(p: float, k: int, m: int = 1) -> float:
    """Exact mean number of votes of a race between two candidates: k (2P - 1) / (2q - 1), with q = p^m.

    P is the probability that the right choice wins. At q = 1/2 the limit is k^2. Where wrong votes scatter over
    several candidates the mean may be somewhat above this, but never above `expected_votes_upper`, which plans use.
    """
    _check(p, k, m)
    if m > 1:
        p = exp(m * log(p)) if p > 0.0 else 0.0
    drift = 2.0 * p - 1.0
    if drift == 0.0:
        return float(k * k)
    return k * tanh(k * log_odds(p) / 2.0) / drift


def expected_votes_upper(p: float, k: int, m: int = 1) -> float:
    """The paper's upper bound of `expected_votes`: k / (2q - 1) with q = p^m; raises `NoKCanHelp` for q <= 1/2."""
    _check(p, k, m)
    _require_majority(p, m)
    return k / (2.0 * exp(m * log(p)) - 1.0)


def chain_probability(p: float, k: int, steps: float, m: int = 1) -> float:
    """Probability that a chain of s `steps` has no error: (1 + ((1-p^m)/p^m)^k)^(-s/m)  (paper, equation 13)."""
    _check(p, k, m)
    _check_steps(steps)
    return exp(_log_chain(p, k, steps, m))


def _log_chain(p: float, k: int, steps: float, m: int) -> float:
    weight = k * log_odds(p, m)
    softplus = log1p(exp(-weight)) if weight > 0.0 else -weight + log1p(exp(weight))
    return -(steps / m) * softplus if steps > 0 else 0.0


def k_min(p: float, steps: float, target: float, m: int = 1) -> int:
    """The smallest k with which all `steps` are decided correctly with probability `target`.

        k_min = ceil( ln(t^(-m/s) - 1) / ln((1-p^m)/p^m) )      (paper, equation 14; it grows as ln s)

    Raises `NoKCanHelp` where p^m <= 1/2, and `InputError` for a target outside (0, 1).
    """
    if not 0.0 < target < 1.0:
        raise InputError(f"the target is a probability strictly between 0 and 1; it cannot be {target}")
    _check_steps(steps)
    _require_majority(p, m)
    odds = log_odds(p, m)
    if odds == inf or steps == 0:
        return 1
    # ln(e^x - 1), written so that it holds for tiny and for huge x
    x = -(m / steps) * log(target)
    k = max(1, ceil(-(log(expm1(x)) if x < 1.0 else x + log1p(-exp(-x))) / odds))
    # the quotient may land a hair off a whole number: the definition has the last word
    while k > 1 and _log_chain(p, k - 1, steps, m) >= log(target):
        k -= 1
    while _log_chain(p, k, steps, m) < log(target):
        k += 1
    return k


def _check_steps(steps: float) -> None:
    if not 0 <= steps < inf:
        raise InputError(f"a chain cannot have {steps} steps")


def _require_majority(p: float, m: int) -> None:
    if log_odds(p, m) <= 0.0:
        raise NoKCanHelp(
            f"no k can help: a vote is right with probability {p**m:.4g}, and voting needs more than 1/2. "
            "Use a better model, stricter red flags, or smaller steps"
        )
