"""A pilot: samples of single steps, drawn to measure the voters. Nothing is decided, and nothing is carried forward.

Each step is asked for one vote of every voter, and looked at again where one errs
(`unerring.core.planning.calibration`). A chain with `state_at(step)` is entered at steps drawn at random; any other is
walked from its start. Where the chain knows the truth that judges; where it does not, votes are drawn until one choice
leads by a wide margin, and that one stands in.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import blake2b
from itertools import groupby
from random import Random
from typing import Any

from unerring.core.independence import Copies, Sent
from unerring.core.open_step import OpenStep
from unerring.core.planning.calibration import LOOKS, Calibration, Looked, Observed, SecondLooks
from unerring.core.policy import Policy
from unerring.core.process import Chain, advanced, check_of, length_of, started, state_at, subtask_at, truth_of
from unerring.core.redflag import FlagKind, RedFlag
from unerring.core.request import request_from
from unerring.core.sample import Sample, Settings
from unerring.core.vote import Json, parsed
from unerring.errors import InputError, StepUndecided, VotesCopied
from unerring.runtime.calling import Asked, Caller, NoBook
from unerring.runtime.limits import Surroundings
from unerring.runtime.panel import samplers_of, seated, turns_before, voter_name
from unerring.runtime.ports import Sampler
from unerring.runtime.probing import nonce_of, probe
from unerring.runtime.question import Question
from unerring.runtime.trials import can_be_tried

WIDE = 4  # votes by which a choice leads all others that stands in for the truth
MOST_ROUNDS = 40  # of votes, one of every voter, to find such a choice, or any vote at all


@dataclass(frozen=True, slots=True)
class Place:
    """A step that is to be looked at, and the state it is asked from."""

    step: int
    state: Json


class Pilot:
    """Draws samples until a calibration holds as many as it was asked for."""

    def __init__(
        self, chain: Chain, sampler: Sampler, calibration: Calibration, policy: Policy, around: Surroundings
    ) -> None:
        self._chain = chain
        self._sampler = sampler
        self._calibration = calibration
        self._policy = policy
        self._around = around
        self._truth = truth_of(chain)
        self._seed = pilot_seed(calibration.seed)
        self._request = request_from(calibration.request)
        self._free = asyncio.Semaphore(calibration.at_once)
        self._voters = len(calibration.voters)
        self._caller = Caller(around, calibration.at_once)
        self._copies = Copies(around.guards.copies)
        self._looks = SecondLooks(calibration)

    async def run(self, seen: Callable[[Calibration], None]) -> None:
        """Look at steps, several at once, and count them in order; `seen` is told of every one that is counted.

        Returns once there are enough samples, no more steps, or a stop is asked for.
        """
        await self.try_out()
        if self._calibration.walked:
            await self._walk(seen)
            return
        under_way: deque[asyncio.Task[Looked]] = deque()
        places, turn = self._places(), _Turn()
        try:
            while True:
                while len(under_way) * self._voters < self._calibration.at_once and self._has_room(len(under_way)):
                    place = next(places, None)
                    if place is None:
                        break
                    turn = _Turn(turn)
                    under_way.append(asyncio.ensure_future(self._look(place, turn)))
                if not under_way:
                    return
                self._count(await under_way[0])
                under_way.popleft()
                seen(self._calibration)
                if self._calibration.samples >= self._calibration.asked_for:
                    return
        finally:
            for task in under_way:
                task.cancel()
            await asyncio.gather(*under_way, return_exceptions=True)

    async def try_out(self) -> None:
        """Try every endpoint out before the first step; raises `VotesCopied` for one that gives copies."""
        for endpoint in filter(can_be_tried, samplers_of(self._sampler)):

            async def ask(prompt: str, settings: Settings, n: int, endpoint: Sampler = endpoint) -> list[Sample]:
                return await self._caller.call(Asked(endpoint, prompt, settings, n), NoBook())

            settings = self._request.alone(Settings(1.0, self._policy.flags.max_output_tokens, self._seed, 0, 0))
            finding = await probe(ask, nonce_of(self._seed, self._around.clock.time()), settings)
            if finding.fatal:
                raise VotesCopied(f"{endpoint.name}: {finding.sentence}; {finding.advice}")
            finding.teach(self._copies, endpoint.name)

    def _has_room(self, steps_under_way: int) -> bool:
        """Whether a further step may be begun, as far as steps took samples so far; the first one counts as hard."""
        counted = self._calibration
        if self._around.stop.reason is not None or counted.samples >= counted.asked_for:
            return False
        a_step = (counted.samples + self._voters * (1 + LOOKS)) / (counted.steps + 1)
        return not steps_under_way or counted.samples + (steps_under_way + 1) * a_step <= counted.asked_for

    def _count(self, looked: Looked) -> None:
        self._calibration.add(looked)
        names = [voter.name for voter in self._calibration.voters]
        if len(set(names)) < len(names):
            raise InputError(
                f"two voters have the same name, {max(names, key=names.count)}, and could not be told apart in a run; "
                "give each model once"
            )

    def _places(self) -> Iterator[Place]:
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
                yield Place(step, state_at(self._chain, step))

    async def _walk(self, seen: Callable[[Calibration], None]) -> None:
        """Look at one step after the other, each from where the right choice of the one before leads."""
        calibration = self._calibration
        state = started(self._chain) if calibration.steps == 0 else calibration.at
        while self._has_room(0) and subtask_at(self._chain, state, calibration.steps) is not None:
            looked = await self._look(Place(calibration.steps, state))
            if self._truth is None and all(one.choice is None for one in looked.samples):
                raise StepUndecided(
                    f"step {looked.step} has no vote after {len(looked.samples):,} samples, all of them flagged: the "
                    "pilot cannot go on from it"
                )
            state = advanced(self._chain, state, parsed(looked.right), calibration.steps)
            calibration.at = state
            self._count(looked)
            seen(calibration)

    async def _look(self, place: Place, turn: "_Turn | None" = None) -> Looked:
        """All samples of one step, which is looked at again only when its turn has come."""
        subtask = subtask_at(self._chain, place.state, place.step)
        if subtask is None:
            raise InputError(f"the process ends before step {place.step}, though it says that it is longer")
        step = OpenStep(place.step, self._policy)
        looking = _Looking(self, Question(step, subtask, place.state, "", check_of(self._chain)), self._voters)
        truth = None if self._truth is None else self._truth(place.state, place.step, subtask.nullable)
        await looking.first_votes()
        if truth is None:
            truth = await looking.wide_winner()
            again = bool(looking.erring(truth))
        else:
            if turn is not None:
                await turn.come()
            again = self._looks.wanted(looking.erring(truth))
            if turn is not None:
                turn.over()
        if again:
            await looking.rounds(LOOKS)
        return Looked(place.step, tuple(looking.samples()), truth)

    async def draw(self, question: Question, slot: int, n: int, known: set[str]) -> list[Observed]:
        """Samples `slot` to `slot + n - 1` of a step, through all passing failures.

        `known` are the texts that the step has had; new ones are added.
        """
        slots = range(slot, slot + n)
        runs = [list(run) for _, run in groupby(slots, key=lambda one: self._seat(question, one))]
        drawn = await asyncio.gather(*(self._draw_run(question, run[0], len(run), known) for run in runs))
        return [one for some in drawn for one in some]

    def _seat(self, question: Question, slot: int) -> tuple[Sampler, int]:
        """Who draws a sample, and in which wording."""
        sampler = seated(self._sampler, slot)
        return sampler, turns_before(self._sampler, slot) % len(question.subtask.wordings(sampler.compact))

    async def _draw_run(self, question: Question, slot: int, n: int, known: set[str]) -> list[Observed]:
        """Samples of one sampler, in one wording."""
        sampler, wording = self._seat(question, slot)
        limit = self._policy.flags.max_output_tokens
        subtask = question.subtask
        prompt = subtask.wordings(sampler.compact)[wording]
        drawn: list[Observed] = []
        while len(drawn) < n:
            first = slot + len(drawn)
            plain = Settings(self._calibration.temperature, limit, self._seed, question.step.step, first)
            settings = self._request.settings(subtask, sampler.compact, plain)
            asked = await self._allowed(n - len(drawn))
            started = self._around.clock.time()
            try:
                later = bool(known)
                found = await self._caller.call(Asked(sampler, prompt, settings, asked), NoBook())
            finally:
                for _ in range(asked):
                    self._free.release()
            took = self._around.clock.time() - started
            sent = _Sent(Sent(prompt, later, len(found)), took, known)
            drawn += [self._observed(question, first + i, one, sent) for i, one in enumerate(found[:asked])]
        return drawn

    async def _allowed(self, wanted: int) -> int:
        """How many samples may be asked for now, `wanted` at most; waits until one may. They are to be released."""
        await self._free.acquire()
        taken = 1
        while taken < wanted and not self._free.locked():
            await self._free.acquire()
            taken += 1
        return taken

    def _observed(self, question: Question, slot: int, sample: Sample, call: "_Sent") -> Observed:
        voter, choice = slot % self._voters, None
        counted = self._calibration.voters[voter]
        counted.name = voter_name(sample, *self._seat(question, slot)) or counted.name
        copied = self._copies.judge(counted.name, call.sent, sample, sample.text in call.known)
        call.known.add(sample.text)
        flag = self._policy.flags.screen(sample) if copied is None else RedFlag(copied, FlagKind.COPY)
        if flag is None:
            try:
                choice = question.choice(sample.text)
            except RedFlag as raised:
                flag = raised
        kind = None if flag is None else flag.kind
        return Observed(voter, choice, kind, sample.usage, sample.rounded_logprob, call.seconds)


@dataclass(frozen=True, slots=True)
class _Sent:
    """A call as it was sent, how long it took in seconds, and the texts that its step has had."""

    sent: Sent
    seconds: float
    known: set[str]


class _Turn:
    """The place of a step among those that are looked at together."""

    def __init__(self, before: "_Turn | None" = None) -> None:
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
        self._by_slot: dict[int, Observed] = {}
        self._known: set[str] = set()
        self._next = 0

    def samples(self) -> list[Observed]:
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
            await asyncio.gather(*(self._draw(self._next * self._voters + voter, 1) for voter in silent))
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
        for number, one in enumerate(await self._pilot.draw(self._question, slot, n, self._known), slot):
            self._by_slot[number] = one


def pilot_seed(seed: int) -> int:
    """The seed of a pilot's samples: other ones than those of a run with the same seed, which it is to foretell."""
    return int.from_bytes(blake2b(f"pilot {seed}".encode(), digest_size=8).digest(), "big") >> 2


def can_be_entered(chain: Any) -> bool:
    """Whether a chain gives the state before any of its steps."""
    return hasattr(chain, "state_at") and length_of(chain) is not None
