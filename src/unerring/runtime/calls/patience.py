"""Decide how long to wait after a failed call, and when to give up."""

from dataclasses import dataclass
from random import Random

from unerring.core.numbers import require_number
from unerring.core.reporting.summary import duration
from unerring.errors import ProviderBusy, ProviderGone


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait out a provider's passing failures.

    first: the first wait, seconds.
    longest: the longest wait that the provider does not ask for, seconds.
    total: how long calls may only fail before the run stops, resumable, seconds.
    spread: each wait is lengthened at random by up to this share, so that callers do not return all at once.

    The n-th failure in a row is waited out for `first * 2^(n - 1)` seconds, at most `longest`, but never less than the
    provider asked for.
    """

    first: float = 1.0
    longest: float = 60.0
    total: float = 900.0
    spread: float = 0.2

    def __post_init__(self) -> None:
        for name in ("first", "longest", "total"):
            require_number(name, getattr(self, name), what="a number of seconds")
        require_number("spread", self.spread, most=10.0)

    def wait(self, failures: int, retry_after: float | None, chance: Random) -> float:
        """How long to wait after a failure that followed this many others without a break, seconds."""
        wait = min(self.longest, self.first * 2.0 ** min(failures, 30))
        if retry_after is not None and retry_after > wait:
            wait = retry_after
        return wait * (1.0 + self.spread * chance.random())

    def require_left(self, failure: ProviderBusy, failing: float, wait: float) -> None:
        """Raise `ProviderGone` where calls only failed for `failing` seconds, and the next wait is beyond `total`."""
        if failing + wait > self.total:
            read = f" ({failure.reading})" if failure.reading else ""
            further = f"the next wait is {duration(wait)}"
            if failure.retry_after:
                further = f"asks for {duration(failure.retry_after)} more"
            lasted = f" for {duration(round(failing))} without a break" if failing >= 1.0 else ""
            raise ProviderGone(
                f"the provider failed{lasted} and {further}{read}, beyond the run's patience of "
                f"{duration(self.total)}; last: {failure}"
            ) from failure
