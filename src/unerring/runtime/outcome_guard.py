"""Stop a run whose calls all end without an answer or an error."""

from unerring.errors import ProviderGone
from unerring.runtime.calls.ledger import Ledger
from unerring.runtime.question import Question

MAX_UNANSWERED_SAMPLES = 1000  # of a step, beyond twice those in flight, whose calls had no outcome
MAX_REMEMBERED_STEPS = 4096  # beyond which committed steps are forgotten


class OutcomeGuard:
    """Counts the samples that were asked for at each step since one of its calls had an outcome.

    It is the last guard; retries of a call have limits of their own.
    """

    def __init__(self, ledger: Ledger, most: int) -> None:
        """At most `most` samples may be in flight at once."""
        self._ledger = ledger
        self._most = most
        self._unanswered: dict[tuple[int, str], int] = {}  # by the step's number and the digest of its place

    def asked(self, question: Question, samples: int) -> None:
        """Count a call that is about to be made.

        Raises `ProviderGone` where a step was asked for all that its caps allow, or for far more than may be in
        flight, and no call had an outcome.
        """
        policy, key = self._ledger.state.policy, (question.step.step, question.at)
        unanswered = self._unanswered[key] = self._unanswered.get(key, 0) + samples
        if unanswered > min(policy.vote_cap * (1 + policy.flag_cap), MAX_UNANSWERED_SAMPLES + 2 * self._most):
            raise ProviderGone(
                f"step {question.step.step} was asked for {unanswered:,} samples, and its calls brought neither "
                "samples nor failures"
            )
        if len(self._unanswered) > MAX_REMEMBERED_STEPS:
            committed = self._ledger.state.committed
            self._unanswered = {at: count for at, count in self._unanswered.items() if at[0] >= committed}

    def ended(self, question: Question, samples: int, given_up: bool) -> None:
        """Count the end of a call: one that the run abandoned no longer counts, any other is an outcome."""
        key = question.step.step, question.at
        if not given_up:
            self._unanswered.pop(key, None)
        elif key in self._unanswered:
            self._unanswered[key] -= samples
