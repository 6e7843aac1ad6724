"""From a question to recorded samples: asks, raises red flags, journals.

Four outcomes are kept apart: a vote, a red flag, a provider's failure (neither), and an undecided step. Only
votes count towards k. An intent is made durable before a paid call is sent, so a crash leaves it recorded as
unknown, never lost from sight.
"""

import asyncio
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import NamedTuple

from unerring.core.entries import Replies, Reply
from unerring.core.open_step import OpenStep
from unerring.core.race import LogOdds
from unerring.core.redflag import FlagKind, RedFlag
from unerring.core.sample import Sample, Settings
from unerring.errors import InputError, Interrupted
from unerring.runtime.calling import Asked, Caller
from unerring.runtime.ledger import Ledger, Tries
from unerring.runtime.limits import StopRequest, Surroundings
from unerring.runtime.panel import seated, voter_name
from unerring.runtime.ports import Sampler
from unerring.runtime.question import Question

# Entries that may wait for the disk at once before sampling pauses for it.
MOST_PENDING = 4096


class Sampling:
    """Draws the samples of a run's steps. Several steps may be drawn for at once."""

    def __init__(self, sampler: Sampler, ledger: Ledger, around: Surroundings) -> None:
        self._sampler = sampler
        self._ledger = ledger
        self._around = around
        most = 256 if around.speculation is None else around.speculation.in_flight
        self._caller = Caller(around, most)
        self._rotation = getattr(sampler, "rotation", 1)

    @property
    def latency(self) -> float | None:
        """How long calls took so far, seconds on average."""
        return self._caller.latency

    def calls(
        self, question: Question, slots: list[int], halt: StopRequest
    ) -> list[tuple[list[int], Coroutine[None, None, None]]]:
        """The calls that draw samples by their numbers, each with its own; none is tried again after `halt`."""
        folded = self._ledger.state
        reached = question.step.step == folded.committed and question.at == folded.last_digest
        place = None if reached else question.at
        each = []
        for seat, run in groupby(slots, key=partial(self._seat, question)):
            for few in _contiguous(list(run)):
                each.append((few, self._call(_Call(question, place, seat, few, halt))))
        return each

    def _seat(self, question: Question, slot: int) -> "_Seat":
        """Who draws a sample, in which wording and at what temperature: fixed by its number and the step's round."""
        policy, step = self._ledger.state.policy, question.step
        if step.model is None:
            escalated = policy.escalate_after is not None and step.rounds > policy.escalate_after
            sampler = seated(self._sampler, slot, escalated)
        else:
            sampler = self._around.substitutes[step.model]
        wordings = len(question.subtask.wordings(sampler.compact))
        # every member meets every wording, whatever their numbers
        wording = slot // self._rotation % wordings if wordings > 1 else 0
        return _Seat(sampler, wording, policy.temperature(slot))

    async def draw(self, question: Question) -> None:
        """Ask for every sample the step wants, all at once, and record what comes back."""
        halt = StopRequest()
        calls = [call for _, call in self.calls(question, question.step.wanted(), halt)]
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

    async def _call(self, call: "_Call") -> None:
        samples = await self._answered(call)
        failure: Exception | None = None
        replies: list[Reply] = []
        known = _Known(call.question.step)
        for slot, sample in zip(call.slots, samples, strict=False):
            try:
                replies.append(self._classified(call, slot, sample, known))
            except Exception as error:  # the user's own: the samples that came with this one are kept first
                failure = failure or error
        for together in _contiguous_replies(replies):
            self._ledger.record(Replies(tuple(together), call.place))
        if failure is not None:
            raise failure
        self.require_weighed(call.seat.voter(sample) for sample in samples)
        for sample in samples:
            if sample.served is not None:
                self._ledger.served(self._ledger.voter(call.seat.voter(sample)), sample.served)
        if self._ledger.journal.pending > MOST_PENDING:
            await self._ledger.journal.commit()

    def require_weighed(self, voters: Iterable[str]) -> None:
        """Raise `InputError` where votes are weighed and those of a voter weigh nothing, since nobody measured it."""
        rule = self._ledger.state.policy.rule
        if not isinstance(rule, LogOdds):
            return
        for name in set(voters):
            if rule.weights.voter(name) is None:
                measured = ", ".join(known for known, _ in rule.weights.voters)
                raise InputError(
                    f"votes of {name} weigh nothing: the weights of this run were measured of {measured}. "
                    "Calibrate the model that answers, or count votes (--rule ahead-by)"
                )

    async def _answered(self, call: "_Call") -> list[Sample]:
        """The samples of one call, through all passing failures."""
        opened = self._ledger.state.opened
        assert opened is not None
        seat, step = call.seat, call.question.step.step
        limit = self._ledger.state.policy.flags.max_output_tokens
        settings = Settings(seat.temperature, limit, opened.seed, step, call.slots[0])
        prompt = call.question.subtask.wordings(seat.sampler.compact)[seat.wording]
        tries = Tries(self._ledger, (step, call.slots[0], len(call.slots)), call.place, self._around.stop, call.halt)
        return await self._caller.call(Asked(seat.sampler, prompt, settings, len(call.slots)), tries, call.halt)

    def _classified(self, call: "_Call", slot: int, sample: Sample, known: "_Known") -> Reply:
        """Vote or red flag: the sample as it is journaled."""
        question = call.question
        choice: str | None = None
        flag = self._ledger.state.policy.flags.screen(sample)
        if flag is None and sample.reply_id is not None and known.repeats(sample.reply_id):
            flag = RedFlag("the provider served the same reply twice", FlagKind.COPY)
        if flag is None:
            try:
                choice = question.choice(sample.text)
            except RedFlag as raised:
                flag = raised
        return Reply(
            step=question.step.step,
            slot=slot,
            text=known.text(sample.text, slot),
            choice=None if choice is None else known.choice(choice, slot),
            flag=None if flag is None else flag.kind,
            usage=sample.usage,
            finish=sample.finish,
            logprob=sample.rounded_logprob,
            voter=self._ledger.voter(call.seat.voter(sample)),
            reply_id=sample.reply_id,
        )


class _Known:
    """What the samples of a step have had so far: those recorded, and those of the call that is being recorded."""

    def __init__(self, step: OpenStep) -> None:
        self._step = step
        self._texts: dict[str, int] = {}
        self._choices: dict[str, int] = {}
        self._ids: set[str] = set()

    def text(self, text: str, slot: int) -> str | int:
        """A text as it is journaled: itself where it is new, else the number of the sample that had it first."""
        return _first(self._step.texts, self._texts, text, slot)

    def choice(self, choice: str, slot: int) -> str | int:
        """A choice as it is journaled, in the same way."""
        return _first(self._step.choices, self._choices, choice, slot)

    def repeats(self, reply_id: str) -> bool:
        """Whether a sample has had this provider identity; from now on one has."""
        known = reply_id in self._ids or self._step.knows_reply(reply_id)
        self._ids.add(reply_id)
        return known


def _first(recorded: dict[str, int], recording: dict[str, int], value: str, slot: int) -> str | int:
    earlier = recorded.get(value)
    if earlier is not None:
        return earlier
    earlier = recording.setdefault(value, slot)
    return value if earlier == slot else earlier


class _Seat(NamedTuple):
    """How a sample is drawn."""

    sampler: Sampler
    wording: int
    temperature: float

    def voter(self, sample: Sample) -> str:
        """The voter that gave a sample."""
        return voter_name(sample, self.sampler, self.wording)


@dataclass(frozen=True, slots=True)
class _Call:
    """One call: samples of a question by their numbers, without a gap. `place` is as in `Intent.at`."""

    question: Question
    place: str | None
    seat: _Seat
    slots: list[int]
    halt: StopRequest


def _contiguous(slots: list[int]) -> list[list[int]]:
    """Split ascending numbers into runs without gaps: one call names its samples by the first and a count."""
    runs: list[list[int]] = []
    for slot in slots:
        if runs and runs[-1][-1] == slot - 1:
            runs[-1].append(slot)
        else:
            runs.append([slot])
    return runs


def _contiguous_replies(replies: list[Reply]) -> list[list[Reply]]:
    """Split the replies of a call where one in between could not be read."""
    by_slot = {reply.slot: reply for reply in replies}
    return [[by_slot[slot] for slot in run] for run in _contiguous(list(by_slot))]
