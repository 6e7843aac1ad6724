"""The providers that ship, by name: how their models are written, and what makes their samplers.

A new provider is an entry of `PROVIDERS`, a function that makes its sampler, and the file or folder of that sampler.
Samplers are imported where they are made, since some import a lot. `unerring.adapters.plugins` has the users' own.
"""

from collections.abc import Callable
from dataclasses import dataclass

from unerring.adapters.embedded.catalog import DRAFT, SPECIFICATIONS, parse_embedded_spec
from unerring.adapters.trust.permission import GIVEN, Permission
from unerring.core.checked_chain import CheckedChain
from unerring.errors import InputError
from unerring.runtime.protocols import Sampler

NO_RUN = "no run"


@dataclass(frozen=True, slots=True)
class SamplerContext:
    """The run that samplers are made for.

    chain: its process; None where that cannot be made, and a sampler is only made to read its properties.
    seed: the seed of their samples.
    run: the name of the run, the same when it is resumed; `NO_RUN` where samplers are not asked.
    permission: which code may be imported and which hosts may receive a key.
    """

    chain: CheckedChain | None
    seed: int
    run: str = NO_RUN
    permission: Permission = GIVEN


@dataclass(frozen=True, slots=True)
class Provider:
    """A provider that ships.

    forms: how its models are written, for messages and `--help`.
    about: what it is, for `--help`.
    beginnings: what completes the specification of a model in a shell.
    make: makes the sampler of a specification.
    sends: whether questions leave this process; where they do not, models are free and need no trust.
    """

    forms: str
    about: str
    beginnings: tuple[str, ...]
    make: Callable[[str, SamplerContext], Sampler]
    sends: bool = True


def _embedded(spec: str, context: SamplerContext) -> Sampler:
    from unerring.adapters.embedded.sampler import EmbeddedDrafter, EmbeddedSampler

    drafting = parse_embedded_spec(spec)[1] == (DRAFT,)
    return EmbeddedDrafter(spec) if drafting else EmbeddedSampler(spec, context.seed)


def _openai(spec: str, context: SamplerContext) -> Sampler:
    from unerring.adapters.openai import OpenAISampler

    return OpenAISampler(spec, permission=context.permission)


def _openai_batch(spec: str, context: SamplerContext) -> Sampler:
    from unerring.adapters.openai_batch.sampler import BatchSampler

    return BatchSampler(spec, context.run, permission=context.permission)


def _litellm(spec: str, context: SamplerContext) -> Sampler:
    from unerring.adapters.litellm import LiteLLMSampler

    return LiteLLMSampler(spec, permission=context.permission)


def _noise(spec: str, context: SamplerContext) -> Sampler:
    from unerring.adapters.noise import NoisySampler, parse_noise_spec

    rehearse = None if context.chain is None else context.chain.rehearse
    if rehearse is None:
        raise InputError(
            "the noise sampler needs the right answers: of a process with a method rehearse(prompt), or in Python of "
            "unerring.ask(..., truth=...)"
        )
    return NoisySampler(rehearse, **parse_noise_spec(spec))


PROVIDERS: dict[str, Provider] = {
    "embedded": Provider(
        forms="embedded, embedded/digits",
        about="small models that ship, three for Hanoi and three for products and sorting, which take turns; "
        "embedded/a asks one of them",
        beginnings=SPECIFICATIONS,
        make=_embedded,
        sends=False,
    ),
    "openai": Provider(
        forms="openai/MODEL[@URL]",
        about="any endpoint with OpenAI's chat protocol",
        beginnings=("openai/",),
        make=_openai,
    ),
    "openai-batch": Provider(
        forms="openai-batch/MODEL[@URL]",
        about="the batch API of such an endpoint",
        beginnings=("openai-batch/",),
        make=_openai_batch,
    ),
    "litellm": Provider(
        forms="litellm/PROVIDER/MODEL",
        about="a provider that LiteLLM knows",
        beginnings=("litellm/",),
        make=_litellm,
    ),
    "noise": Provider(
        forms="noise/p=0.99,v=0.95,c=0",
        about="made-up answers to try things out; a share p of those without a red flag is right, a share v has no "
        "red flag, and a share c of the errors is the same in all samples of a step",
        beginnings=("noise/p=0.99,v=0.95,c=0",),
        make=_noise,
        sends=False,
    ),
}


def in_this_process(provider: str) -> bool:
    """Whether this is a provider that ships and whose questions do not leave this process."""
    return provider in PROVIDERS and not PROVIDERS[provider].sends
