"""The law of speculation: whatever is guessed, a run that asks ahead commits what the plain run commits.

The chain is a maze whose paths part and meet again, so that an abandoned state can be reached after all; some of its
states break the user's code. In every other maze some steps are independent. A sample depends on prompt, step and
number alone, but calls take random time, give fewer samples than asked for, and fail now and then. All of it happens
in virtual time.
"""

import asyncio
import re
from dataclasses import dataclass
from random import Random

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from mazes import Guessing, Maze, Mine, Rows

from contents import contents_of
from replay import replay
from unerring.core.checked_chain import CheckedChain
from unerring.core.journal.codec import decode, encode
from unerring.core.journal.entries import Finished, Opened, Resumed
from unerring.core.journal.state import RunState
from unerring.core.voting.canonical import canonical, parsed
from unerring.core.voting.policy import Policy
from unerring.core.voting.race import AheadBy, FirstTo, LogOdds, Majority
from unerring.core.voting.weights import VoterWeights, Weights
from unerring.errors import ProviderBusy, SamplesFlagged
from unerring.runtime.calls.patience import Patience
from unerring.runtime.config import RunConfig, Speculation
from unerring.runtime.runner import run_chain
from unerring.testing import MemoryJournal, NoisySampler
from virtual_time import LoopClock, Slow, virtually

LAW = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
LONG = settings(LAW, max_examples=15)


class Moody(Slow):
    """A noisy model with random latency that may return fewer samples than asked for, and fail at first tries."""

    def __init__(self, noise, seed, paid, moods):
        super().__init__(
            noise, lambda prompt, of: Random(f"{seed} {prompt} {of}").choice((0, 0.01, 0.05, 0.05, 0.3)), paid
        )
        self._seed, self._moods, self._refused = seed, moods, set()

    async def sample(self, prompt, settings, n):
        chance = Random(f"mood {self._seed} {prompt} {settings}")
        samples = await super().sample(prompt, settings, n)
        if chance.random() < self._moods and (prompt, settings) not in self._refused:
            self._refused.add((prompt, settings))
            raise ProviderBusy("not now", retry_after=chance.choice((None, 0.02, 3.0)))
        return samples[: chance.randint(1, n)] if chance.random() < self._moods else samples


@dataclass(frozen=True)
class World:
    """A maze, a model and everything else that a run of it depends on."""

    maze: Maze
    noise: NoisySampler
    policy: Policy
    seed: int
    paid: bool
    moods: float
    speculation: Speculation

    def run(self, speculation=None, entries=(), **config):
        """One session on the entries so far; the error that stops it is kept."""
        return virtually(self._session(speculation, list(entries), config))

    async def _session(self, speculation, entries, config):
        sampler = Moody(self.noise, self.seed, self.paid, self.moods)
        kept, state, at = Kept(), RunState(), self.maze.start()
        journal = Late(entries)
        for entry in entries:
            decided = state.apply(entry)
            if decided is not None:
                kept.decided(decided, state)
                at = self.maze.advance(at, decided.value)
        start = canonical(self.maze.start())
        opened = Opened("maze", {}, "moody", self.policy.to_json(), self.seed, start, None, "tests", 0.0)
        entry = Resumed(0.0) if entries else opened
        state.apply(entry)
        journal.append(entry)
        config = {"patience": Patience(0.01, 0.1, 10**9, spread=0.0), "clock": LoopClock(), "observer": kept} | config
        error = None
        try:
            at = await run_chain(
                CheckedChain(self.maze), sampler, journal, state, at, RunConfig(speculation=speculation, **config)
            )
        except Exception as caught:
            error = caught
        return Ended(kept.steps, at if error is None else None, error, list(journal.entries()), state, sampler)


def world_of(seed):
    """A world drawn evenly: Hypothesis by itself would mostly draw ones too simple for a guess to be wrong in."""
    pick = Random(seed).choice
    maze = pick([Maze, Rows])(seed, pick([0, 1, 5, 30, 60]), pick([1, 2, 5, 1000]), pick([0.0, 0.0, 0.01, 0.05]))
    noise = NoisySampler(maze.rehearse, pick([1.0, 0.95, 0.8, 0.7]), pick([1.0, 0.9]), pick([0.0, 0.3, 1.0]))
    weights = Weights((), (("noise", VoterWeights((2000,), 900, again=1500, turn=1800)),))
    rule = pick([AheadBy(1), AheadBy(2), AheadBy(3), FirstTo(2), Majority(5), LogOdds(3.0, weights)])
    policy = Policy(rule, pick([rule.lacking(0, 0) + 2, 60, 60, 60]), pick([1, 20, 20]), pick([0.0, 0.1]))
    guess = Guessing(maze, pick(["right", "right", "right", "wrong"]), pick([1.0, 0.9, 0.8, 0.5]))
    speculation = Speculation(
        pick([None, guess, guess]), pick([0.0, 0.05, 0.3, 1.0, 1.0]), pick([1, 2, 5, 16, 256, 256])
    )
    return World(maze, noise, policy, seed, pick([True, False]), pick([0.0, 0.2]), speculation)


worlds = st.builds(world_of, st.integers(0, 2**32))


class Late(MemoryJournal):
    """A journal that takes time to make entries durable."""

    async def commit(self):
        await asyncio.sleep(0.004)


class Kept:
    """An observer of every decided step, with its samples' texts and choices written out."""

    def __init__(self):
        self.steps = []

    def decided(self, decided, state):
        by_slot = {reply.slot: reply for reply in decided.replies}

        def full(value, name):
            return getattr(by_slot[value], name) if isinstance(value, int) else value

        votes = [(r.slot, full(r.text, "text"), full(r.choice, "choice"), r.flag, r.usage) for r in decided.replies]
        self.steps.append((decided.step, decided.choice, decided.tally, decided.flags, decided.rounds, votes))


@dataclass
class Ended:
    steps: list
    at: object
    error: Exception | None
    entries: list
    state: RunState
    sampler: Moody

    @property
    def result(self):
        """Everything that speculation must not change.

        How many flagged samples had come at a stop by flags may differ.
        """
        message = str(self.error)
        if isinstance(self.error, SamplesFlagged):
            message = re.sub(r"\d+ samples", "samples", message)
        return self.steps, self.at, type(self.error), message, self.state.last_digest


# --- the law


@LAW
@example(world_of(387641))  # stopped by flagged samples, of which another number had come
@given(worlds)
def test_a_speculated_run_commits_what_the_plain_run_commits(world):
    """Choices, tallies, flags, rounds and votes are the same, and so is the error that stops it, at the same step."""
    plain, ahead = world.run(), world.run(world.speculation)
    assert ahead.result == plain.result
    assert ahead.sampler.most <= world.speculation.in_flight


@LAW
@given(worlds, st.sets(st.tuples(st.integers(0, 25), st.integers(0, 5))))
def test_a_guess_that_fails_stops_a_run_only_at_a_state_that_is_reached(world, fails):
    """A guess that raises or is not JSON at a state that is never reached changes nothing."""
    plain = world.run()
    fails = frozenset(fails)
    ahead = world.run(Speculation(Guessing(world.maze, "right", 0.5, fails), 1.0, world.speculation.in_flight))
    if ahead.result == plain.result:
        return
    assert isinstance(ahead.error, Mine | TypeError)
    assert ahead.steps == plain.steps[: len(ahead.steps)]
    at = world.maze.start()
    for step in ahead.steps:
        at = world.maze.advance(at, parsed(step[1]))
    assert tuple(world.maze.cell(at)) in fails


@LAW
@given(worlds)
def test_a_speculated_journal_folds_to_the_live_state(world):
    """The state at the end of a run is the fold of its entries, also through bytes."""
    ahead = world.run(world.speculation)
    assert contents_of(replay(decode(encode(entry)) for entry in ahead.entries)) == contents_of(ahead.state)


@LAW
@given(worlds, st.data())
def test_a_speculated_run_continues_from_any_prefix_of_its_journal(world, data):
    """Cut anywhere and resumed, with or without speculation, the run ends as the plain one does, or stops there."""
    plain, ahead = world.run(), world.run(world.speculation)
    whole = [entry for entry in ahead.entries if not isinstance(entry, Finished)]
    cut = data.draw(st.integers(1, len(whole)))
    resumed = world.run(data.draw(st.sampled_from([world.speculation, None])), whole[:cut])
    assert resumed.result == plain.result
    assert contents_of(replay(resumed.entries)) == contents_of(resumed.state)


@pytest.mark.slow
@LONG
@given(worlds)
def test_a_speculated_run_continues_from_every_prefix_of_its_journal(world):
    """The same at each single entry of a run."""
    plain, ahead = world.run(), world.run(world.speculation)
    whole = [entry for entry in ahead.entries if not isinstance(entry, Finished)]
    for cut in range(1, len(whole) + 1):
        assert world.run(world.speculation, whole[:cut]).result == plain.result


@LAW
@given(worlds, st.lists(st.integers(1, 6), min_size=1, max_size=8))
def test_a_run_in_sessions_of_a_few_steps_asks_no_step_beyond(world, lengths):
    """Divided into sessions by step limits, a run ends as the plain one, and no session asks beyond its limit."""
    plain, entries, done = world.run(), [], 0
    for length in [*lengths, None]:
        ahead = world.run(world.speculation, entries, max_steps=length)
        assert length is None or not ahead.sampler.steps - set(range(done, done + length))
        entries, done = ahead.entries, ahead.state.committed
        if type(ahead.error).__name__ != "StepLimit":
            break
    assert ahead.result == plain.result


@LAW
@given(worlds)
def test_no_sample_that_is_in_the_journal_is_asked_for_again(world):
    """Each sample of a state is answered once, even if the state is dropped and guessed again."""
    ahead = world.run(world.speculation)
    seen = set()
    for entry in ahead.entries:
        for reply in getattr(entry, "replies", ()):
            prompted = (reply.step, entry.at, reply.slot)
            assert prompted not in seen
            seen.add(prompted)
    assert len(seen) == ahead.state.samples


@LAW
@given(worlds)
def test_all_that_was_wasted_is_counted(world):
    """At the end of a run the wasted samples are those that decided no committed step."""
    ahead = world.run(world.speculation)
    if ahead.error is None:
        assert ahead.state.samples - ahead.state.wasted == sum(len(step[-1]) for step in ahead.steps)


@LAW
@given(worlds)
def test_every_paid_call_is_settled(world):
    """At the end each intended sample was received, failed, or is counted as of unknown outcome."""
    ahead = world.run(world.speculation)
    # a sample that breaks a parser is paid for and never read, and the rest of a short answer is asked for again
    if not world.maze.trouble and not world.moods:
        assert ahead.state.calls.in_flight == set()
