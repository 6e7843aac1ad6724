"""Draw the samples of a step: send the calls, flag what may not vote, and record votes and flags in the journal.

Four outcomes are kept apart: a vote, a red flag, a provider's failure (neither), and an undecided step. Only votes
count towards k. An intent is durable before a paid call is sent: after a crash such a call is of unknown outcome, and
never missing from the journal.
"""

import asyncio
from collections.abc import Coroutine, Iterable
from dataclasses import replace
from functools import partial
from itertools import groupby
from typing import NamedTuple

from unerring.core.chain import Subtask
from unerring.core.journal.entries import Replies, Reply
from unerring.core.voting.copies import CopyDetector, SentCall
from unerring.core.voting.echo import echo_line, without_echo
from unerring.core.voting.race import LogOdds
from unerring.core.voting.redflag import FlagKind, RedFlag
from unerring.core.voting.sample import Sample, Settings, Usage
from unerring.core.voting.step import OpenStep
from unerring.errors import InputError, ProviderGone, VotesCopied
from unerring.runtime.calls.call_size import CallSize, contiguous
from unerring.runtime.calls.ledger import CallTries, Ledger
from unerring.runtime.calls.retry import Caller, CallRequest, wait_for_all
from unerring.runtime.config import RunConfig, StopRequest
from unerring.runtime.ensemble import member_for, samplers_of, turns_before, voter_name
from unerring.runtime.flag_guard import FlagGuard
from unerring.runtime.outcome_guard import OutcomeGuard
from unerring.runtime.probes.endpoint import can_be_probed, probe_endpoint
from unerring.runtime.protocols import Endpoint, Sampler
from unerring.runtime.question import MAX_REASON_CHARS, Question
from unerring.runtime.refusals import Refusals

MAX_PENDING_ENTRIES = 4096  # that wait for the disk before sampling pauses for it


class Sampling:
    """Draws the samples of a run's steps. Several steps may be drawn for at once."""

    def __init__(self, sampler: Sampler, ledger: Ledger, config: RunConfig) -> None:
        self._sampler = sampler
        self._ledger = ledger
        self._config = config
        in_flight = config.in_flight if config.speculation is None else config.speculation.in_flight
        self._max_in_flight = in_flight
        self._caller = Caller(config, in_flight)
        self._endpoint = isinstance(sampler, Endpoint)
        self._to_end: dict[int, bool] = {}  # by sampler; cached, since the type check takes longer than the rest
        self._copies = CopyDetector(config.guards.copies, config.known_replies)
        self._flags = FlagGuard(sampler, ledger, config)
        self._refusals = Refusals(sampler, ledger, config)
        self._outcomes = OutcomeGuard(ledger, in_flight)
        self._size = CallSize()
        for one in (*samplers_of(sampler), *config.substitutes.values()):
            if (most := getattr(one, "call_size", None)) is not None:
                self._size.limit(one.name, most)

    @property
    def latency(self) -> float | None:
        """The mean duration of calls so far, seconds; None before the first."""
        return self._caller.latency

    @property
    def together(self) -> bool:
        """Whether a call for several samples costs less than as many calls."""
        return self._endpoint and not self._size.is_single(self._sampler.name)

    def calls(self, question: Question, slots: list[int], *halts: StopRequest) -> "list[SampleCall]":
        """The calls that draw these samples; none is retried once one of `halts` is requested."""
        parts = self.parts(question, slots)
        if len(parts) == 1 < len(slots) and self._could_win(question.step, len(slots)):
            parts = [slots[:1], slots[1:]]
        return [self.call(question, part, *halts) for part in parts]

    def parts(self, question: Question, slots: list[int]) -> list[list[int]]:
        """Split samples, given by their ascending numbers, into those that one call can bring."""
        parts = []
        for assignment, group in groupby(slots, key=partial(self._assign, question)):
            parts += self._size.split(assignment.sampler.name, list(group))
        return parts

    def call(self, question: Question, slots: list[int], *halts: StopRequest) -> "SampleCall":
        """Prepare one call for several samples, which records those that it receives."""
        state = self._ledger.state
        at_frontier = question.step.step == state.committed and question.at == state.last_digest
        at = None if at_frontier else question.at
        assignment = self._assign(question, slots[0])
        call = _Call(question, at, assignment, slots, halts, self._token(question, slots[0]))
        return SampleCall(slots, self._call(call), self._runs_to_end(assignment.sampler))

    def _runs_to_end(self, sampler: Sampler) -> bool:
        """Whether abandoned calls to a sampler continue until they are answered."""
        if (to_end := self._to_end.get(id(sampler))) is None:
            to_end = self._to_end[id(sampler)] = can_be_probed(sampler)
        return to_end

    def _could_win(self, step: OpenStep, samples: int) -> bool:
        """Whether so many samples could win a step, and must not win it from a single reply."""
        return step.policy.replies_to_win > 1 and not step.race.votes and samples >= step.race.missing()

    async def probe_endpoints(self, subtask: Subtask) -> None:
        """Probe every endpoint before a session's first step, which asks `subtask`.

        Raises `VotesCopied` for an endpoint that sends copies.
        """
        every = (*samplers_of(self._sampler), *self._config.substitutes.values())
        for endpoint in (one for one in every if self._config.guards.probe and can_be_probed(one)):
            finding = await probe_endpoint(endpoint, subtask, self._ledger, self._caller)
            if finding is not None:
                finding.teach(self._copies, endpoint.name)
                if finding.n_honoured is False:
                    self._size.limit(endpoint.name, 1)

    def _assign(self, question: Question, slot: int) -> "_SampleAssignment":
        """Assign a sample number to a model, a wording and a temperature; the step's round matters too."""
        policy, step = self._ledger.state.policy, question.step
        takers = self._sampler if step.model is None else self._config.substitutes[step.model]
        escalated = step.model is None and policy.escalate_after is not None and step.rounds > policy.escalate_after
        sampler = member_for(takers, slot, escalated)
        wordings = len(question.subtask.wordings(sampler.compact))
        wording = turns_before(takers, slot, escalated) % wordings if wordings > 1 else 0
        flagged = step.flagged_before_round if policy.later_temperature == 0 else 0
        return _SampleAssignment(sampler, wording, policy.temperature(slot, flagged))

    async def draw(self, question: Question) -> None:
        """Ask for every sample that the step wants, as many at once as may be in flight, and record them."""
        wanted = question.step.wanted()
        for first in range(0, len(wanted), self._max_in_flight):
            halt, slots = StopRequest(), wanted[first : first + self._max_in_flight]
            await wait_for_all([call.drawn for call in self.calls(question, slots, halt)], halt)
            if self._config.stop.reason is not None:
                return

    async def _call(self, call: "_Call") -> None:
        later = bool(call.question.step.replies)
        self._outcomes.asked(call.question, len(call.slots))
        given_up = False
        try:
            settings = self._settings_of(call)
            samples = await self._received(call, settings)
        except asyncio.CancelledError:  # its step was asked from a wrongly guessed state
            given_up = True
            raise
        except ProviderGone as gone:
            samples = self._refusals.flagged_or_raise(
                gone, call.question, call.at, call.assignment.sampler, len(call.slots)
            )
        else:
            self._refusals.answered(call.assignment.sampler, call.question.step.step)
            if len(call.slots) > 1:
                self._size.note(call.assignment.sampler.name, len(samples), len(call.slots))
        finally:
            self._outcomes.ended(call.question, len(call.slots), given_up)
        failure: Exception | None = None
        replies: list[Reply] = []
        read: list[Sample] = []
        sent = SentCall(call.prompt, later, len(samples), settings.chars_besides_prompt)
        known = _SampleCounts(call.question.step, sent)
        for slot, sample in zip(call.slots, samples, strict=False):
            try:
                replies.append(self._classified(call, slot, sample, known))
                read.append(sample)
            except Exception as error:  # of the user's own code: what came with this sample is recorded first
                failure = failure or error
        for together in self._one_reply(replies):
            asked = call.question.digest if call.question.step.question is None else None
            self._ledger.record(Replies(tuple(together), call.at, asked))
        self._keep_text(call)
        if failure is not None:
            raise failure
        self._require_few_copies()
        self._flags.count(call.question, call.assignment.sampler.compact, replies, read)
        self._ledger.require_fair_bills()
        self.require_weighed(call.assignment.voter(sample) for sample in samples)
        for sample in samples:
            if sample.served is not None:
                self._ledger.served(self._ledger.voter(call.assignment.voter(sample)), sample.served)
        if self._ledger.journal.pending > MAX_PENDING_ENTRIES:
            await self._ledger.journal.commit()

    def _keep_text(self, call: "_Call") -> None:
        """Journal the text of a question that people will look at: samples differ, were flagged or reviewed."""
        step = call.question.step
        if step.wordings is not None or step.step < self._ledger.state.committed:
            return
        if step.reviewed or len(step.choices) > 1 or any(reply.flag is not None for reply in step.replies.values()):
            self._ledger.record(call.question.text_entry(call.assignment.sampler.compact, call.at))

    def _require_few_copies(self) -> None:
        """Raise `VotesCopied` where more samples are copies of earlier ones than the run allows."""
        copies = self._copies
        if copies.astray:
            raise VotesCopied(
                "most of the latest replies belong to earlier requests: a proxy or the server sends them again. They "
                "did not vote; others that this process has not seen before may have: end what sends them, or have "
                "every answer repeat a token of its own request (`echo`)"
            )
        if copies.too_many:
            share = -(-200 * copies.copies // copies.samples) / 100
            raise VotesCopied(
                f"{copies.copies:,} of {copies.samples:,} samples in this session were copies of earlier ones, most "
                f"of them of {copies.worst_voter}: there is a cache in between. They did not vote. Turn it off, "
                "bypass it, make every request different (`nonce`), or allow a larger share (`copies`)",
                larger=("copies", min(1.0, max(share, 2 * self._config.guards.copies))),
            )

    def require_weighed(self, voters: Iterable[str]) -> None:
        """Raise `InputError` where votes are weighed and a voter was never measured: its votes weigh nothing."""
        rule = self._ledger.state.policy.rule
        if not isinstance(rule, LogOdds):
            return
        for name in set(voters):
            if rule.weights.voter(name) is None:
                measured = ", ".join(known for known, _ in rule.weights.voters)
                raise InputError(
                    f"votes of {name} weigh nothing: the weights of this run were measured of {measured}. "
                    "Calibrate the model that answers, or count votes (`rule` ahead-by)"
                )

    async def _received(self, call: "_Call", settings: Settings) -> list[Sample]:
        """Send a call, retried after passing failures, and return its samples."""
        opened = self._ledger.state.opened
        assert opened is not None
        assignment, step = call.assignment, call.question.step.step
        tries = CallTries(
            self._ledger, (step, call.slots[0], len(call.slots)), call.at, self._config.stop, *call.halts
        )
        prompt = self._ledger.state.request.with_nonce(call.prompt, opened.time, call.question.at, settings)
        if call.token is not None:
            prompt += echo_line(call.token)
        return await self._caller.call(
            CallRequest(assignment.sampler, prompt, settings, len(call.slots)), tries, *call.halts
        )

    def _settings_of(self, call: "_Call") -> Settings:
        """The settings of a call's request."""
        state, assignment, step = self._ledger.state, call.assignment, call.question.step.step
        assert state.opened is not None
        limit = state.policy.flags.max_output_tokens
        drawn = Settings(assignment.temperature, limit, state.opened.seed, step, call.slots[0])
        return state.request.settings(call.question.subtask, assignment.sampler.compact, drawn)

    def _one_reply(self, replies: list[Reply]) -> list[list[Reply]]:
        """Split the samples of one reply for the journal, where one in between could not be read.

        Where votes must come from several replies, only the first part is journaled, so that one reply never counts as
        two; it carries the cost of the other parts.
        """
        parts = contiguous(replies, lambda reply: reply.slot)
        if len(parts) < 2 or self._ledger.state.policy.replies_to_win < 2:
            return parts
        first, lost = parts[0], sum((reply.usage for part in parts[1:] for reply in part), Usage())
        return [[*first[:-1], first[-1]._replace(usage=first[-1].usage + lost)]]

    def remember(self, sampler: Sampler, prompt: str, sample: Sample) -> None:
        """Remember a sample that does not vote, such as a draft, so that a copy of its reply is recognized."""
        if sample.reply_id is not None:
            self._copies.recall(voter_name(sample, sampler, 0), SentCall(prompt), sample)

    def _token(self, question: Question, slot: int) -> str | None:
        """The echo token of the call whose first sample is number `slot`; None where no echo is asked for."""
        opened, request = self._ledger.state.opened, self._ledger.state.request
        if not request.echo:
            return None
        assert opened is not None
        drawn = Settings(0.0, 0, opened.seed, question.step.step, slot)
        return request.token(opened.time, question.at, drawn)

    def _classified(self, call: "_Call", slot: int, sample: Sample, known: "_SampleCounts") -> Reply:
        """Make a sample a vote or a flagged one, as it is journaled."""
        question = call.question
        choice: str | None = None
        voter = call.assignment.voter(sample)
        flag, received = None, sample
        if call.token is not None:
            try:
                sample = replace(sample, text=without_echo(sample.text, call.token))
            except RedFlag as raised:
                flag = raised
        copied = self._copies.judge(voter, known.sent, received, known.has(sample.text))
        flag = self._ledger.state.policy.flags.screen(sample) or flag
        if copied is not None and (flag is None or flag.kind is not FlagKind.COPY):  # a missing echo is surer
            flag = RedFlag(copied, FlagKind.COPY)
        if flag is None:
            try:
                choice = question.choice(sample.text)
            except RedFlag as raised:
                flag = raised
        reason = None if flag is None else flag.reason if sample.note is None else f"{flag.reason}; {sample.note}"
        return Reply(
            step=question.step.step,
            slot=slot,
            text=known.text(sample.text, slot),
            choice=None if choice is None else known.choice(choice, slot),
            flag=None if flag is None else flag.kind,
            usage=sample.usage,
            finish=sample.finish,
            logprob=sample.rounded_logprob,
            voter=self._ledger.voter(voter),
            reply_id=sample.reply_id,
            reason=None if reason is None else reason[:MAX_REASON_CHARS],
        )


class SampleCall(NamedTuple):
    """A call that is ready to be sent.

    slots: the numbers of the samples that it draws.
    drawn: sends the call and records its samples, when awaited.
    runs_to_end: whether it is not cancelled where its step is dropped, so that its reply is still recorded.
    """

    slots: list[int]
    drawn: Coroutine[None, None, None]
    runs_to_end: bool


class _SampleCounts:
    """The texts and choices of a step so far: of recorded samples, and of the call that is being recorded."""

    def __init__(self, step: OpenStep, sent: SentCall) -> None:
        self.sent = sent
        self._step = step
        self._texts: dict[str, int] = {}
        self._choices: dict[str, int] = {}

    def has(self, text: str) -> bool:
        """Whether an earlier sample has this text."""
        return text in self._step.texts or text in self._texts

    def text(self, text: str, slot: int) -> str | int:
        """A text as it is journaled: itself where it is new, else the number of the first sample with it."""
        return _first(self._step.texts, self._texts, text, slot)

    def choice(self, choice: str, slot: int) -> str | int:
        """A choice as it is journaled, in the same way."""
        return _first(self._step.choices, self._choices, choice, slot)


def _first(recorded: dict[str, int], recording: dict[str, int], value: str, slot: int) -> str | int:
    earlier = recorded.get(value)
    if earlier is not None:
        return earlier
    earlier = recording.setdefault(value, slot)
    return value if earlier == slot else earlier


class _SampleAssignment(NamedTuple):
    """Who draws a sample, in which wording (its index) and at which temperature."""

    sampler: Sampler
    wording: int
    temperature: float

    def prompt(self, question: Question) -> str:
        """The prompt of the assigned wording."""
        return question.subtask.wordings(self.sampler.compact)[self.wording]

    def voter(self, sample: Sample) -> str:
        """The name of the voter that cast a sample."""
        return voter_name(sample, self.sampler, self.wording)


class _Call(NamedTuple):
    """One call of a question.

    at: as in `Intent.at`.
    assignment: who draws, and how.
    slots: the numbers of its samples, without a gap.
    halts: requests after which it is not retried.
    token: the echo token that its answer must end with; None where no echo is asked for.
    """

    question: Question
    at: str | None
    assignment: _SampleAssignment
    slots: list[int]
    halts: tuple[StopRequest, ...]
    token: str | None

    @property
    def prompt(self) -> str:
        """The prompt, in the assigned wording."""
        return self.assignment.prompt(self.question)
