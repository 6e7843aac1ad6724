"""Check numbers that users give: an error names the parameter, the allowed range, and the value.

Each number has a largest sensible value: 1e300 seconds or samples are a mistake.
"""

from typing import Any

from unerring.errors import InputError

MAX_COUNT = 10**9  # votes, rounds, flagged samples, tokens of an answer
MAX_IN_FLIGHT = 10**6  # samples
MAX_TOTAL = 10**15  # steps, tokens and calls of a run
MAX_DOLLARS = 1e9
MAX_HOURS = 1e6
MAX_SECONDS = 1e9
MAX_TEMPERATURE = 100.0
MAX_SEED = 2**63 - 1


def is_plain(text: str) -> bool:
    """Whether a number is written without what only Python reads: underscores, and digits of other scripts."""
    return text.isascii() and "_" not in text


def require_whole(name: str, value: Any, least: int = 1, most: int = MAX_COUNT, what: str = "a whole number") -> None:
    """Raise `InputError` unless the value is an int from `least` to `most`; True and 1.0 are not."""
    if type(value) is not int or not least <= value <= most:
        raise _refused(name, what, f"{least:,}", f"{most:,}", value, type(value) is int and value > most)


def require_number(
    name: str, value: Any, least: float = 0.0, most: float = MAX_SECONDS, what: str = "a number"
) -> None:
    """Raise `InputError` unless the value is a finite number from `least` to `most`; True is not."""
    if type(value) not in {int, float} or not least <= value <= most:
        above = type(value) in {int, float} and value > most
        raise _refused(name, what, f"{least:,.10g}", f"{most:,.10g}", value, above)


def require_share(name: str, value: Any, below_one: bool = False, above_zero: bool = False) -> None:
    """Raise `InputError` unless the value is a number from 0 to 1, without the ends that are excluded."""
    number = type(value) in {int, float} and 0.0 <= value <= 1.0
    if number and not (below_one and value == 1) and not (above_zero and value == 0):
        return
    low, high = "above 0" if above_zero else "from 0", "below 1" if below_one else "to 1"
    raise InputError(f"{name} must be a number {low} {'and ' if above_zero else ''}{high}; got {value!r:.40}")


def _refused(name: str, what: str, least: str, most: str, value: Any, above: bool) -> InputError:
    bound = f"at most {most}" if above else f"at least {least}"
    return InputError(f"{name} must be {what}, {bound}; got {value!r:.40}")
