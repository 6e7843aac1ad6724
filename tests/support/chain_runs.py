"""A chain whose state is the list of its choices, and functions to run it, for tests of the runtime."""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from random import Random

from unerring.core.chain import Chain, Rehearsal, Subtask
from unerring.core.checked_chain import CheckedChain
from unerring.core.journal.decided_step import DecidedStep
from unerring.core.journal.entries import Entry, Opened, Paused, Replies, Reply, Resumed
from unerring.core.journal.state import RunState
from unerring.core.voting.canonical import canonical, parsed
from unerring.core.voting.policy import Policy
from unerring.core.voting.race import AheadBy
from unerring.core.voting.redflag import RedFlag
from unerring.core.voting.reply_ids import ReplyIds
from unerring.core.voting.sample import Sample, Settings
from unerring.runtime.runner import RunConfig, run_chain
from unerring.testing import FakeClock, MemoryJournal

K1 = Policy(rule=AheadBy(1))
K2 = Policy(rule=AheadBy(2))
K3 = Policy(rule=AheadBy(3))


def word(text):
    """The choice is the text itself; one that starts with `!`, or has an unclosed bracket, is malformed."""
    if text.startswith("!") or ("<" in text and ">" not in text):
        raise RedFlag("malformed on purpose")
    return text


class Words:
    """A chain of so many steps whose state is the list of the choices so far."""

    def __init__(self, steps=3, parse=word):
        self.steps = steps
        self.parse = parse

    def start(self):
        return []

    def subtask(self, state):
        if len(state) == self.steps:
            return None
        return Subtask(f"word {len(state)} of {self.steps}, so far: {' '.join(map(str, state))}", self.parse)

    def advance(self, state, choice):
        return [*state, choice]

    def rehearse(self, prompt):
        right = f"<{Random(prompt).randrange(100)}>"
        return Rehearsal(right, (f"x{right}", f"y{right}"))


class Answers:
    """A sampler made of a coroutine function `(slot, n) -> samples or texts`; keeps its calls like ScriptedSampler."""

    name = "answers"
    compact = False

    def __init__(self, answer: Callable, paid: bool = False):
        self._answer = answer
        self.paid = paid
        self.calls: list[tuple[int, int, int, float]] = []

    async def sample(self, prompt: str, settings: Settings, n: int):
        self.calls.append((settings.step, settings.slot, n, settings.temperature))
        answers = await self._answer(settings.slot, n)
        return [one if isinstance(one, Sample) else Sample(one, voter="answers") for one in answers]


@dataclass
class Outcome:
    """The outcome of a run: the last state of its chain or the error it raised, its journal, and the run's state."""

    at: object
    error: BaseException | None
    journal: MemoryJournal
    state: RunState
    clock: FakeClock
    decided: list[DecidedStep] = field(default_factory=list)

    @property
    def entries(self) -> list[Entry]:
        return list(self.journal.entries())

    def of(self, *kinds: type) -> list[Entry]:
        """The entries of these kinds, in order."""
        return [entry for entry in self.entries if isinstance(entry, kinds)]

    @property
    def replies(self) -> list[Reply]:
        """Every sample received, in order."""
        return [reply for entry in self.of(Replies) for reply in entry.replies]

    @property
    def votes(self) -> list[tuple[int, int]]:
        """(step, slot) of every sample that voted."""
        return [(reply.step, reply.slot) for reply in self.replies if reply.choice is not None]

    @property
    def flags(self) -> list:
        """The kinds of the red flags, in order."""
        return [reply.flag for reply in self.replies if reply.flag is not None]

    @property
    def paused(self) -> Paused:
        last = self.entries[-1]
        assert isinstance(last, Paused)
        return last


class Watch:
    """An observer that keeps every decided step."""

    def __init__(self):
        self.seen: list[DecidedStep] = []

    def decided(self, decided, state):
        self.seen.append(decided)


def opening(chain: Chain, policy: Policy) -> Opened:
    """The opening entry of a run in memory."""
    return Opened("words", {}, "model", policy.to_json(), 0, canonical(chain.start()), None, "tests", 0.0)


def run(chain, sampler, policy=K2, journal=None, state=None, clock=None, **config) -> Outcome:
    """Run a chain in memory; an exception is kept, not raised."""
    return asyncio.run(arun(chain, sampler, policy, journal, state, clock, **config))


async def arun(chain, sampler, policy=K2, journal=None, state=None, clock=None, **config) -> Outcome:
    """Run a chain in memory, on the running loop; `state` is an empty state of the caller's to watch."""
    journal = MemoryJournal() if journal is None else journal
    state, entry = state or RunState(), opening(chain, policy)
    state.apply(entry)
    journal.append(entry)
    return await _going(chain, sampler, journal, state, chain.start(), clock, config)


def resume(chain, sampler, entries: Iterable[Entry], clock=None, caps=(None, None), **config) -> Outcome:
    """Continue from a journal's entries alone."""
    state, at, known_ids = RunState(), chain.start(), ReplyIds()
    journal = MemoryJournal(entries)
    for entry in journal.entries():
        known_ids.note(entry)
        decided = state.apply(entry)
        if decided is not None:
            at = chain.advance(at, parsed(decided.choice))
    resumed = Resumed(0.0, *caps)
    state.apply(resumed)
    journal.append(resumed)
    return asyncio.run(_going(chain, sampler, journal, state, at, clock, {"known_replies": known_ids} | config))


async def _going(chain, sampler, journal, state, at, clock, config) -> Outcome:
    watch, clock = Watch(), clock or FakeClock()
    run_config = RunConfig(**({"clock": clock, "observer": watch} | config))
    last, caught = None, None
    try:
        last = await run_chain(CheckedChain(chain), sampler, journal, state, at, run_config)
    except BaseException as error:  # also cancellation: the journal is looked at afterwards
        caught = error
    return Outcome(last, caught, journal, state, clock, watch.seen)
