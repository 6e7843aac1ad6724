"""Check the samples and token counts that a model's own code returns, and give their fields exact built-in types.

A journal can write and read back only these types: a text of a subclass of `str`, such as numpy's, is converted, and a
value of another type is refused before anything is written.
"""

from math import inf
from operator import index
from typing import Any

from unerring.core.numbers import MAX_TOTAL
from unerring.core.short_text import short
from unerring.core.voting.sample import Finish, Sample, Usage

MAX_LOGPROB_NATS = 1e-3  # 0 is the most there is; rounding may take a mean a little above


class UnusableValue(TypeError):
    """A model's own code returned a value that cannot be used; the message says what follows "returned"."""


def checked_sample(sample: Any, has_worst_case: bool = False) -> Sample:
    """The sample with fields of exact built-in types; raises `UnusableValue` where one is wrong.

    With `has_worst_case` a sample may have more cached tokens than tokens read: its call is then charged at the worst
    case of its sampler.
    """
    if type(sample) is Sample and _is_exact(sample):
        return sample
    if not isinstance(sample, Sample):
        raise UnusableValue(f"returned {short(sample)} as a Sample; a sampler returns a list of samples")
    logprob = _number("logprob", sample.logprob)
    if logprob is not None and not -inf < logprob <= MAX_LOGPROB_NATS:  # NaN fails the comparison too
        raise _wrong_field("logprob", logprob, "a finite number, at most 0, or None")
    if type(sample.finish) is not Finish:
        raise _wrong_field("finish", sample.finish, "a member of unerring.Finish, such as Finish.STOP")
    if type(sample.cached) is not bool:
        raise _wrong_field("cached", sample.cached, "True or False")
    return Sample(
        _text("text", sample.text),
        checked_usage(sample.usage, "a Sample whose usage is ", has_worst_case),
        sample.finish,
        None if logprob is None else min(logprob, 0.0),
        _text("voter", sample.voter),
        _optional_text("reply_id", sample.reply_id),
        sample.cached,
        _optional_text("served", sample.served),
        _number("seconds", sample.seconds),
        _optional_text("reason", sample.reason),
        _number("made", sample.made),
        _optional_text("note", sample.note),
    )


def checked_usage(usage: Any, where: str = "", has_worst_case: bool = False) -> Usage:
    """The usage with exact whole numbers; raises `UnusableValue` where it is no possible number of tokens."""
    if not isinstance(usage, Usage):
        raise UnusableValue(f"returned {where}{short(usage)}; it is a Usage of whole numbers of tokens")
    counts = []
    for name in ("input_tokens", "output_tokens", "cached_tokens"):
        value = getattr(usage, name)
        try:
            count = -1 if isinstance(value, bool) else index(value)
        except TypeError:
            count = -1
        if not 0 <= count <= MAX_TOTAL:
            raise UnusableValue(f"returned {where}a Usage of {name}={short(value)}; it is a whole number from 0")
        counts.append(count)
    read, _, cached = counts
    if cached > read and not has_worst_case:
        raise UnusableValue(
            f"returned {where}a Usage of {cached:,} cached_tokens and {read:,} input_tokens; "
            "cached tokens are part of those read"
        )
    return Usage(*counts)


def _is_exact(sample: Sample) -> bool:
    """Whether nothing of a sample is to be converted or refused: a fast test, since nearly all are so."""
    usage, logprob = sample.usage, sample.logprob
    return (
        type(usage) is Usage
        and type(usage.input_tokens) is type(usage.output_tokens) is type(usage.cached_tokens) is int
        and 0 <= usage.cached_tokens <= usage.input_tokens <= MAX_TOTAL
        and 0 <= usage.output_tokens <= MAX_TOTAL
        and type(sample.text) is type(sample.voter) is str
        and type(sample.finish) is Finish
        and type(sample.cached) is bool
        and (logprob is None or (type(logprob) is float and -inf < logprob <= 0.0))
        and (sample.reply_id is None or type(sample.reply_id) is str)
        and (sample.served is None or type(sample.served) is str)
        and (sample.seconds is None or type(sample.seconds) is float)
        and (sample.reason is None or type(sample.reason) is str)
        and (sample.made is None or type(sample.made) is float)
        and (sample.note is None or type(sample.note) is str)
    )


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise _wrong_field(name, value, "text (str)")
    return str.__str__(value)  # an exact str, even where a subclass overrides `__str__`


def _optional_text(name: str, value: Any) -> str | None:
    return None if value is None else _text(name, value)


def _number(name: str, value: Any) -> float | None:
    if value is None:
        return None
    try:
        if isinstance(value, bool) or not hasattr(value, "__float__"):  # a text has none
            raise TypeError
        return float(value)
    except (TypeError, ValueError, OverflowError):
        raise _wrong_field(name, value, "a number, or None") from None


def _wrong_field(name: str, value: Any, form: str) -> UnusableValue:
    return UnusableValue(f"returned a Sample whose {name} is {short(value)}; it is {form}")
