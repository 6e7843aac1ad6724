"""Waiting out a provider's passing failures."""

from random import Random

from unerring.errors import Interrupted, ProviderBusy, ProviderGone
from unerring.runtime.limits import StopRequest, Surroundings

_CHANCE = Random()  # spreads waits; decides nothing


async def wait_out(
    failure: ProviderBusy, failures: int, since: float, around: Surroundings, halt: StopRequest | None = None
) -> None:
    """Wait before the next try; raises `ProviderGone` past all patience, `Interrupted` if asked to stop.

    `failures` came before this one in a row, the first at the time `since` or later.
    """
    halt = halt or around.stop
    wait = around.patience.wait(failures, failure.retry_after, _CHANCE)
    away = around.clock.time() - since
    if away + wait > around.patience.total:
        raise ProviderGone(
            f"the provider failed for {away:.0f} s on end and asks for {failure.retry_after or wait:.0f} s more, "
            f"beyond the run's patience of {around.patience.total:.0f} s; last: {failure}"
        ) from failure
    await around.stop.unless_asked(halt.unless_asked(around.clock.sleep(wait)))
    reason = around.stop.reason or halt.reason
    if reason is not None:
        raise Interrupted(reason)
