"""The guard against asking without end: it stops a run whose calls end, and bring neither a sample nor a failure."""

from unerring.errors import ProviderGone
from unerring.runtime.calls.ledger import Ledger
from unerring.runtime.question import Question

MOST_UNANSWERED = 1000  # samples of a step, beyond twice those that may be under way, of whose calls nothing is heard
MANY_STEPS = 4096  # from which on those that are committed are forgotten


class OutcomeGuard:
    """Counts the samples that each step was asked for since one of its calls had an outcome.

    It is the last guard, whatever calls end in: the retries of a call have their own limits.
    """

    def __init__(self, ledger: Ledger, most: int) -> None:
        """At most `most` samples may be under way at once."""
        self._ledger = ledger
        self._most = most
        self._unanswered: dict[tuple[int, str], int] = {}  # by the step's number and the digest of its place

    def asked(self, question: Question, samples: int) -> None:
        """Count a call that is about to be made.

        Raises `ProviderGone` where a step was asked for all that its caps allow, or far more than may be under way,
        and no call had any outcome.
        """
        policy, key = self._ledger.state.policy, (question.step.step, question.at)
        unanswered = self._unanswered[key] = self._unanswered.get(key, 0) + samples
        if unanswered > min(policy.vote_cap * (1 + policy.flag_cap), MOST_UNANSWERED + 2 * self._most):
            raise ProviderGone(
                f"step {question.step.step} was asked for {unanswered:,} samples, and neither a sample nor a failure "
                "came of it"
            )
        if len(self._unanswered) > MANY_STEPS:
            committed = self._ledger.state.committed
            self._unanswered = {at: count for at, count in self._unanswered.items() if at[0] >= committed}

    def ended(self, question: Question, samples: int, given_up: bool) -> None:
        """Take a call's end into account: one that the run gave up counts no more, any other is an outcome."""
        key = question.step.step, question.at
        if not given_up:
            self._unanswered.pop(key, None)
        elif key in self._unanswered:
            self._unanswered[key] -= samples
