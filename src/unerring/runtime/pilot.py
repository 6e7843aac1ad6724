"""Draw a pilot: samples of single steps that measure the voters, without deciding any step.

Each step is asked for one vote of every voter, and for second samples where a voter errs
(`unerring.core.planning.calibration`). A chain with `state_at(step)` is entered at random steps; any other is walked
from its start. Votes are judged by the chain's `truth`; without one, votes are drawn until one choice leads by a wide
margin, and that choice is taken as right.

Samples are drawn as in a run (`unerring.runtime.sampling`), into a journal of their own: with an intent before each
paid call, and within a budget. Samples that are in that journal already are not drawn again.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from hashlib import blake2b
from random import Random

from unerring.core.checked_chain import CheckedChain
from unerring.core.journal.entries import Paused
from unerring.core.planning.calibration import REPEAT_VOTES, Calibration, PilotSample, PilotStep, RepeatSampling
from unerring.core.voting.canonical import Json, parsed
from unerring.core.voting.policy import Policy
from unerring.core.voting.race import AheadBy
from unerring.errors import InputError, Interrupted, StepUndecided
from unerring.runtime.calls.ledger import Ledger
from unerring.runtime.calls.retry import failure_of, raise_first, wait_for_all
from unerring.runtime.config import RunConfig, Speculation, StopRequest
from unerring.runtime.frontier import pausing
from unerring.runtime.protocols import Sampler
from unerring.runtime.question import Question, question_of
from unerring.runtime.sampling import Sampling

WIDE_MARGIN_VOTES = 4  # by which a choice that is taken as right leads all others
MAX_ROUNDS = 40  # of one vote of every voter, to find such a choice, or any vote at all
UNREACHABLE_VOTES = 100_000  # of a margin or cap: no pilot draws as many, so that no race of it ends


def pilot_policy(policy: Policy, temperature: float) -> Policy:
    """The policy of a pilot's journal: one temperature for all samples, and races that never end."""
    return replace(
        policy,
        rule=AheadBy(UNREACHABLE_VOTES),
        vote_cap=UNREACHABLE_VOTES,
        flag_cap=1,
        first_temperature=temperature,
        later_temperature=temperature,
        escalate_after=None,
    )


@dataclass(frozen=True, slots=True)
class StepToSample:
    """A step to sample, and the state that it is asked from."""

    step: int
    state: Json


class Pilot:
    """Draws samples until a calibration holds as many as it was asked for."""

    def __init__(
        self, chain: CheckedChain, sampler: Sampler, calibration: Calibration, ledger: Ledger, config: RunConfig
    ) -> None:
        """`ledger` is that of the pilot's own journal, with the samples of earlier sessions."""
        self._chain = chain
        self._calibration = calibration
        self._ledger = ledger
        self._config = config
        self._truth = chain.truth
        self._samples_allowed = asyncio.Semaphore(calibration.at_once)
        self._in_flight = self.max_in_flight = 0  # samples
        self._voters = len(calibration.voters)
        limited = replace(config, speculation=Speculation(in_flight=calibration.at_once))
        self._sampling = Sampling(sampler, ledger, limited)
        self._looks = RepeatSampling(calibration)
        self.halt = StopRequest()  # requested when a call fails: calls in flight are awaited, and none is sent

    async def run(self, on_step: Callable[[Calibration], None]) -> None:
        """Sample steps, several at once, and count them in order; `on_step` is called after each counted step.

        Returns once there are enough samples, no more steps, or a stop is requested. Raises like a run where it stops
        early, with all samples in the journal.
        """
        ledger, clock = self._ledger, self._config.clock
        async with pausing(ledger, self._config, self._sampling):
            if not self._enough:
                self._chain.require_step(self._chain.start())
            first = None if self._enough else self._chain.subtask(self._chain.start(), 0)
            if first is not None:
                await self._sampling.probe_endpoints(first)
            await (self._walk(on_step) if self._calibration.walked else self._enter(on_step))
        why = self._config.stop.reason or "all samples that were asked for are there"
        ledger.record(Paused("pilot", why, clock.time(), self._sampling.latency))
        await ledger.journal.commit()

    @property
    def _enough(self) -> bool:
        """Whether there are as many samples as were asked for."""
        return self._calibration.samples >= self._calibration.asked_for

    async def _enter(self, on_step: Callable[[Calibration], None]) -> None:
        """Sample random steps, several at once."""
        open_steps: deque[asyncio.Task[PilotStep]] = deque()
        steps_to_sample, turn = self._steps_to_sample(), _Turn()
        try:
            while True:
                while len(open_steps) * self._voters < self._calibration.at_once and self._may_begin(len(open_steps)):
                    asked = next(steps_to_sample, None)
                    if asked is None:
                        break
                    turn = _Turn(turn)
                    open_steps.append(asyncio.ensure_future(self._draw_step(asked, turn)))
                if not open_steps:
                    return
                self._count(await open_steps[0])
                open_steps.popleft()
                on_step(self._calibration)
                if self._enough:
                    await self._wait_for_calls(open_steps, "there are enough samples")
                    return
        except asyncio.CancelledError:
            raise
        except Exception:
            await self._wait_for_calls(open_steps, "another call failed")
            raise_first(map(failure_of, open_steps))
            raise
        finally:
            for task in open_steps:
                task.cancel()
            await asyncio.gather(*open_steps, return_exceptions=True)

    async def _wait_for_calls(self, open_steps: Collection["asyncio.Task[PilotStep]"], why: str) -> None:
        """Send nothing more, and wait for the calls in flight: they are paid for, and a resumed pilot uses them."""
        self.halt.ask(why)
        if open_steps:
            await asyncio.wait(open_steps)

    def _may_begin(self, open_steps: int) -> bool:
        """Whether to begin a further step, by the samples that steps took so far; before the first, by the most."""
        counted = self._calibration
        if self._config.stop.reason is not None or self._enough:
            return False
        a_step = (counted.samples + self._voters * (1 + REPEAT_VOTES)) / (counted.steps + 1)
        return not open_steps or counted.samples + (open_steps + 1) * a_step <= counted.asked_for

    def _count(self, drawn: PilotStep) -> None:
        self._calibration.add(drawn)
        self._ledger.state.forget(drawn.step)
        names = [voter.name for voter in self._calibration.voters]
        if len(set(names)) < len(names):
            raise InputError(
                f"two voters have the same name, {max(names, key=names.count)}, and would be one voter in a run; "
                "give each model once"
            )

    def _steps_to_sample(self) -> Iterator[StepToSample]:
        """Random steps, none twice; in a resumed pilot those that follow."""
        length = self._chain.length()
        assert length is not None
        chance, known = Random(f"steps of a pilot: {self._calibration.seed}"), set[int]()
        while len(known) < length:
            step = chance.randrange(length)
            if step in known:
                continue
            known.add(step)
            if len(known) > self._calibration.steps:
                yield StepToSample(step, self._chain.state_at(step))
            else:
                self._ledger.state.forget(step)

    async def _walk(self, on_step: Callable[[Calibration], None]) -> None:
        """Sample one step after the other, each from the state that the right choice of the step before leads to.

        A function process is followed to its first side effect, which is not run.
        """
        calibration = self._calibration
        state = self._chain.start() if calibration.steps == 0 else self._chain.from_kept(calibration.at)
        while self._may_begin(0) and self._chain.subtask(state, calibration.steps) is not None:
            drawn = await self._draw_step(StepToSample(calibration.steps, state))
            if self._truth is None and all(one.choice is None for one in drawn.samples):
                raise StepUndecided(
                    f"step {drawn.step} has no vote after {len(drawn.samples):,} samples, all of them flagged: the "
                    "pilot cannot continue from it"
                )
            state = self._chain.advance(state, parsed(drawn.right), calibration.steps)
            calibration.at = self._chain.kept(state)
            self._count(drawn)
            on_step(calibration)

    async def _draw_step(self, asked: StepToSample, turn: "_Turn | None" = None) -> PilotStep:
        """Draw all samples of one step; whether it needs second samples is decided when its turn comes."""
        turn = turn or _Turn()
        try:
            return await self._drawn(asked, turn)
        finally:
            turn.end()

    async def _drawn(self, asked: StepToSample, turn: "_Turn") -> PilotStep:
        at = self._chain.digest(asked.state, asked.step, "advance" if self._calibration.walked else "state_at")
        question = question_of(self._chain, self._ledger.state, asked.step, asked.state, at)
        if question is None:
            raise InputError(f"the process ends before step {asked.step}, but its length() is larger")
        samples = _StepSamples(self, question, self._voters)
        truth = None if self._truth is None else self._truth(asked.state, asked.step, question.subtask.nullable)
        await samples.first_votes()
        if truth is None:
            truth = await samples.wide_winner()
            second_samples = bool(samples.erring(truth))
        else:
            await turn.wait()
            second_samples = self._looks.wanted(samples.erring(truth))
            turn.end()
        if second_samples:
            await samples.rounds(REPEAT_VOTES)
        return PilotStep(asked.step, tuple(samples.samples()), truth)

    async def draw(self, question: Question, slot: int, n: int) -> list[PilotSample]:
        """Draw samples `slot` to `slot + n - 1` of a step, retried after passing failures."""
        seconds: dict[int, float] = {}
        lacking = [one for one in range(slot, slot + n) if one not in question.step.replies]
        await self._draw_all(question, lacking, seconds)
        return [self._observed(question, one, seconds.get(one)) for one in range(slot, slot + n)]

    async def _draw_all(self, question: Question, slots: list[int], seconds: dict[int, float]) -> None:
        """Draw samples by as many calls as that takes, all at once; adds the seconds that the call of each took."""
        parts = self._sampling.parts(question, slots)
        await wait_for_all([self._draw_part(question, part, seconds) for part in parts], self.halt)

    async def _draw_part(self, question: Question, slots: list[int], seconds: dict[int, float]) -> None:
        """Draw what one call could bring, or as much of it as may be in flight, and then what it did not bring."""
        asked = slots[: await self._allowed(len(slots))]
        started = self._config.clock.time()
        try:
            if self.halt.reason is not None:
                raise Interrupted(self.halt.reason)
            await self._sampling.call(question, asked, self.halt).drawn
        finally:
            self._in_flight -= len(asked)
            for _ in asked:
                self._samples_allowed.release()
        seconds.update(dict.fromkeys(asked, self._config.clock.time() - started))
        if rest := [one for one in slots if one not in question.step.replies]:
            await self._draw_all(question, rest, seconds)

    async def _allowed(self, wanted: int) -> int:
        """Wait until a sample may be asked for; returns how many may, `wanted` at most. The caller releases them."""
        await self._samples_allowed.acquire()
        taken = 1
        while taken < wanted and not self._samples_allowed.locked():
            await self._samples_allowed.acquire()
            taken += 1
        self._in_flight += taken
        self.max_in_flight = max(self.max_in_flight, self._in_flight)
        return taken

    def _observed(self, question: Question, slot: int, seconds: float | None) -> PilotSample:
        """A recorded sample as it is counted. One of an earlier session is given the mean latency."""
        reply, voter = question.step.replies[slot], slot % self._voters
        self._calibration.voters[voter].name = self._ledger.state.voters[reply.voter].name
        choice = None if reply.candidate is None else question.step.choice(reply.candidate)
        seconds = (self._calibration.latency or 0.0) if seconds is None else seconds
        return PilotSample(voter, choice, reply.flag, reply.usage, reply.logprob, seconds)


class _Turn:
    """The turn of a step among those sampled at once: it comes after the turns of the steps before."""

    def __init__(self, before: "_Turn | None" = None) -> None:
        self._over = asyncio.Event()
        self._before: asyncio.Event | None = None if before is None else before._over
        if before is None:
            self._over.set()

    async def wait(self) -> None:
        """Return once the turns of all steps before have ended."""
        if self._before is not None:
            await self._before.wait()

    def end(self) -> None:
        """Let the next step have its turn."""
        self._over.set()


class _StepSamples:
    """The samples of one step, drawn in rounds of one sample of every voter."""

    def __init__(self, pilot: Pilot, question: Question, voters: int) -> None:
        self._pilot = pilot
        self._question = question
        self._voters = voters
        self._by_slot: dict[int, PilotSample] = {}
        self._next = 0

    def samples(self) -> list[PilotSample]:
        return [self._by_slot[slot] for slot in sorted(self._by_slot)]

    def choices(self) -> list[str]:
        return [one.choice for one in self._by_slot.values() if one.choice is not None]

    def erring(self, truth: str) -> set[int]:
        """The voters that cast a wrong vote."""
        return {one.voter for one in self._by_slot.values() if one.choice not in {None, truth}}

    async def rounds(self, count: int) -> None:
        """Draw so many further samples of every voter, all at once."""
        await self._draw(self._next * self._voters, count * self._voters)
        self._next += count

    async def first_votes(self) -> None:
        """Draw a vote of every voter; one whose samples are flagged MAX_ROUNDS times stays without a vote."""
        await self.rounds(1)
        for _ in range(MAX_ROUNDS - 1):
            voted = {one.voter for one in self._by_slot.values() if one.choice is not None}
            silent = [voter for voter in range(self._voters) if voter not in voted]
            if not silent:
                return
            self._question.step.begin_round(self._next * self._voters)
            slots = [self._next * self._voters + voter for voter in silent]
            await wait_for_all([self._draw(slot, 1) for slot in slots], self._pilot.halt)
            self._next += 1

    async def wide_winner(self) -> str:
        """The choice that leads all others by WIDE_MARGIN_VOTES; after MAX_ROUNDS the one with the most votes."""
        tally = Counter(self.choices())
        while self._next < MAX_ROUNDS and self._lead(tally) < WIDE_MARGIN_VOTES:
            await self.rounds(max(1, -(-(WIDE_MARGIN_VOTES - self._lead(tally)) // self._voters)))
            tally = Counter(self.choices())
        return max(sorted(tally), key=tally.__getitem__, default="null")

    @staticmethod
    def _lead(tally: Counter[str]) -> int:
        (_, first), (_, second) = [*tally.most_common(2), ("", 0), ("", 0)][:2]
        return first - second

    async def _draw(self, slot: int, n: int) -> None:
        for number, one in enumerate(await self._pilot.draw(self._question, slot, n), slot):
            self._by_slot[number] = one


def pilot_seed(seed: int) -> int:
    """The seed of a pilot's samples: it differs from that of the run that the pilot predicts."""
    return int.from_bytes(blake2b(f"pilot {seed}".encode(), digest_size=8).digest(), "big") >> 2
