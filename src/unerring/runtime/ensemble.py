"""Combine several samplers into one, so that one that is wrong again and again on a step is outvoted by the others.

Sample number i of a step is drawn from member i modulo their count. A step that is still open after some rounds may be
handed to the ensemble's reserves, which alone answer from then on: members that disagreed so far would continue to.
"""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import replace
from math import lcm

from unerring.core.journal.spend import WORDING_SEPARATOR
from unerring.core.request import Request
from unerring.core.user_code import ordinary_error
from unerring.core.voting.race import LogOdds, Rule
from unerring.core.voting.sample import Sample, Settings
from unerring.errors import FailureKind, InputError, ProviderBusy, ProviderError
from unerring.runtime.protocols import Sampler

SEPARATOR = " + "
RESERVE = " > "


class Ensemble:
    """Samplers that take turns (members), and samplers for hard steps (reserves)."""

    def __init__(self, members: Sequence[Sampler], reserves: Sequence[Sampler] = ()) -> None:
        self.members = tuple(members)
        self.reserves = tuple(reserves)
        every = self.members + self.reserves
        self.name = SEPARATOR.join(sampler.name for sampler in self.members)
        if reserves:
            self.name += RESERVE + SEPARATOR.join(sampler.name for sampler in self.reserves)
        self.paid = any(sampler.paid for sampler in every)
        self.compact = all(sampler.compact for sampler in every)
        self.rotation = _rotation(self.members)

    async def sample(self, prompt: str, settings: Settings, n: int) -> Sequence[Sample]:
        """Draw n samples of one prompt, each from the member whose turn it is."""
        if len({sampler.compact for sampler in self.members}) > 1:
            raise InputError(
                "one prompt cannot be asked of this ensemble: only some of its models take compact prompts"
            )
        each = (self._one(prompt, replace(settings, slot=settings.slot + i)) for i in range(n))
        return leading_samples(await asyncio.gather(*each, return_exceptions=True))

    async def _one(self, prompt: str, settings: Settings) -> Sample:
        sampler = member_for(self, settings.slot)
        samples = await sampler.sample(prompt, settings, 1)
        if not samples:
            raise ProviderBusy(f"{sampler.name} returned no sample")
        return samples[0] if samples[0].voter else replace(samples[0], voter=sampler.name)


def samplers_of(sampler: Sampler) -> tuple[Sampler, ...]:
    """All samplers of an ensemble, members and reserves; else the sampler alone."""
    return sampler.members + sampler.reserves if isinstance(sampler, Ensemble) else (sampler,)


def member_for(sampler: Sampler, slot: int, escalated: bool = False) -> Sampler:
    """The sampler that draws a step's sample number `slot`."""
    if not isinstance(sampler, Ensemble):
        return sampler
    drawing = sampler.reserves if escalated and sampler.reserves else sampler.members
    return drawing[slot % len(drawing)]


def reserves_of(sampler: Sampler) -> tuple[Sampler, ...]:
    """The samplers for hard steps; none without an ensemble."""
    return sampler.reserves if isinstance(sampler, Ensemble) else ()


def require_weighed(rule: Rule, samplers: Iterable[Sampler]) -> None:
    """Raise `InputError` where votes are weighed and a sampler was never measured: its votes would weigh nothing."""
    if not isinstance(rule, LogOdds):
        return
    measured = [name for name, _ in rule.weights.voters]
    for one in samplers:  # its voters may be its members, or itself in some wording
        if not any(answers_as(one, name) for name in measured):
            raise InputError(
                f"votes of {one.name} would weigh nothing: the weights of this run were measured of "
                f"{', '.join(measured)}. Name one of these, or count votes (`rule` ahead-by)"
            )


def answers_as(sampler: Sampler, voter: str) -> bool:
    """Whether a voter of this name is the sampler, a member of it, or it in another wording."""
    return voter == sampler.name or voter.startswith((f"{sampler.name}/", sampler.name + WORDING_SEPARATOR))


def require_request(request: Request, samplers: Iterable[Sampler]) -> None:
    """Raise `InputError` where a run has request settings that one of its samplers would ignore."""
    for one in samplers:
        for name, asked in (("nonce", request.nonce), ("echo", request.echo)):
            if asked and one.compact:
                raise InputError(f"{one.name} takes no prompts but those it was trained on: leave out `{name}`")
        if request.is_plain:
            continue
        if not getattr(one, "takes_request", True):
            raise InputError(
                f"{one.name} takes no system message and no further fields of a request: leave out `system` and "
                "`extra`, or name another model"
            )


def turns_before(sampler: Sampler, slot: int, escalated: bool = False) -> int:
    """How often all samplers have had their turn before a step's sample number `slot`.

    With several wordings this picks the wording, so that every member is asked in every wording.
    """
    if escalated and (reserves := reserves_of(sampler)):
        return slot // _rotation(reserves)
    rotation: int = getattr(sampler, "rotation", 1)
    return slot // rotation


def _rotation(samplers: Sequence[Sampler]) -> int:
    """After how many samples all of these, and all within them, have had their turns."""
    return lcm(len(samplers), *(getattr(sampler, "rotation", 1) for sampler in samplers))


def voters_of(sampler: Sampler) -> int:
    """How many voters take turns at a step: members by their names, with the voters within each."""
    every = sampler.members if isinstance(sampler, Ensemble) else (sampler,)
    return sum({one.name: int(getattr(one, "rotation", 1)) for one in every}.values())


def voter_name(sample: Sample, sampler: Sampler, wording: int) -> str:
    """The name of a sample's voter: who answered, and the number of the wording where that is not the first."""
    name = sample.voter or sampler.name
    return f"{name}{WORDING_SEPARATOR}{wording + 1}" if wording else name


def wording_of(voter: str) -> int:
    """The number of the wording that a voter was asked in, from 1."""
    number = voter.partition(WORDING_SEPARATOR)[2]
    return int(number) if number.isdecimal() else 1


def leading_samples(outcomes: Sequence[Sample | BaseException]) -> list[Sample]:
    """The samples before the first failed call: these are paid for and kept; the rest is asked for again.

    Raises the failure where it is the first outcome, or a bug instead of a provider's failure. The calls have ended:
    one that was cancelled was cancelled by the model's own code.
    """
    samples: list[Sample] = []
    for outcome in outcomes:
        if isinstance(outcome, Sample):
            samples.append(outcome)
            continue
        failure = as_failure(outcome)
        if not samples or not isinstance(failure, ProviderError):
            raise failure
        break
    return samples


def as_failure(error: BaseException) -> Exception:
    """Convert a call's error into one that an event loop can carry: `SystemExit` and the like would end the loop."""
    if isinstance(error, asyncio.CancelledError):
        return own_cancellation()
    return ordinary_error(error, "model")


def own_cancellation() -> ProviderBusy:
    """The failure of a call that ended in a `CancelledError` although the run had not abandoned it."""
    return ProviderBusy("the model's own code cancelled the call (CancelledError)", kind=FailureKind.UNKNOWN)
