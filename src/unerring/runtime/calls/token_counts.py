"""Check the token counts that a provider reports against the prompt and the reply.

A count with fewer tokens than the texts must have (`min_tokens`), or with more cached tokens than tokens read, is
impossible. The true one is unknown, so the call is charged at its worst case, like a call without a count.
"""

from collections.abc import Callable
from dataclasses import replace

from unerring.core.user_code import OWN_ERRORS, raise_own, wrong_return
from unerring.core.voting.sample import Finish, Sample, Settings, Usage, min_tokens
from unerring.core.voting.sample_check import UnusableValue, checked_usage
from unerring.runtime.protocols import BatchEndpoint, Sampler


def min_input_tokens(prompt: str, settings: Settings) -> int:
    """The fewest input tokens that a call can have, for its prompt and the messages before it."""
    if not settings.messages:
        return min_tokens(prompt)
    return min_tokens(prompt) + sum(min_tokens(message.content) for message in settings.messages)


def worst_case(sampler: Sampler, prompt: str, settings: Settings, n: int) -> Usage | None:
    """The most tokens that a call can be billed for; None where the sampler does not say.

    An error of the sampler's own code, or a wrong value of it, names the sampler and the step.
    """
    worst: Callable[..., Usage] | None = getattr(sampler, "worst", None)  # an `Endpoint` has it
    if worst is None:
        return None
    method = f"{sampler.name}.worst"
    try:
        return checked_usage(worst(prompt, settings, n))
    except UnusableValue as error:
        raise wrong_return(method, str(error), settings.step, worst) from None
    except OWN_ERRORS as error:
        raise_own(error, method, settings.step, worst)


def with_possible_counts(sampler: Sampler, prompt: str, settings: Settings, samples: list[Sample]) -> list[Sample]:
    """Replace impossible token counts by the worst case.

    Samples stay as they are where the sampler does not say what a call costs at worst; where the prompt was refused
    without being read, which costs nothing; and where they come in batches, which bill some with earlier ones.
    """
    if not hasattr(sampler, "worst"):
        return samples
    read = sum([sample.usage.input_tokens for sample in samples])
    suspicious = len(prompt) > 8 * read or bool(settings.messages)  # a cheap test first: counting takes longer
    lacking = suspicious and read < min_input_tokens(prompt, settings)
    lacking = lacking or any(map(_contradicts_itself, samples))
    if not lacking and not any(map(_is_short, samples)):
        return samples
    if all(sample.finish is Finish.REFUSED and not sample.text and sample.usage == Usage() for sample in samples):
        return samples
    if isinstance(sampler, BatchEndpoint):  # checked last, as that takes long
        return samples
    most = worst_case(sampler, prompt, settings, len(samples))
    assert most is not None
    charged = [_with_possible_count(sample, most.output_tokens // len(samples)) for sample in samples]
    if lacking:
        usage = replace(charged[0].usage, input_tokens=most.input_tokens, cached_tokens=0)
        charged[0] = replace(charged[0], usage=usage)
    return charged


def _with_possible_count(sample: Sample, most: int) -> Sample:
    """The sample, with `most` output tokens where its own count is impossible."""
    contradictory = _contradicts_itself(sample)
    if not contradictory and not _is_short(sample):
        return sample
    usage = sample.usage
    cached = 0 if contradictory else usage.cached_tokens
    return replace(sample, usage=Usage(usage.input_tokens, max(most, min_tokens(sample.text)), cached))


def _contradicts_itself(sample: Sample) -> bool:
    """Whether a sample has more cached tokens than tokens read."""
    return sample.usage.cached_tokens > sample.usage.input_tokens


def _is_short(sample: Sample) -> bool:
    """Whether a sample has fewer output tokens than its text must have."""
    written = sample.usage.output_tokens
    return len(sample.text) > 8 * written and written < min_tokens(sample.text)
