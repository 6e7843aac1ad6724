"""Set aside a question that a provider refuses; stop the run if the provider would refuse every question.

The question itself is refused where the provider's code or message says so (`FailureKind.REFUSED`: too long for the
model, against a policy), or where it answers 400, 413 or 422 and has answered other steps of the run, asked with the
same model and settings. Any other refusal would meet every step, and ends the run.
"""

from unerring.core.journal.entries import Refused
from unerring.core.voting.sample import Finish, Sample
from unerring.errors import FailureKind, ProviderDown, ProviderGone, StepRefused
from unerring.runtime.calls.ledger import Ledger
from unerring.runtime.config import RunConfig
from unerring.runtime.ensemble import answers_as, samplers_of
from unerring.runtime.protocols import Sampler
from unerring.runtime.question import Question

QUESTION_STATUSES = {400, 413, 422}  # HTTP statuses that may concern one question alone
MAX_REMEMBERED_QUESTIONS = 10_000  # that some model has refused


def refused_by_itself(gone: ProviderGone) -> bool:
    """Whether the provider says that it refuses the question of one call, and not every call."""
    return isinstance(gone.__cause__, ProviderDown) and gone.__cause__.kind is FailureKind.REFUSED


class Refusals:
    """Which samplers answered and which refused in this session."""

    def __init__(self, sampler: Sampler, ledger: Ledger, config: RunConfig) -> None:
        self._sampler = sampler
        self._ledger = ledger
        self._config = config
        self._answered: dict[str, set[int]] = {}  # by sampler: steps that it answered, two at most
        self._refused: dict[tuple[int, str], set[str]] = {}

    def answered(self, sampler: Sampler, step: int) -> None:
        """Note that a sampler answered a step."""
        steps = self._answered.setdefault(sampler.name, set())
        if len(steps) < 2:
            steps.add(step)

    def flagged_or_raise(
        self, gone: ProviderGone, question: Question, at: str | None, sampler: Sampler, count: int
    ) -> list[Sample]:
        """Return `count` flagged samples where the provider refused the question and other models are still to answer.

        Raises `StepRefused` where no other model is left, with that in the journal, and the failure itself where it
        would meet other questions too. `at` is as in `Intent.at`.
        """
        step = question.step
        refusal = self._of_one_question(gone, sampler, step.step)
        if refusal is None:
            raise gone
        said = str(refusal)
        if not self._by_all(question, sampler):
            return [Sample("", finish=Finish.REFUSED, voter=sampler.name, reason=said)] * count
        if step.step >= self._ledger.state.committed and step.refused != said:
            if step.wordings is None:
                self._ledger.record(question.text_entry(sampler.compact, at))
            self._ledger.record(Refused(step.step, said, at))
        raise StepRefused(f"step {step.step} was refused by the provider: {said}", step.step) from gone

    def _of_one_question(self, gone: ProviderGone, sampler: Sampler, step: int) -> ProviderDown | None:
        down = gone.__cause__
        if not isinstance(down, ProviderDown):
            return None
        if down.kind is FailureKind.REFUSED:
            return down
        if down.kind is not FailureKind.INVALID or down.status not in QUESTION_STATUSES:
            return None
        return down if self._answers_others(sampler, step) else None

    def _by_all(self, question: Question, sampler: Sampler) -> bool:
        """Note that this model refused a step; whether all models that may answer it have."""
        model, key = question.step.model, (question.step.step, question.at)
        every = samplers_of(self._sampler if model is None else self._config.substitutes[model])
        refused = self._refused.setdefault(key, set())
        refused.add(sampler.name)
        if len(self._refused) > MAX_REMEMBERED_QUESTIONS:
            self._refused = {key: refused}
        return refused >= {one.name for one in every}

    def _answers_others(self, sampler: Sampler, step: int) -> bool:
        """Whether the sampler has answered another step, in this session or an earlier one."""
        if self._answered.get(sampler.name, set()) - {step}:
            return True
        state = self._ledger.state
        others = state.committed > 0 or any(
            one.replies for number, places in state.open.items() if number != step for one in places.values()
        )
        return others and any(answers_as(sampler, voter.name) for voter in state.voters.values())
