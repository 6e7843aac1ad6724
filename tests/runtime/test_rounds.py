"""The rounds of a step: how many samples each asks for, in which order they vote, and where caps end them."""

import asyncio
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chain_runs import K2, K3, Answers, Words, arun, resume, run
from unerring.core.journal.entries import Committed
from unerring.core.journal.state import RunState
from unerring.core.voting.policy import Policy
from unerring.core.voting.race import AheadBy, FirstTo, Majority, Race
from unerring.errors import StepUndecided
from unerring.runtime.runner import STEPS_PER_TURN
from unerring.testing import ScriptedSampler

# --- what a round asks for


def test_unanimous_votes_win_at_exactly_k():
    """A step whose samples all agree takes exactly k of them, asked for in one round."""
    sampler = ScriptedSampler(["a", "a", "a"])
    outcome = run(Words(1), sampler, K3)
    assert outcome.at == ["a"]
    assert sampler.calls == [(0, 0, 1, 0.0), (0, 1, 2, 0.1)]


def test_a_round_asks_at_once_for_exactly_what_could_end_the_race():
    """After 2-1 of first-to-ahead-by-3, two more are asked for in one call, and after 3-2 again two."""
    sampler = ScriptedSampler(["a", "a", "b", "b", "a", "a", "a"])
    outcome = run(Words(1), sampler, K3)
    assert sampler.calls[2:] == [(0, 3, 2, 0.1), (0, 5, 2, 0.1)]
    assert outcome.decided[0].tally == (5, 2)
    assert outcome.decided[0].rounds == 3


def test_one_temperature_needs_one_call_a_round():
    """If first and later temperatures are the same, a round is a single call."""
    sampler = ScriptedSampler(["a", "a", "a"])
    run(Words(1), sampler, replace(K3, first_temperature=0.7, later_temperature=0.7))
    assert sampler.calls == [(0, 0, 3, 0.7)]


RULES = st.builds(AheadBy, st.integers(1, 4)) | st.builds(FirstTo, st.integers(1, 4)) | st.just(Majority(5))


@given(st.lists(st.sampled_from("abc!"), min_size=60, max_size=60), RULES)
@settings(max_examples=60, deadline=None)
def test_no_sample_is_asked_for_that_the_race_did_not_need(script, rule):
    """For any answers, every round asks for exactly the race's missing votes, and ends there."""
    policy = Policy(rule=rule, vote_cap=12, flag_cap=2)
    sampler = ScriptedSampler(script)
    outcome = run(Words(1), sampler, policy)
    race, expected, counted, flags = Race(rule, 12), [], 0, 0
    while race.missing() and flags < policy.flag_cap * (race.votes + race.missing()):
        asked = race.missing()
        expected += [(0, 1), (1, asked - 1)] if counted == 0 and asked > 1 else [(counted, asked)]
        for text in script[counted : counted + asked]:
            if text == "!":
                flags += 1
            else:
                race.tell(text)
        counted += asked
    assert [(slot, n) for _, slot, n, _ in sampler.calls] == expected
    assert sum(n for _, n in expected) == len(outcome.replies)


# --- arrival


def test_two_calls_of_a_round_are_in_flight_together():
    """The first sample, at its own temperature, does not delay the others."""

    async def together():
        both = asyncio.Barrier(2)

        async def answer(slot, n):
            await both.wait()
            return ["a"] * n

        return await arun(Words(1), Answers(answer), K3)

    assert asyncio.run(together()).at == ["a"]


def test_votes_count_by_number_not_by_arrival():
    """While the first sample is in flight, later ones are journaled when received and do not vote yet."""
    state, seen = RunState(), []

    async def late_first():
        others_are_in = asyncio.Event()

        async def answer(slot, n):
            if slot == 0:
                await others_are_in.wait()
                step = state.step(0)
                seen.append((sorted(step.replies), step.counted, step.race.votes))
                return ["slow"]
            asyncio.get_running_loop().call_soon(others_are_in.set)
            return ["fast"] * n

        return await arun(Words(1), Answers(answer), Policy(rule=FirstTo(3)), state=state)

    outcome = asyncio.run(late_first())
    assert seen == [([1, 2], 0, 0)]
    assert [reply.slot for reply in outcome.replies] == [1, 2, 0, 3]
    assert [reply.slot for reply in outcome.decided[0].replies] == [0, 1, 2, 3]
    assert outcome.at == ["fast"]


@pytest.mark.parametrize("texts", ["aab", "bba", "!ab", "a!!", "aba", "!!!"])
def test_the_order_of_arrival_changes_nothing(texts):
    """A step has the same result, vote for vote, whether its first sample is received first or last."""

    async def both(first_waits):
        others_are_in = asyncio.Event()

        async def answer(slot, n):
            if slot == 0 and first_waits:
                await others_are_in.wait()
            asyncio.get_running_loop().call_soon(others_are_in.set)
            return [(texts + "a" * 20)[slot + i] for i in range(n)]

        return await arun(Words(1), Answers(answer), K3)

    early, late = asyncio.run(both(False)), asyncio.run(both(True))
    assert [reply.slot for reply in late.replies] != [reply.slot for reply in early.replies]
    (one,), (other,) = early.decided, late.decided
    assert (one.choice, one.tally, one.flags, one.rounds) == (other.choice, other.tally, other.flags, other.rounds)


def test_a_chain_of_many_steps_leaves_the_loop_room_for_others():
    """Even a sampler that answers at once does not keep the event loop from running other tasks."""

    async def beside():
        ticks = 0

        async def tick():
            nonlocal ticks
            while True:
                ticks += 1
                await asyncio.sleep(0)

        async def answer(slot, n):
            return ["a"] * n

        ticking = asyncio.create_task(tick())
        await arun(Words(200), Answers(answer), Policy(rule=AheadBy(1)))
        ticking.cancel()
        return ticks

    assert asyncio.run(beside()) >= 200 // STEPS_PER_TURN


# --- caps


def test_a_step_at_its_vote_cap_is_undecided_not_won_by_the_plurality():
    """A race that reaches its cap at 3-1 stops the run; the leader is not carried forward, and the votes are kept."""
    outcome = run(Words(2), ScriptedSampler(["a", "b", "a", "a"]), replace(K3, vote_cap=4))
    assert isinstance(outcome.error, StepUndecided)
    assert outcome.of(Committed) == []
    assert outcome.votes == [(0, 0), (0, 1), (0, 2), (0, 3)]
    assert outcome.paused.kind == "undecided"
    assert "3-1" in str(outcome.error)


def test_a_win_in_the_last_vote_the_cap_allows_counts():
    """The vote that reaches the cap may also win."""
    outcome = run(Words(1), ScriptedSampler(["a", "b", "a", "a"]), replace(K2, vote_cap=4))
    assert outcome.at == ["a"]
    assert outcome.decided[0].tally == (3, 1)


def test_a_raised_vote_cap_continues_with_the_votes_so_far():
    """Resumed with a higher cap, an undecided step keeps its votes and asks only for those still missing."""
    first = run(Words(1), ScriptedSampler(["a", "b", "a", "b"]), replace(K2, vote_cap=4))
    sampler = ScriptedSampler(["a", "b", "a", "b", "b", "b"])
    second = resume(Words(1), sampler, first.entries, caps=(10, None))
    assert sampler.calls == [(0, 4, 2, 0.1)]
    assert second.at == ["b"]
    assert second.decided[0].tally == (4, 2)


def test_resuming_an_undecided_step_as_it_is_asks_for_nothing():
    """Without higher caps an undecided step stays undecided, at no cost."""
    first = run(Words(1), ScriptedSampler(["a", "b", "a", "b"]), replace(K2, vote_cap=4))
    sampler = ScriptedSampler([])
    second = resume(Words(1), sampler, first.entries)
    assert isinstance(second.error, StepUndecided)
    assert sampler.calls == []


def test_a_step_whose_samples_are_all_flagged_is_undecided():
    """After flag_cap flags for each vote needed the run stops, and no candidate is elected."""
    outcome = run(Words(1), ScriptedSampler(["!"] * 99), replace(K2, flag_cap=3))
    assert isinstance(outcome.error, StepUndecided)
    assert len(outcome.flags) == 6
    assert outcome.votes == []
    assert outcome.of(Committed) == []


def test_a_raised_flag_cap_lets_a_flagged_step_continue():
    """Resumed with a higher flag cap, a step stopped by red flags draws further samples."""
    first = run(Words(1), ScriptedSampler(["!"] * 99), replace(K2, flag_cap=3))
    second = resume(Words(1), ScriptedSampler(["!"] * 6 + ["a", "a"]), first.entries, caps=(None, 5))
    assert second.at == ["a"]
