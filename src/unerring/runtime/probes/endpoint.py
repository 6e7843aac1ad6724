"""Run the probes of an endpoint: their calls are rate-limited, reserved and journaled like any others."""

import logging
from contextlib import suppress
from dataclasses import replace

from unerring.core.chain import Subtask
from unerring.core.journal.entries import PROBE_SLOT, Probed
from unerring.core.journal.spend import Charge
from unerring.core.voting.sample import Sample, Settings, Usage
from unerring.errors import ProviderGone, VotesCopied
from unerring.runtime.calls.ledger import CallTries, Ledger
from unerring.runtime.calls.retry import Caller, CallRequest
from unerring.runtime.probes.probe import EndpointNature, ProbeFinding
from unerring.runtime.probes.random_letters import MAX_CALLS, MIN_CALLS, nonce_of, probe
from unerring.runtime.probes.repeated_question import MAX_REPEAT_CALLS, probe_repeats
from unerring.runtime.probes.shared_reply import MAX_SHARE_CALLS, probe_shared
from unerring.runtime.protocols import BatchEndpoint, Endpoint, Sampler
from unerring.runtime.refusals import refused_by_itself

log = logging.getLogger("unerring")


async def probe_endpoint(endpoint: Sampler, subtask: Subtask, ledger: Ledger, caller: Caller) -> ProbeFinding | None:
    """Probe an endpoint before the session's first step, which asks `subtask`.

    Returns None where it refuses such calls. Raises `VotesCopied` where it sends copies.
    """
    state, config = ledger.state, ledger.config
    assert state.opened is not None
    step, limit = state.committed, state.policy.flags.max_output_tokens
    settings = state.request.probe_settings(Settings(1.0, limit, state.opened.seed, step, 0))
    line = (
        f"trying the endpoint {endpoint.name} out: {MIN_CALLS} to {MAX_CALLS} short calls; where these show "
        f"nothing, mostly 6 and at most {MAX_REPEAT_CALLS + MAX_SHARE_CALLS} more that read the run's next question"
    )
    log.info("%s", line)
    if config.notice is not None:
        config.notice(line)
    sender, nonce = ProbeSender(ledger, caller, endpoint), nonce_of(state.opened.seed, config.clock.time())
    try:
        finding = await probe(sender.send, nonce, settings)
    except ProviderGone as gone:
        if not refused_by_itself(gone):
            raise
        return None  # a filter that refuses meaningless letters says nothing of caches
    if finding.nature is EndpointNature.UNSURE and finding.received:
        asked = state.request.settings(subtask, endpoint.compact, settings)
        question = subtask.first_wording(endpoint.compact)
        with suppress(ProviderGone):  # it may refuse this question; other failures stop the run soon
            finding = await probe_repeats(sender.send, question, nonce, asked, finding)
            if not finding.fatal:
                finding = await probe_shared(sender.send, question, nonce, asked, finding, config.clock)
    ledger.record(Probed(step, f"{endpoint.name}: {finding.sentence}", Charge()))
    if finding.fatal:
        raise VotesCopied(f"{endpoint.name}: {finding.sentence}; {finding.advice}")
    return finding


class ProbeSender:
    """Sends the probe calls of one endpoint, each with a number of its own."""

    def __init__(self, ledger: Ledger, caller: Caller, endpoint: Sampler) -> None:
        self._ledger = ledger
        self._caller = caller
        self._endpoint = endpoint
        self._next = PROBE_SLOT

    async def send(self, prompt: str, settings: Settings, n: int) -> list[Sample]:
        """The samples of one call, retried after passing failures."""
        slot = self._next
        self._next -= 1
        tries = CallTries(self._ledger, (settings.step, slot, 1), None, self._ledger.config.stop)
        state = self._ledger.state
        assert state.opened is not None
        at = f"trial of session {state.sessions}"
        sent = state.request.with_nonce(prompt, state.opened.time, at, replace(settings, slot=slot))
        samples = await self._caller.call(CallRequest(self._endpoint, sent, settings, n), tries)
        usage = sum((sample.usage for sample in samples), Usage())
        self._ledger.record(Probed(settings.step, "", self._ledger.price(self._endpoint, usage), slot))
        return samples


def can_be_probed(sampler: Sampler) -> bool:
    """Whether a sampler is an endpoint that answers at once, unlike a batch: it may have a cache in between."""
    return isinstance(sampler, Endpoint) and not isinstance(sampler, BatchEndpoint)
