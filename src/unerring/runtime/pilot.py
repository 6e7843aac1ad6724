"""A pilot: samples of single steps, drawn to measure the voters. Nothing is decided, and nothing is carried forward.

Each step is asked for one vote of every voter, and looked at again where one errs
(`unerring.core.planning.calibration`). A chain with `state_at(step)` is entered at steps drawn at random; any other is
walked from its start. Where the chain knows the truth that judges; where it does not, votes are drawn until one choice
leads by a wide margin, and that one stands in.

Samples are drawn as those of a run are (`unerring.runtime.sampling`), into a journal of their own: with an intent
before each paid call, and within a budget. What that journal holds already is not drawn again.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from hashlib import blake2b
from random import Random
from typing import Any

from unerring.core.chain import (
    Chain,
    advanced,
    digest_at,
    length_of,
    require_step,
    started,
    state_at,
    subtask_at,
    truth_of,
)
from unerring.core.journal.entries import Paused
from unerring.core.planning.calibration import LOOKS, Calibration, PilotSample, PilotStep, SecondLooks
from unerring.core.voting.canonical import Json, parsed
from unerring.core.voting.policy import Policy
from unerring.core.voting.race import AheadBy
from unerring.errors import InputError, Interrupted, JournalError, StepUndecided
from unerring.runtime.calls.failure_notices import name_last_failure
from unerring.runtime.calls.ledger import Ledger
from unerring.runtime.calls.retry import failure_of, raise_first, wait_for_all
from unerring.runtime.config import RunConfig, Speculation, StopRequest
from unerring.runtime.frontier import paused_by
from unerring.runtime.protocols import Sampler
from unerring.runtime.question import Question, question_of
from unerring.runtime.sampling import Sampling

WIDE = 4  # votes by which a choice leads all others that stands in for the truth
MOST_ROUNDS = 40  # of votes, one of every voter, to find such a choice, or any vote at all
ENDLESS = 100_000  # votes ahead, which no pilot draws: a step takes in whatever samples it is given


def pilot_policy(policy: Policy, temperature: float) -> Policy:
    """The policy of a pilot's journal: all samples at one temperature, and a race that no number of votes ends."""
    return replace(
        policy,
        rule=AheadBy(ENDLESS),
        vote_cap=ENDLESS,
        flag_cap=1,
        first_temperature=temperature,
        later_temperature=temperature,
        escalate_after=None,
    )


@dataclass(frozen=True, slots=True)
class PilotPlace:
    """A step that is to be looked at, and the state it is asked from."""

    step: int
    state: Json


class Pilot:
    """Draws samples until a calibration holds as many as it was asked for."""

    def __init__(
        self, chain: Chain, sampler: Sampler, calibration: Calibration, ledger: Ledger, config: RunConfig
    ) -> None:
        """`ledger` is that of the pilot's own journal, with what earlier sessions drew folded in."""
        self._chain = chain
        self._calibration = calibration
        self._ledger = ledger
        self._config = config
        self._truth = truth_of(chain)
        self._free = asyncio.Semaphore(calibration.at_once)
        self._under_way = self.most_under_way = 0  # samples
        self._voters = len(calibration.voters)
        limited = replace(config, speculation=Speculation(in_flight=calibration.at_once))
        self._sampling = Sampling(sampler, ledger, limited)
        self._looks = SecondLooks(calibration)
        self.halt = StopRequest()  # asked for when a call fails: those under way are taken in, and none is sent

    async def run(self, seen: Callable[[Calibration], None]) -> None:
        """Look at steps, several at once, and count them in order; `seen` gets every one that is counted.

        Returns once there are enough samples, no more steps, or a stop is asked for. Raises like a run where it stops
        short, with all that was drawn in the journal.
        """
        ledger, clock = self._ledger, self._config.clock
        try:
            if not self._enough:
                require_step(self._chain, started(self._chain))
            first = None if self._enough else subtask_at(self._chain, started(self._chain), 0)
            if first is not None:
                await self._sampling.probe_endpoints(first)
            await (self._walk(seen) if self._calibration.walked else self._enter(seen))
        except JournalError:
            raise
        except BaseException as error:
            name_last_failure(error, self._config.stop)
            ledger.record(paused_by(error, clock.time(), self._sampling.latency))
            await ledger.journal.commit()
            raise
        why = self._config.stop.reason or "all samples that were asked for are there"
        ledger.record(Paused("pilot", why, clock.time(), self._sampling.latency))
        await ledger.journal.commit()

    @property
    def _enough(self) -> bool:
        """Whether there are as many samples as were asked for."""
        return self._calibration.samples >= self._calibration.asked_for

    async def _enter(self, seen: Callable[[Calibration], None]) -> None:
        """Look at steps drawn at random, several at once."""
        under_way: deque[asyncio.Task[PilotStep]] = deque()
        places, turn = self._places(), _PilotSlot()
        try:
            while True:
                while len(under_way) * self._voters < self._calibration.at_once and self._has_room(len(under_way)):
                    place = next(places, None)
                    if place is None:
                        break
                    turn = _PilotSlot(turn)
                    under_way.append(asyncio.ensure_future(self._look(place, turn)))
                if not under_way:
                    return
                self._count(await under_way[0])
                under_way.popleft()
                seen(self._calibration)
                if self._enough:
                    await self._take_in(under_way, "there are enough samples")
                    return
        except asyncio.CancelledError:
            raise
        except Exception:
            await self._take_in(under_way, "another call failed")
            raise_first(map(failure_of, under_way))
            raise
        finally:
            for task in under_way:
                task.cancel()
            await asyncio.gather(*under_way, return_exceptions=True)

    async def _take_in(self, under_way: Collection["asyncio.Task[PilotStep]"], why: str) -> None:
        """Send nothing more, and wait for the calls under way: they are paid for, and a pilot may go on with them."""
        self.halt.ask(why)
        if under_way:
            await asyncio.wait(under_way)

    def _has_room(self, steps_under_way: int) -> bool:
        """Whether a further step may be begun, as far as steps took samples so far; the first one counts as hard."""
        counted = self._calibration
        if self._config.stop.reason is not None or self._enough:
            return False
        a_step = (counted.samples + self._voters * (1 + LOOKS)) / (counted.steps + 1)
        return not steps_under_way or counted.samples + (steps_under_way + 1) * a_step <= counted.asked_for

    def _count(self, looked: PilotStep) -> None:
        self._calibration.add(looked)
        self._ledger.state.forget(looked.step)
        names = [voter.name for voter in self._calibration.voters]
        if len(set(names)) < len(names):
            raise InputError(
                f"two voters have the same name, {max(names, key=names.count)}, and would be one voter in a run; "
                "give each model once"
            )

    def _places(self) -> Iterator[PilotPlace]:
        """Steps at random, none twice; after a stop, those that come next."""
        length = length_of(self._chain)
        assert length is not None
        chance, known = Random(f"steps of a pilot: {self._calibration.seed}"), set[int]()
        while len(known) < length:
            step = chance.randrange(length)
            if step in known:
                continue
            known.add(step)
            if len(known) > self._calibration.steps:
                yield PilotPlace(step, state_at(self._chain, step))
            else:
                self._ledger.state.forget(step)

    async def _walk(self, seen: Callable[[Calibration], None]) -> None:
        """Look at one step after the other, each from where the right choice of the one before leads."""
        calibration = self._calibration
        state = started(self._chain) if calibration.steps == 0 else calibration.at
        while self._has_room(0) and subtask_at(self._chain, state, calibration.steps) is not None:
            looked = await self._look(PilotPlace(calibration.steps, state))
            if self._truth is None and all(one.choice is None for one in looked.samples):
                raise StepUndecided(
                    f"step {looked.step} has no vote after {len(looked.samples):,} samples, all of them flagged: the "
                    "pilot cannot go on from it"
                )
            state = advanced(self._chain, state, parsed(looked.right), calibration.steps)
            calibration.at = state
            self._count(looked)
            seen(calibration)

    async def _look(self, place: PilotPlace, turn: "_PilotSlot | None" = None) -> PilotStep:
        """All samples of one step, which is looked at again only when its turn has come."""
        turn = turn or _PilotSlot()
        try:
            return await self._looked(place, turn)
        finally:
            turn.over()

    async def _looked(self, place: PilotPlace, turn: "_PilotSlot") -> PilotStep:
        at = digest_at(self._chain, place.state, place.step, "advance" if self._calibration.walked else "state_at")
        question = question_of(self._chain, self._ledger.state, place.step, place.state, at)
        if question is None:
            raise InputError(f"the process ends before step {place.step}, though it says that it is longer")
        looking = _Looking(self, question, self._voters)
        truth = None if self._truth is None else self._truth(place.state, place.step, question.subtask.nullable)
        await looking.first_votes()
        if truth is None:
            truth = await looking.wide_winner()
            again = bool(looking.erring(truth))
        else:
            await turn.come()
            again = self._looks.wanted(looking.erring(truth))
            turn.over()
        if again:
            await looking.rounds(LOOKS)
        return PilotStep(place.step, tuple(looking.samples()), truth)

    async def draw(self, question: Question, slot: int, n: int) -> list[PilotSample]:
        """Samples `slot` to `slot + n - 1` of a step, through all passing failures."""
        took: dict[int, float] = {}
        lacking = [one for one in range(slot, slot + n) if one not in question.step.replies]
        await self._draw_all(question, lacking, took)
        return [self._observed(question, one, took.get(one)) for one in range(slot, slot + n)]

    async def _draw_all(self, question: Question, slots: list[int], took: dict[int, float]) -> None:
        """Draw samples by as many calls as that takes, all at once; notes how long the call of each took."""
        parts = self._sampling.parts(question, slots)
        await wait_for_all([self._draw_part(question, part, took) for part in parts], self.halt)

    async def _draw_part(self, question: Question, slots: list[int], took: dict[int, float]) -> None:
        """Draw what one call could bring, or as much of it as may be in flight, and then what it did not bring."""
        asked = slots[: await self._allowed(len(slots))]
        started = self._config.clock.time()
        try:
            if self.halt.reason is not None:
                raise Interrupted(self.halt.reason)
            await self._sampling.call(question, asked, self.halt).drawn
        finally:
            self._under_way -= len(asked)
            for _ in asked:
                self._free.release()
        took.update(dict.fromkeys(asked, self._config.clock.time() - started))
        if rest := [one for one in slots if one not in question.step.replies]:
            await self._draw_all(question, rest, took)

    async def _allowed(self, wanted: int) -> int:
        """How many samples may be asked for now, `wanted` at most; waits until one may. They are to be released."""
        await self._free.acquire()
        taken = 1
        while taken < wanted and not self._free.locked():
            await self._free.acquire()
            taken += 1
        self._under_way += taken
        self.most_under_way = max(self.most_under_way, self._under_way)
        return taken

    def _observed(self, question: Question, slot: int, seconds: float | None) -> PilotSample:
        """A recorded sample as it is counted. One of an earlier session is taken to have come as fast as most did."""
        reply, voter = question.step.replies[slot], slot % self._voters
        self._calibration.voters[voter].name = self._ledger.state.voters[reply.voter].name
        choice = None if reply.candidate is None else question.step.choice(reply.candidate)
        took = (self._calibration.latency or 0.0) if seconds is None else seconds
        return PilotSample(voter, choice, reply.flag, reply.usage, reply.logprob, took)


class _PilotSlot:
    """The place of a step among those that are looked at together."""

    def __init__(self, before: "_PilotSlot | None" = None) -> None:
        self._over = asyncio.Event()
        self._before: asyncio.Event | None = None if before is None else before._over
        if before is None:
            self._over.set()

    async def come(self) -> None:
        """Return once the turns of all steps before are over."""
        if self._before is not None:
            await self._before.wait()

    def over(self) -> None:
        """The next step may come."""
        self._over.set()


class _Looking:
    """The samples of one step, in rounds of one of every voter."""

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
        """The voters that cast a vote against the truth."""
        return {one.voter for one in self._by_slot.values() if one.choice not in {None, truth}}

    async def rounds(self, count: int) -> None:
        """So many further samples of every voter, all at once."""
        await self._draw(self._next * self._voters, count * self._voters)
        self._next += count

    async def first_votes(self) -> None:
        """A vote of every voter; one that is flagged again and again stays without."""
        await self.rounds(1)
        for _ in range(MOST_ROUNDS - 1):
            voted = {one.voter for one in self._by_slot.values() if one.choice is not None}
            silent = [voter for voter in range(self._voters) if voter not in voted]
            if not silent:
                return
            self._question.step.begin_round(self._next * self._voters)
            slots = [self._next * self._voters + voter for voter in silent]
            await wait_for_all([self._draw(slot, 1) for slot in slots], self._pilot.halt)
            self._next += 1

    async def wide_winner(self) -> str:
        """The choice that leads all others by WIDE votes; the leader of many where none does."""
        tally = Counter(self.choices())
        while self._next < MOST_ROUNDS and self._lead(tally) < WIDE:
            await self.rounds(max(1, -(-(WIDE - self._lead(tally)) // self._voters)))
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
    """The seed of a pilot's samples: other ones than those of a run with the same seed, which it is to foretell."""
    return int.from_bytes(blake2b(f"pilot {seed}".encode(), digest_size=8).digest(), "big") >> 2


def can_be_entered(chain: Any) -> bool:
    """Whether a chain gives the state before any of its steps."""
    return hasattr(chain, "state_at") and length_of(chain) is not None
