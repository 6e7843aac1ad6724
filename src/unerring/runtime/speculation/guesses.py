"""Sources of guesses besides the votes: the chain's own `guess`, or a drafting model."""

from collections.abc import Callable
from typing import Protocol, TypeAlias

from unerring.core.journal.entries import DRAFT_SLOT, Drafted
from unerring.core.user_code import call_own, json_of
from unerring.core.voting.canonical import Json
from unerring.core.voting.redflag import RedFlag
from unerring.core.voting.sample import Sample, Settings
from unerring.errors import ProviderBusy, ProviderError, ProviderGone
from unerring.runtime.calls.ledger import CallTries, Ledger
from unerring.runtime.calls.retry import CallRequest, receive, record_try
from unerring.runtime.config import RunConfig
from unerring.runtime.protocols import Sampler
from unerring.runtime.question import Question


class GuessSource(Protocol):
    """Guesses the choices of open steps."""

    async def guess(self, question: Question) -> str | None:
        """The probable canonical choice of the step, or None for no guess."""


Remember: TypeAlias = Callable[[Sampler, str, Sample], None]


def guesses_of(config: RunConfig, ledger: Ledger, remember: Remember | None = None) -> GuessSource | None:
    """The guess source of a run; None where guesses come from the votes alone. `remember` is given each draft."""
    source = None if config.speculation is None else config.speculation.source
    if source is None:
        return None
    return DraftGuesses(source, ledger, config, remember) if isinstance(source, Sampler) else ChainGuesses(source)


class ChainGuesses:
    """Asks the chain's own `guess(state)`."""

    def __init__(self, guess: Callable[[Json], Json]) -> None:
        self._guess = guess

    async def guess(self, question: Question) -> str | None:
        step = question.step.step
        guessed = call_own(self._guess, "guess", question.state, step=step)
        return None if guessed is None else json_of(guessed, "guess", "choice", step, self._guess)


class DraftGuesses:
    """Asks a drafting model, once a step, at temperature 0. Its answers never vote; their cost is journaled.

    After a failure the model is not asked for a while, and guesses come from the votes meanwhile.
    """

    def __init__(self, sampler: Sampler, ledger: Ledger, config: RunConfig, remember: Remember | None = None) -> None:
        self._note_end = remember
        self._sampler = sampler
        self._ledger = ledger
        self._clock = config.clock
        self._patience = config.patience
        self._failures = 0
        self._not_before = 0.0
        self._chance = config.chance

    async def guess(self, question: Question) -> str | None:
        if self._clock.time() < self._not_before:
            return None
        try:
            text = await self._drafted(question)
        except (ProviderError, ProviderGone) as error:
            after = error.retry_after if isinstance(error, ProviderBusy) else None
            self._not_before = self._clock.time() + self._patience.wait(self._failures, after, self._chance)
            self._failures += 1
            return None
        self._failures = 0
        try:
            return question.choice(text)
        except RedFlag:
            return None

    async def _drafted(self, question: Question) -> str:
        run_state, number = self._ledger.state, question.step.step
        assert run_state.opened is not None
        drawn = Settings(0.0, run_state.policy.flags.max_output_tokens, run_state.opened.seed, number, 0)
        settings = run_state.request.settings(question.subtask, self._sampler.compact, drawn)
        asked = CallRequest(self._sampler, question.subtask.first_wording(self._sampler.compact), settings, 1)
        tries = CallTries(self._ledger, (number, DRAFT_SLOT, 1), question.at)
        await record_try(asked, tries)
        samples = await receive(asked, tries)
        if self._note_end is not None:
            self._note_end(self._sampler, asked.prompt, samples[0])
        if self._sampler.paid:
            usage = samples[0].usage
            charge = self._ledger.price(self._sampler, usage)
            self._ledger.record(Drafted(number, usage, question.at, None if charge.money is None else charge))
        return samples[0].text
