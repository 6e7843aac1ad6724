"""The trial calls of a session: paced, reserved and journaled like any others."""

from dataclasses import replace

from unerring.core.entries import PROBE, Probed
from unerring.core.sample import Sample, Settings, Usage
from unerring.runtime.calling import Asked, Caller, deferred
from unerring.runtime.ledger import Ledger, Tries
from unerring.runtime.ports import Endpoint, Sampler


class Trial:
    """Sends the trial calls of one endpoint, each under a number of its own."""

    def __init__(self, ledger: Ledger, caller: Caller, endpoint: Sampler) -> None:
        self._ledger = ledger
        self._caller = caller
        self._endpoint = endpoint
        self._next = PROBE

    async def ask(self, prompt: str, settings: Settings, n: int) -> list[Sample]:
        """The samples of one call, through all passing failures."""
        slot = self._next
        self._next -= 1
        tries = Tries(self._ledger, (settings.step, slot, 1), None, self._ledger.around.stop)
        state = self._ledger.state
        assert state.opened is not None
        at = f"trial of session {state.sessions}"
        sent = state.request.worded(prompt, state.opened.time, at, replace(settings, slot=slot))
        samples = await self._caller.call(Asked(self._endpoint, sent, settings, n), tries)
        usage = sum((sample.usage for sample in samples), Usage())
        self._ledger.record(Probed(settings.step, "", self._ledger.price(self._endpoint, usage), slot))
        return samples


def can_be_tried(sampler: Sampler) -> bool:
    """Whether there may be a cache between, and an answer comes while one waits: not in a batch, hours later."""
    return isinstance(sampler, Endpoint) and not deferred(sampler)
