"""Points of a function process: where its function waits after the answers and results so far."""

from dataclasses import dataclass, field
from enum import Enum
from hashlib import blake2b

from unerring.core.voting.canonical import Json, canonical

DIGEST_BYTES = 8


class GivenKind(Enum):
    """What the function was given for what it awaited; the values are part of digests in journals."""

    CHOICE = "choice"
    UNDECIDED = "undecided"
    RESULT = "result"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Given:
    """What the function was given: a choice, a result, or an error.

    value: the choice or result, canonical JSON; of an error its fields, likewise.
    """

    kind: GivenKind
    value: str


@dataclass(slots=True, eq=False)
class Point:
    """A place in the course of a function, given by all outcomes before it. Points share those before them.

    before: the point before; None at the start, and for a stand-in.
    outcome: what led here from there.
    digest: of all outcomes so far; empty at the start.
    depth: how many times the function was resumed before.
    gathering: the point where questions are asked side by side; None outside a `gather`.
    index: which of them this point asks; 0 outside a `gather`.
    asked: what the function waits for here, as a number and in words, to notice that it waits for something else when
        it runs again; None where it has not run to here yet.
    """

    before: "Point | None" = field(default=None, repr=False)
    outcome: Given | None = None
    digest: str = ""
    depth: int = 0
    gathering: "Point | None" = field(default=None, repr=False)
    index: int = 0
    asked: tuple[int, str] | None = field(default=None, repr=False)

    def after(self, outcome: Given) -> "Point":
        """The point where the function waits next, after this outcome."""
        resumed_at = self.gathering or self
        return Point(self, outcome, digest_after(self.digest, outcome), resumed_at.depth + 1)

    def next_gathered(self, choice: str | None) -> "Point":
        """The point of the next question of a `gather`; without a choice a stand-in, which asks the same."""
        resumed_at = self.gathering or self
        if choice is None:
            return Point(None, None, "", resumed_at.depth, resumed_at, self.index + 1)
        outcome = Given(GivenKind.CHOICE, choice)
        digest = digest_after(self.digest, outcome)
        return Point(self, outcome, digest, resumed_at.depth, resumed_at, self.index + 1)

    @property
    def place(self) -> Json:
        """What the question here depends on, as JSON data: not on the other answers of the same `gather`."""
        return self.digest if self.gathering is None else [self.gathering.digest, self.index]

    @property
    def step(self) -> int:
        """The number of steps before this point."""
        steps, point = 0, self
        while point.before is not None and point.outcome is not None:
            steps += point.outcome.kind in {GivenKind.CHOICE, GivenKind.UNDECIDED}
            point = point.before
        return steps

    @property
    def resumed_at(self) -> "Point":
        """The point where the function began to wait: this one, or that of its `gather`."""
        return self.gathering or self


def undecided_outcome(step: int | None, reason: str, tally: tuple[int, ...]) -> Given:
    """The outcome of a step that stays undecided."""
    value: Json = {"step": step, "reason": reason, "tally": list(tally)}
    return Given(GivenKind.UNDECIDED, canonical(value))


def digest_after(digest: str, outcome: Given) -> str:
    """The digest of the outcomes so far, and one more."""
    text = f"{digest}\0{outcome.kind.value}\0{outcome.value}"
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=DIGEST_BYTES).hexdigest()
