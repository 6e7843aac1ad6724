"""Red flags: the reasons why a sample may not vote, and the rules for those that need no parser.

A flagged sample is discarded and drawn again, never repaired: answers that are too long or badly formed are more often
wrong, and wrong in the same way as each other (Meyerson et al., arXiv:2511.09030, section 3.3).
"""

from dataclasses import dataclass
from enum import Enum
from typing import Any

from unerring.core.numbers import require_number, require_whole
from unerring.core.short_text import short
from unerring.core.user_code import wrong_return
from unerring.core.voting.sample import Finish, Sample

MIN_LOGPROB_NATS = -1e6  # nats


class FlagKind(Enum):
    """The kind of a red flag, by its name in journals; reports count each kind apart.

    A new kind has a line in `FLAG_ADVICE` (`unerring.core.voting.flag_limit`), and its name in docs/journal.md.
    """

    TOO_LONG = "too long"
    TRUNCATED = "truncated"
    MALFORMED = "malformed"
    IMPROBABLE = "improbable"
    REJECTED = "rejected"
    COPY = "copy"
    REFUSED = "refused"
    BROKEN_OFF = "broken off"


FLAGS_OF_TEXT = frozenset({FlagKind.MALFORMED, FlagKind.REJECTED})
"""Kinds that the process's own parser or check raises: another one may read the same text as a vote."""


class RedFlag(Exception):
    """A reason not to count a sample.

    Raise it from a parser (`RedFlag("no move found")`), or return it from a chain's `check`. Any other exception from
    a user's code is a bug of that code and stops the run.
    """

    def __init__(self, reason: str, kind: FlagKind = FlagKind.MALFORMED) -> None:
        """Raises `TypeError`, on the user's own line, for a reason that is not text or another kind."""
        if not isinstance(reason, str):
            raise TypeError(f'RedFlag(reason) is a text, such as RedFlag("no move found"), not {short(reason)}')
        if not isinstance(kind, FlagKind):
            raise TypeError(f"RedFlag(kind=...) is a FlagKind, not {short(kind)}")
        super().__init__(reason)
        self.reason = str.__str__(reason)  # a subclass of str, such as numpy's, becomes a str
        self.kind = kind


def require_usable(flag: RedFlag, method: str, step: int | None, function: Any) -> None:
    """Raise `WrongReturn` for a flag of a user's own subclass that has no reason or kind."""
    reason, kind = getattr(flag, "reason", None), getattr(flag, "kind", None)
    if type(reason) is not str or not isinstance(kind, FlagKind):
        said = f"gave a {type(flag).__name__} without a reason; its __init__ calls super().__init__(reason)"
        raise wrong_return(method, said, step, function)


class NullAnswer(RedFlag):
    """The red flag of an answer that is JSON's null; a `nullable` subtask reads it as the choice None instead."""

    def __init__(self) -> None:
        super().__init__("the answer is null")


@dataclass(frozen=True, slots=True)
class FlagRules:
    """The rules by which a sample is flagged before it is parsed.

    max_output_tokens: an answer of more tokens is flagged as too long.
    min_logprob: an answer with a lower mean log-probability of its tokens is flagged as improbable (nats; only where
        the engine gives one).
    """

    max_output_tokens: int = 750
    min_logprob: float | None = None

    def __post_init__(self) -> None:
        require_whole("max_output_tokens", self.max_output_tokens)
        if self.min_logprob is not None:
            require_number("min_logprob", self.min_logprob, MIN_LOGPROB_NATS, 0.0)

    def screen(self, sample: Sample) -> RedFlag | None:
        """The first red flag that the sample raises by itself; None where it raises none."""
        if sample.finish is Finish.REFUSED:
            return RedFlag("the model declined to answer" + _in_brackets(sample.reason), FlagKind.REFUSED)
        if sample.finish is Finish.OTHER:
            ended = "without a reason" if not sample.reason else f"for the reason {sample.reason!r}"
            return RedFlag(
                f"the provider ended the answer {ended}, which does not say that it is whole", FlagKind.BROKEN_OFF
            )
        if sample.finish is Finish.LENGTH:
            after = f" after {sample.usage.output_tokens} tokens" if sample.usage.output_tokens else ""
            return RedFlag(f"the answer was cut off at its length limit{after}", FlagKind.TRUNCATED)
        if sample.usage.output_tokens > self.max_output_tokens:
            tokens = sample.usage.output_tokens
            return RedFlag(f"{tokens} tokens, more than {self.max_output_tokens}", FlagKind.TOO_LONG)
        if self.min_logprob is not None and sample.logprob is not None and sample.logprob < self.min_logprob:
            return RedFlag(
                f"mean log-probability {sample.logprob:.3g}, below {self.min_logprob:g}", FlagKind.IMPROBABLE
            )
        return None


def _in_brackets(reason: str | None) -> str:
    return "" if reason is None else f" ({reason})"
