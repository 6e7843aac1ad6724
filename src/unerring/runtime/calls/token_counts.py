"""Check the token counts that a provider reports against the prompt and the reply.

A count with fewer tokens than the texts must have (`min_tokens`) is impossible. The true one is unknown, so the call
is charged at its worst case, like a call without a count.
"""

from collections.abc import Callable
from dataclasses import replace

from unerring.core.voting.sample import Finish, Sample, Settings, Usage, min_tokens
from unerring.runtime.protocols import Sampler


def min_input_tokens(prompt: str, settings: Settings) -> int:
    """The fewest input tokens that a call can have, for its prompt and the messages before it."""
    if not settings.messages:
        return min_tokens(prompt)
    return min_tokens(prompt) + sum(min_tokens(message.content) for message in settings.messages)


def with_possible_counts(sampler: Sampler, prompt: str, settings: Settings, samples: list[Sample]) -> list[Sample]:
    """Replace impossible token counts by the worst case.

    Samples stay as they are where the sampler does not say what a call costs at worst, and where the prompt was
    refused without being read, which costs nothing.
    """
    worst: Callable[..., Usage] | None = getattr(sampler, "worst", None)
    if worst is None:
        return samples
    read = sum([sample.usage.input_tokens for sample in samples])
    suspicious = len(prompt) > 8 * read or bool(settings.messages)  # a cheap test first: counting takes longer
    lacking = suspicious and read < min_input_tokens(prompt, settings)
    if not lacking and not any(map(_is_short, samples)):
        return samples
    if all(sample.finish is Finish.REFUSED and not sample.text and sample.usage == Usage() for sample in samples):
        return samples
    most = worst(prompt, settings, len(samples))
    each = most.output_tokens // len(samples)
    charged = [
        replace(sample, usage=replace(sample.usage, output_tokens=max(each, min_tokens(sample.text))))
        if _is_short(sample)
        else sample
        for sample in samples
    ]
    if lacking:
        usage = replace(charged[0].usage, input_tokens=most.input_tokens, cached_tokens=0)
        charged[0] = replace(charged[0], usage=usage)
    return charged


def _is_short(sample: Sample) -> bool:
    """Whether a sample has fewer output tokens than its text must have."""
    written = sample.usage.output_tokens
    return len(sample.text) > 8 * written and written < min_tokens(sample.text)
