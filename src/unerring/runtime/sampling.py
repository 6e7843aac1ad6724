"""From a question to recorded samples: asks, waits out failures, raises red flags, journals.

Four outcomes are kept apart: a vote, a red flag, a provider's failure (neither), and an undecided step. Only
votes count towards k. An intent is made durable before a paid call is sent, so a crash leaves it recorded as
unknown, never lost from sight.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from random import Random

from unerring.core.entries import Entry, Failed, Intent, Reply, Voter
from unerring.core.process import Chain, Subtask, check_of
from unerring.core.redflag import FlagKind, RedFlag
from unerring.core.replay import Decided, OpenStep, RunState
from unerring.core.sample import Sample, Settings
from unerring.core.vote import ForeignType, Json, NotJson, canonical, parsed
from unerring.errors import Interrupted, ProviderBusy, ProviderDown, ProviderGone
from unerring.runtime.limits import StopRequest, Surroundings
from unerring.runtime.ports import Journal, Sampler

# Entries that may wait for the disk at once before sampling pauses for it.
MOST_PENDING = 4096


class Ledger:
    """The live state and the journal, which hear of every entry together."""

    def __init__(self, state: RunState, journal: Journal) -> None:
        self.state = state
        self.journal = journal
        self._voters = {voter.name: number for number, voter in state.voters.items()}

    def record(self, entry: Entry) -> Decided | None:
        """Fold an entry into the state and append it to the journal."""
        decided = self.state.apply(entry)
        self.journal.append(entry)
        return decided

    def voter(self, name: str) -> int:
        """The number of a voter, recorded at its first appearance."""
        if name not in self._voters:
            number = len(self._voters)
            self.record(Voter(number, name))
            self._voters[name] = number
        return self._voters[name]


class Sampling:
    """Draws the samples of a run's steps. Several steps may be drawn for at once."""

    def __init__(self, chain: Chain, sampler: Sampler, ledger: Ledger, around: Surroundings) -> None:
        self._check = check_of(chain)
        self._sampler = sampler
        self._ledger = ledger
        self._clock = around.clock
        self._patience = around.patience
        self._stop = around.stop
        self._chance = Random()  # spreads waits; decides nothing

    async def draw(self, step: OpenStep, subtask: Subtask, state: Json) -> None:
        """Ask for every sample the step wants, all at once, and record what comes back."""
        policy, halt = self._ledger.state.policy, StopRequest()
        calls = []
        for temperature, run in groupby(step.wanted(), key=policy.temperature):
            slots = list(run)
            calls += [self._call(_Asked(step, subtask, state, halt), temperature, few) for few in _contiguous(slots)]
        if len(calls) == 1:
            await calls[0]
            return
        tasks = [asyncio.ensure_future(call) for call in calls]
        try:
            _, under_way = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
            if under_way:
                # what they are paid for is still taken in, but nothing is tried again
                halt.ask("another call of the step failed")
                await asyncio.wait(under_way)
        except asyncio.CancelledError:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            raise
        failures = [error for task in tasks if (error := task.exception()) is not None]
        # a call that was told to stop because of another one's failure is not the reason
        for error in sorted(failures, key=lambda error: isinstance(error, Interrupted)):
            raise error

    async def _call(self, asked: "_Asked", temperature: float, slots: list[int]) -> None:
        samples = await self._answered(asked, temperature, slots)
        failure: Exception | None = None
        for slot, sample in zip(slots, samples, strict=False):
            try:
                reply = self._classified(asked.step, slot, sample, asked.subtask, asked.state)
            except Exception as error:  # the user's own: the samples that came with this one are kept first
                failure = failure or error
            else:
                self._ledger.record(reply)
        if failure is not None:
            raise failure
        if self._ledger.journal.pending > MOST_PENDING:
            await self._ledger.journal.commit()

    async def _answered(self, asked: "_Asked", temperature: float, slots: list[int]) -> list[Sample]:
        """The samples of one call, through all passing failures."""
        opened = self._ledger.state.opened
        assert opened is not None
        limit = self._ledger.state.policy.flags.max_output_tokens
        step = asked.step.step
        settings = Settings(temperature, limit, opened.seed, step, slots[0])
        prompt = asked.subtask.worded(self._sampler.compact)
        failures, since = 0, self._clock.time()
        while True:
            await self._announce(step, slots)
            try:
                samples = _checked(await self._sampler.sample(prompt, settings, len(slots)))
                if samples:
                    return samples
                failure = ProviderBusy("the model returned no sample")
            except ProviderBusy as error:
                failure = error
            except ProviderDown as error:
                self._settle(step, slots, error)
                raise ProviderGone(str(error)) from error
            self._settle(step, slots, failure)
            await self._wait_out(failure, failures, since, asked.halt)
            failures += 1

    async def _wait_out(self, failure: ProviderBusy, failures: int, since: float, halt: StopRequest) -> None:
        """Wait before the next try; raises `ProviderGone` past all patience, `Interrupted` if asked to stop."""
        wait = self._patience.wait(failures, failure.retry_after, self._chance)
        away = self._clock.time() - since
        if away + wait > self._patience.total:
            raise ProviderGone(
                f"the provider failed for {away:.0f} s on end and asks for {failure.retry_after or wait:.0f} s more, "
                f"beyond the run's patience of {self._patience.total:.0f} s; last: {failure}"
            ) from failure
        await self._stop.unless_asked(halt.unless_asked(self._clock.sleep(wait)))
        reason = self._stop.reason or halt.reason
        if reason is not None:
            raise Interrupted(reason)

    async def _announce(self, step: int, slots: list[int]) -> None:
        if self._sampler.paid:
            self._ledger.record(Intent(step, slots[0], len(slots)))
            await self._ledger.journal.commit()

    def _settle(self, step: int, slots: list[int], error: Exception) -> None:
        if self._sampler.paid:
            self._ledger.record(Failed(step, slots[0], len(slots), str(error)))

    def _classified(self, step: OpenStep, slot: int, sample: Sample, subtask: Subtask, state: Json) -> Reply:
        """Vote or red flag: the sample as it is journaled."""
        earlier = step.texts.get(sample.text)
        choice: str | int | None = None
        flag = self._ledger.state.policy.flags.screen(sample)
        if flag is None and sample.reply_id is not None and step.knows_reply(sample.reply_id):
            flag = RedFlag("the provider served the same reply twice", FlagKind.COPY)
        if flag is None:
            try:
                choice = self._choice(sample.text, subtask, state)
                choice = step.choices.get(choice, choice)
            except RedFlag as raised:
                flag = raised
        return Reply(
            step=step.step,
            slot=slot,
            text=sample.text if earlier is None else earlier,
            choice=choice,
            flag=None if flag is None else flag.kind,
            usage=sample.usage,
            finish=sample.finish,
            logprob=sample.rounded_logprob,
            voter=self._ledger.voter(sample.voter or self._sampler.name),
            reply_id=sample.reply_id,
        )

    def _choice(self, text: str, subtask: Subtask, state: Json) -> str:
        """The canonical choice in a text; raises `RedFlag` where parser or check object."""
        value = subtask.parse(text)
        try:
            choice = canonical(value)
        except ForeignType:
            raise
        except NotJson as error:  # NaN, a lone surrogate: the model's doing, not the parser's
            raise RedFlag(str(error)) from None
        if self._check is not None:
            self._checked_by_user(self._check, state, choice)
        return choice

    @staticmethod
    def _checked_by_user(check: Callable[[Json, Json], RedFlag | None], state: Json, choice: str) -> None:
        """Raise the red flag that a chain's check returns or raises; anything else from it is a bug of its own."""
        try:
            flag = check(state, parsed(choice))
        except RedFlag as raised:
            flag = raised
        if isinstance(flag, RedFlag):
            raise RedFlag(flag.reason, FlagKind.REJECTED)
        if flag is not None:
            raise TypeError(f"check returns a RedFlag or None, not {flag!r}")


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a round of calls asks, and the request to try no call of it again."""

    step: OpenStep
    subtask: Subtask
    state: Json
    halt: StopRequest


def _checked(samples: Sequence[Sample]) -> list[Sample]:
    """The samples as a list; raises `TypeError` for a sampler that breaks its contract."""
    if not isinstance(samples, Sequence) or isinstance(samples, str):
        raise TypeError(f"a sampler returns a list of samples, not {type(samples).__name__}")
    for sample in samples:
        if not isinstance(sample, Sample) or not isinstance(sample.text, str):
            raise TypeError(f"a sampler returns samples with text, not {sample!r}")
    return list(samples)


def _contiguous(slots: list[int]) -> list[list[int]]:
    """Split ascending numbers into runs without gaps: one call names its samples by the first and a count."""
    runs: list[list[int]] = []
    for slot in slots:
        if runs and runs[-1][-1] == slot - 1:
            runs[-1].append(slot)
        else:
            runs.append([slot])
    return runs
