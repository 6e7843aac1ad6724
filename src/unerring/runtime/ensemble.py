"""A panel: several samplers as one, so that one that is stubbornly wrong on a step is outvoted by the others.

Sample number i of a step is drawn from member i modulo their count. A step that is still open after some rounds of
voting may be handed to the panel's reserves, which answer alone from then on: members that could not settle it would
only go on disagreeing.
"""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import replace
from math import lcm

from unerring.core.journal.spend import WORDING
from unerring.core.request import Request
from unerring.core.user_code import passable
from unerring.core.voting.race import LogOdds, Rule
from unerring.core.voting.sample import Sample, Settings
from unerring.errors import FailureKind, InputError, ProviderBusy, ProviderError
from unerring.runtime.protocols import Sampler

SEPARATOR = " + "
RESERVE = " > "


class Ensemble:
    """Samplers that take turns, and those that stand by for hard steps."""

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

    def member_for(self, slot: int, escalated: bool = False) -> Sampler:
        """Who draws a step's sample number `slot`."""
        drawing = self.reserves if escalated and self.reserves else self.members
        return drawing[slot % len(drawing)]

    async def sample(self, prompt: str, settings: Settings, n: int) -> Sequence[Sample]:
        """Draw n samples of one prompt, each from the member whose turn it is."""
        if len({sampler.compact for sampler in self.members}) > 1:
            raise InputError("models that know compact prompts only cannot be asked what the others are asked")
        each = (self._one(prompt, replace(settings, slot=settings.slot + i)) for i in range(n))
        return leading(await asyncio.gather(*each, return_exceptions=True))

    async def _one(self, prompt: str, settings: Settings) -> Sample:
        sampler = self.member_for(settings.slot)
        samples = await sampler.sample(prompt, settings, 1)
        if not samples:
            raise ProviderBusy(f"{sampler.name} returned no sample")
        return samples[0] if samples[0].voter else replace(samples[0], voter=sampler.name)


def samplers_of(sampler: Sampler) -> tuple[Sampler, ...]:
    """All samplers behind one: a panel's members and reserves, or itself."""
    return sampler.members + sampler.reserves if isinstance(sampler, Ensemble) else (sampler,)


def member_for(sampler: Sampler, slot: int, escalated: bool = False) -> Sampler:
    """Who draws a step's sample number `slot`."""
    return sampler.member_for(slot, escalated) if isinstance(sampler, Ensemble) else sampler


def reserves_of(sampler: Sampler) -> tuple[Sampler, ...]:
    """The samplers that stand by for hard steps."""
    return sampler.reserves if isinstance(sampler, Ensemble) else ()


def require_weighed(rule: Rule, samplers: Iterable[Sampler]) -> None:
    """Raise `InputError` where votes are weighed, and those of a sampler would weigh nothing: nobody measured it."""
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
    return voter == sampler.name or voter.startswith((f"{sampler.name}/", sampler.name + WORDING))


def require_request(request: Request, samplers: Iterable[Sampler]) -> None:
    """Raise `InputError` where a run has request settings that one of its samplers would not heed."""
    for one in samplers:
        for name, asked in (("nonce", request.nonce), ("echo", request.echo)):
            if asked and one.compact:
                raise InputError(
                    f"{one.name} knows no questions but its own: leave out the line of its own (`{name}`)"
                )
        if request.is_plain:
            continue
        if not getattr(one, "takes_request", True):
            raise InputError(
                f"{one.name} takes no system message and no further fields of a request: leave out `system` and "
                "`extra`, or name another model"
            )


def turns_before(sampler: Sampler, slot: int, escalated: bool = False) -> int:
    """How often all who draw have had their turn before a step's sample number `slot`.

    Where there are several wordings, that says which one it is asked in: so every member meets every wording, whatever
    their numbers.
    """
    if escalated and (reserves := reserves_of(sampler)):
        return slot // _rotation(reserves)
    rotation: int = getattr(sampler, "rotation", 1)
    return slot // rotation


def _rotation(samplers: Sequence[Sampler]) -> int:
    """After how many samples these have all had their turns, with those who take turns within one of them."""
    return lcm(len(samplers), *(getattr(sampler, "rotation", 1) for sampler in samplers))


def voters_of(sampler: Sampler) -> int:
    """How many voters take turns at a step: members by their names, and those who take turns within one of them."""
    every = sampler.members if isinstance(sampler, Ensemble) else (sampler,)
    return sum({one.name: int(getattr(one, "rotation", 1)) for one in every}.values())


def voter_name(sample: Sample, sampler: Sampler, wording: int) -> str:
    """The voter that gave a sample: who answered, and in which wording it was asked where there are several."""
    name = sample.voter or sampler.name
    return f"{name}{WORDING}{wording + 1}" if wording else name


def wording_of(voter: str) -> int:
    """The number of the wording that a voter was asked in, from 1."""
    number = voter.partition(WORDING)[2]
    return int(number) if number.isdecimal() else 1


def leading(outcomes: Sequence[Sample | BaseException]) -> list[Sample]:
    """The samples before the first failed call: they are paid for and kept, and the rest is asked for again.

    Raises the failure where it came first, or where it is a bug and not the provider's. Outcomes are those of calls
    that have ended: what is cancelled among them was cancelled by the model's own code.
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
        return cancelled_by_itself()
    return passable(error, "model")


def cancelled_by_itself() -> ProviderBusy:
    """The failure of a call that ended in a `CancelledError` although the run had not abandoned it."""
    return ProviderBusy("the model's own code cancelled the call (CancelledError)", kind=FailureKind.UNKNOWN)
