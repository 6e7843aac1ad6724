"""The chain runner: rounds, caps, commits, stops, and going on from a journal's entries alone."""

import asyncio
from dataclasses import replace

import pytest
from chain_runs import K2, K3, Answers, Words, arun, resume, run
from hypothesis import given, settings
from hypothesis import strategies as st

from unerring.core.entries import Committed, Finished, Intent, Opened, Reply, Resumed, decode, digest_of, encode
from unerring.core.policy import Policy
from unerring.core.race import AheadBy, FirstTo, Majority, Race
from unerring.core.redflag import RedFlag
from unerring.core.replay import RunState, replay
from unerring.core.vote import canonical
from unerring.errors import Interrupted, ProviderBusy, ProviderDown, ProviderGone, StepLimit, StepUndecided
from unerring.runtime.limits import StopRequest
from unerring.testing import FakeClock, MemoryJournal, NoisySampler, ScriptedSampler

# --- rounds


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
    """Where first and later temperatures are the same, a round is a single call."""
    sampler = ScriptedSampler(["a", "a", "a"])
    run(Words(1), sampler, replace(K3, first_temperature=0.7, later_temperature=0.7))
    assert sampler.calls == [(0, 0, 3, 0.7)]


RULES = st.builds(AheadBy, st.integers(1, 4)) | st.builds(FirstTo, st.integers(1, 4)) | st.just(Majority(5))


@given(st.lists(st.sampled_from("abc!"), min_size=60, max_size=60), RULES)
@settings(max_examples=60, deadline=None)
def test_no_sample_is_asked_for_that_the_race_did_not_need(script, rule):
    """Whatever is answered, every round asks for the race's missing votes, no more and no fewer, and ends there."""
    policy = Policy(rule=rule, vote_cap=12, flag_cap=2)
    sampler = ScriptedSampler(script)
    outcome = run(Words(1), sampler, policy)
    race, expected, told, flags = Race(rule, 12), [], 0, 0
    while race.missing() and flags < policy.flag_cap * (race.votes + race.missing()):
        asked = race.missing()
        expected += [(0, 1), (1, asked - 1)] if told == 0 and asked > 1 else [(told, asked)]
        for text in script[told : told + asked]:
            if text == "!":
                flags += 1
            else:
                race.tell(text)
        told += asked
    assert [(slot, n) for _, slot, n, _ in sampler.calls] == expected
    assert sum(n for _, n in expected) == len(outcome.of(Reply))


def test_votes_are_told_by_number_not_by_arrival():
    """While the first sample is out, later ones that are back already are journaled and do not vote yet."""
    folded, seen = RunState(), []

    async def late_first():
        others_are_in = asyncio.Event()

        async def answer(slot, n):
            if slot == 0:
                await others_are_in.wait()
                step = folded.open[0]
                seen.append((sorted(step.replies), step.told, step.race.votes))
                return ["slow"]
            asyncio.get_running_loop().call_soon(others_are_in.set)
            return ["fast"] * n

        return await arun(Words(1), Answers(answer), Policy(rule=FirstTo(3)), folded=folded)

    outcome = asyncio.run(late_first())
    assert seen == [([1, 2], 0, 0)]
    assert [reply.slot for reply in outcome.of(Reply)] == [1, 2, 0, 3]
    assert [reply.slot for reply in outcome.decided[0].replies] == [0, 1, 2, 3]
    assert outcome.at == ["fast"]


@pytest.mark.parametrize("texts", ["aab", "bba", "!ab", "a!!", "aba", "!!!"])
def test_the_order_of_arrival_changes_nothing(texts):
    """A step comes out the same, vote for vote, whether its first sample arrives first or last."""

    async def both(first_waits):
        others_are_in = asyncio.Event()

        async def answer(slot, n):
            if slot == 0 and first_waits:
                await others_are_in.wait()
            asyncio.get_running_loop().call_soon(others_are_in.set)
            return [(texts + "a" * 20)[slot + i] for i in range(n)]

        return await arun(Words(1), Answers(answer), K3)

    early, late = asyncio.run(both(False)), asyncio.run(both(True))
    assert [reply.slot for reply in late.of(Reply)] != [reply.slot for reply in early.of(Reply)]
    (one,), (other,) = early.decided, late.decided
    assert (one.choice, one.tally, one.flags, one.rounds) == (other.choice, other.tally, other.flags, other.rounds)


# --- caps


def test_a_step_at_its_vote_cap_is_undecided_not_won_by_the_plurality():
    """A race that meets its cap at 3-1 stops the run; the leader is not carried forward, and the votes are kept."""
    outcome = run(Words(2), ScriptedSampler(["a", "b", "a", "a"]), replace(K3, vote_cap=4))
    assert isinstance(outcome.error, StepUndecided)
    assert outcome.of(Committed) == []
    assert outcome.votes == [(0, 0), (0, 1), (0, 2), (0, 3)]
    assert outcome.paused.kind == "undecided"
    assert "3-1" in str(outcome.error)


def test_a_win_in_the_last_vote_the_cap_allows_counts():
    """The vote that fills the cap may also win."""
    outcome = run(Words(1), ScriptedSampler(["a", "b", "a", "a"]), replace(K2, vote_cap=4))
    assert outcome.at == ["a"]
    assert outcome.decided[0].tally == (3, 1)


def test_a_raised_vote_cap_goes_on_with_the_votes_there_are():
    """On resuming with a higher cap, an undecided step keeps its votes and asks only for those still missing."""
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
    """All-flagged never elects candidate 0: after flag_cap flags for each vote needed the run stops."""
    outcome = run(Words(1), ScriptedSampler(["!"] * 99), replace(K2, flag_cap=3))
    assert isinstance(outcome.error, StepUndecided)
    assert len(outcome.flags) == 6
    assert outcome.votes == []
    assert outcome.of(Committed) == []


def test_a_raised_flag_cap_lets_a_flagged_step_go_on():
    """On resuming with a higher flag cap, a step stopped by red flags draws further samples."""
    first = run(Words(1), ScriptedSampler(["!"] * 99), replace(K2, flag_cap=3))
    second = resume(Words(1), ScriptedSampler(["!"] * 6 + ["a", "a"]), first.entries, caps=(None, 5))
    assert second.at == ["a"]


# --- what is committed, and resuming


def test_committed_entries_carry_the_digest_of_the_state_they_lead_to():
    """Step i's commit names the state after i + 1 choices."""
    outcome = run(Words(3), ScriptedSampler({0: ["a"] * 2, 1: ["b"] * 2, 2: ["c"] * 2}))
    digests = [digest_of(canonical(list("abc"[: i + 1]))) for i in range(3)]
    assert outcome.of(Committed) == [Committed(i, digest) for i, digest in enumerate(digests)]
    assert outcome.entries[-1] == Finished(3, 0.0)


def test_advance_is_given_exactly_the_canonical_choice():
    """Whichever equal form the parser gave first, advance sees the canonical one, as it will after resuming."""
    given_to_advance = []

    class Keeping(Words):
        def advance(self, state, choice):
            given_to_advance.append(choice)
            return super().advance(state, choice)

    def parse(text):
        return {"b": (1.0, 2.5, True), "a": {"y": None, "x": -0.0}, "text": text}

    run(Keeping(1, parse), ScriptedSampler(["é"] * 2))
    (choice,) = given_to_advance
    assert list(choice) == ["a", "b", "text"]
    assert choice == {"a": {"x": 0, "y": None}, "b": [1, 2.5, True], "text": "é"}
    assert [type(item) for item in choice["b"]] == [int, float, bool]
    assert list(choice["a"]) == ["x", "y"]
    assert str(choice["a"]["x"]) == "0"


def test_the_same_choice_in_other_words_is_one_candidate():
    """Texts that differ and parse to equal choices vote together, whatever the order of their keys."""

    def parse(text):
        return {"a": 1, "b": 2} if text.startswith("ab") else {"b": 2.0, "a": 1}

    outcome = run(Words(1, parse), ScriptedSampler(["ab", "ba"]))
    assert outcome.decided[0].tally == (2,)


class Doubting(MemoryJournal):
    """Folds every entry that it is given, read back from bytes, and compares with the runner's own state."""

    def __init__(self, live):
        super().__init__()
        self._live = live
        self._folded = RunState()
        self.compared = 0

    def append(self, entry):
        super().append(entry)
        self._folded.apply(decode(encode(entry)))
        assert told(self._folded) == told(self._live)
        self.compared += 1


def told(state):
    """All that a folded state says, in a form that can be compared."""
    fields = {name: value for name, value in vars_of(state).items() if name not in ("open", "voters")}
    fields["voters"] = {n: (v.name, v.votes, v.flags) for n, v in state.voters.items()}
    fields["open"] = {
        number: (step.told, step.asked, step.flags, step.rounds, step.replies, step.race.tally, step.verdict)
        for number, step in state.open.items()
        if step.replies
    }
    return fields


def vars_of(state):
    names = [name for name in vars(RunState()) if not name.startswith("_")]
    return {name: getattr(state, name) for name in names}


@pytest.mark.parametrize("paid", [True, False])
def test_the_live_state_is_the_fold_of_the_journal_at_every_entry(paid):
    """After each entry that is journaled, the runner's state equals that of the entries read back from bytes."""
    live = RunState()
    journal = Doubting(live)
    script = [ProviderBusy("later"), "a", "!", "b", "a", "a", "a"]
    outcome = run(Words(4), ScriptedSampler(script, paid=paid), K2, journal=journal, folded=live)
    assert outcome.error is None
    assert journal.compared == len(outcome.entries)


def test_an_observer_hears_of_every_step_once_in_order():
    """The observer is told each committed step with the state in which it is committed already."""
    seen = []

    class Watching:
        def decided(self, decided, state):
            seen.append((decided.step, state.committed, replay(journal.entries()).committed))

    journal = MemoryJournal()
    run(Words(4), ScriptedSampler(["a"] * 2), journal=journal, observer=Watching())
    assert seen == [(0, 1, 1), (1, 2, 2), (2, 3, 3), (3, 4, 4)]


def exported(entries):
    """All of a journal that its run is accountable for: everything but when it was stopped and resumed."""
    return [entry for entry in entries if type(entry).__name__ not in ("Resumed", "Paused", "Opened")]


def through_noise(chain, p=0.75, v=0.8):
    return NoisySampler(chain.rehearse, p, v)


def test_a_run_resumed_after_every_step_goes_on_identically():
    """Stopping after each single step leaves the same entries as not stopping at all."""
    chain = Words(12)
    whole = run(chain, through_noise(chain))
    part = run(chain, through_noise(chain), max_steps=1)
    stops = 0
    while part.error is not None:
        assert isinstance(part.error, StepLimit)
        assert part.paused.kind == "step limit"
        part = resume(chain, through_noise(chain), part.entries, max_steps=1)
        stops += 1
    assert stops == 11
    assert part.at == whole.at
    assert exported(part.entries) == exported(whole.entries)


@given(st.lists(st.integers(1, 12), max_size=6), st.integers(0, 3))
@settings(max_examples=30, deadline=None)
def test_no_split_into_sessions_changes_a_run(splits, margin):
    """However a run is split into sessions of so many steps, its whole export is the same."""
    chain, policy = Words(25), Policy(rule=AheadBy(margin + 1), flag_cap=50)
    whole = run(chain, through_noise(chain), policy)
    parts = run(chain, through_noise(chain), policy, max_steps=splits[0] if splits else None)
    for most in [*splits[1:], None]:
        if parts.error is None:
            break
        parts = resume(chain, through_noise(chain), parts.entries, max_steps=most)
    assert parts.error is None
    assert parts.at == whole.at
    assert exported(parts.entries) == exported(whole.entries)


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_a_journal_cut_anywhere_goes_on_to_the_same_end(data):
    """From any number of leading entries, as a crash leaves them, the run ends in the same state and export."""
    chain = Words(8)
    whole = run(chain, through_noise(chain))
    cut = data.draw(st.integers(1, len(whole.entries) - 1))
    rest = resume(chain, through_noise(chain), whole.entries[:cut])
    assert rest.at == whole.at
    assert exported(rest.entries) == exported(whole.entries)


def test_a_run_that_was_at_its_end_needs_no_sample():
    """A journal that lacks only its last entry is finished without asking anything."""
    whole = run(Words(2), ScriptedSampler(["a", "a"]))
    sampler = ScriptedSampler([])
    rest = resume(Words(2), sampler, whole.entries[:-1])
    assert rest.at == ["a", "a"]
    assert sampler.calls == []
    assert isinstance(rest.entries[-1], Finished)


def test_a_chain_without_steps_is_finished_at_once():
    """A chain whose start is its end gives its start back, and a journal that says so."""
    outcome = run(Words(0), ScriptedSampler([]))
    assert outcome.at == []
    assert [type(entry) for entry in outcome.entries] == [Opened, Finished]


def test_a_limit_of_all_the_steps_there_are_finishes_the_run():
    """A run asked to do as many steps as its chain has ends as finished, not as stopped."""
    outcome = run(Words(3), ScriptedSampler(["a", "a"]), max_steps=3)
    assert outcome.error is None
    assert isinstance(outcome.entries[-1], Finished)


# --- the user's own code


class Mine(Exception):
    """An error of the user's own."""


def failing(where, error, at_step=1):
    """A chain whose method `where` raises at one step."""

    class Failing(Words):
        def check(self, state, choice):
            if where == "check" and len(state) == at_step:
                raise error

        def subtask(self, state):
            if where == "subtask" and len(state) == at_step:
                raise error
            return super().subtask(state)

        def advance(self, state, choice):
            if where == "advance" and len(state) == at_step:
                raise error
            return super().advance(state, choice)

    def parse(text):
        if where == "parse" and text == "b":
            raise error
        return text

    return Failing(3, parse)


SCRIPT = {0: ["a"] * 2, 1: ["b"] * 2, 2: ["c"] * 2}
PLACES = ["parse", "advance", "check", "subtask"]


@pytest.mark.parametrize("where", PLACES)
def test_an_error_of_the_users_own_stops_the_run_with_the_state_kept(where):
    """Whatever method raises it, the very error is passed on, the journal says why, and nothing is flagged."""
    error = Mine("a bug of mine")
    outcome = run(failing(where, error), ScriptedSampler(SCRIPT, paid=False))
    assert outcome.error is error
    assert (outcome.paused.kind, outcome.paused.reason) == ("error", "Mine: a bug of mine")
    assert outcome.folded.committed == 1
    assert outcome.flags == []


@pytest.mark.parametrize("where", PLACES)
def test_a_run_goes_on_once_the_users_code_is_mended(where):
    """After an error of the user's own the journal resumes, with mended code, to the right end."""
    broken = run(failing(where, Mine("a bug of mine")), ScriptedSampler(SCRIPT))
    mended = resume(Words(3), ScriptedSampler(SCRIPT), broken.entries)
    assert mended.at == ["a", "b", "c"]


@pytest.mark.parametrize("policy", [K2, replace(K2, later_temperature=0.0)], ids=["two calls", "one call"])
def test_an_error_of_the_users_own_keeps_its_context(policy):
    """What the error was raised from, or in the course of, is still there for the traceback."""

    def parse(text):
        try:
            return int(text)
        except ValueError as error:
            if text == "caused":
                raise Mine("not a number") from error
            raise Mine("not a number")  # noqa: B904 (the promise is about just this)

    during = run(Words(1, parse), ScriptedSampler(["during"] * 2), policy).error
    assert isinstance(during.__context__, ValueError)
    assert during.__suppress_context__ is False
    caused = run(Words(1, parse), ScriptedSampler(["caused"] * 2), policy).error
    assert isinstance(caused.__cause__, ValueError)


@pytest.mark.parametrize("where", ["parse", "advance"])
def test_an_exception_group_of_the_users_own_is_passed_on_whole(where):
    """A group that the user's code raised is not taken apart."""
    group = ExceptionGroup("both", [Mine("one"), Mine("two")])
    assert run(failing(where, group), ScriptedSampler(SCRIPT)).error is group


def test_replies_that_came_with_one_that_breaks_the_parser_are_kept():
    """Of a call whose first sample makes the parser raise, the others are journaled, and not paid for again."""
    policy = replace(K3, later_temperature=0.0)
    broken = run(failing("parse", Mine("a bug of mine")), ScriptedSampler(["b", "a", "a"]), policy)
    assert isinstance(broken.error, Mine)
    assert broken.votes == [(0, 1), (0, 2)]
    sampler = ScriptedSampler(["a", "a", "a"])
    assert resume(Words(1), sampler, broken.entries).at == ["a"]
    assert sampler.calls == [(0, 0, 1, 0.0)]


def test_an_error_does_not_wait_for_a_provider_that_is_away():
    """While another call of the round is being tried again and again, an error of the user's own ends the run."""

    async def answer(slot, n):
        if slot:
            raise ProviderBusy("overloaded")
        return ["b"]

    error = Mine("a bug of mine")
    sampler = Answers(answer)
    outcome = run(failing("parse", error), sampler, K3)
    assert outcome.error is error
    assert len(sampler.calls) < 6


def test_a_bug_of_a_sampler_is_passed_on_as_it_is():
    """What a sampler raises beside the provider's failures stops the run, resumable, and is no red flag."""
    error = Mine("bad request")
    outcome = run(Words(2), ScriptedSampler({0: ["a", "a"], 1: [error, "b", "b"]}))
    assert outcome.error is error
    assert outcome.paused.kind == "error"
    assert resume(Words(2), ScriptedSampler({1: ["b", "b"]}), outcome.entries).at == ["a", "b"]


# --- stopping


def test_a_stop_request_takes_in_the_samples_under_way():
    """A run asked to stop while samples are out records them, pauses, and raises Interrupted."""
    stop = StopRequest()

    async def answer(slot, n):
        stop.ask("stopped by SIGINT")
        return ["a" if slot == 0 else "b"] * n

    sampler = Answers(answer)
    outcome = run(Words(3), sampler, K3, stop=stop)
    assert isinstance(outcome.error, Interrupted)
    assert outcome.votes == [(0, 0), (0, 1), (0, 2)]
    assert (outcome.paused.kind, outcome.paused.reason) == ("interrupted", "stopped by SIGINT")
    assert len(sampler.calls) == 2


def test_a_step_that_is_won_while_stopping_is_committed():
    """Samples taken in after a stop request count: the step they decide is part of the chain."""
    stop = StopRequest()

    async def answer(slot, n):
        stop.ask("enough")
        return ["a"] * n

    outcome = run(Words(3), Answers(answer), K2, stop=stop)
    assert isinstance(outcome.error, Interrupted)
    assert [entry.step for entry in outcome.of(Committed)] == [0]


def test_a_stop_in_the_last_step_finishes_the_run():
    """Where the samples under way decide the last step, nothing is left to stop."""
    stop = StopRequest()

    async def answer(slot, n):
        stop.ask("enough")
        return ["a"] * n

    assert run(Words(1), Answers(answer), K2, stop=stop).at == ["a"]


def test_a_stop_request_ends_the_wait_for_a_provider():
    """A run asked to stop while its provider is away sends no further call, and says that it was interrupted."""
    stop = StopRequest()

    async def answer(slot, n):
        stop.ask("stopped by SIGINT")
        raise ProviderBusy("overloaded")

    sampler = Answers(answer, paid=True)
    outcome = run(Words(1), sampler, Policy(rule=AheadBy(1)), stop=stop)
    assert isinstance(outcome.error, Interrupted)
    assert len(sampler.calls) == 1


def test_a_stop_request_ends_a_wait_under_way():
    """A run that is asked to stop in the middle of a long wait does not sleep on."""
    stop = StopRequest()

    class Endless(FakeClock):
        async def sleep(self, seconds):
            stop.ask("stopped by SIGTERM")
            await asyncio.Event().wait()

    async def answer(slot, n):
        raise ProviderBusy("overloaded")

    async def bounded():
        async with asyncio.timeout(10):
            return await arun(Words(1), Answers(answer), K2, clock=Endless(), stop=stop)

    assert str(asyncio.run(bounded()).error) == "stopped by SIGTERM"


def test_a_stop_request_during_a_failure_takes_in_the_other_call():
    """Where one call of a round waits for its provider, a stop request still takes in the samples of the other."""
    stop = StopRequest()

    async def answer(slot, n):
        if slot == 0:
            stop.ask("enough")
            raise ProviderBusy("overloaded")
        for _ in range(5):
            await asyncio.sleep(0)
        return ["a"] * n

    outcome = run(Words(1), Answers(answer, paid=True), K3, stop=stop)
    assert isinstance(outcome.error, Interrupted)
    assert outcome.votes == [(0, 1), (0, 2)]


def test_the_first_reason_to_stop_is_the_one_told():
    """A second request does not replace the reason of the first."""
    stop = StopRequest()
    stop.ask("first")
    stop.ask("second")
    assert str(run(Words(1), ScriptedSampler([]), stop=stop).error) == "first"


@pytest.mark.parametrize("paid", [True, False])
def test_cancelling_leaves_a_journal_that_can_be_resumed(paid):
    """A cancelled run notes it, passes the cancellation on, and goes on later from what it had."""

    async def cancelled():
        asked = asyncio.Event()

        async def answer(slot, n):
            if len(sampler.calls) > 2:
                asked.set()
                await asyncio.Event().wait()
            return ["a"] * n

        sampler = Answers(answer, paid)
        task = asyncio.create_task(arun(Words(3), sampler, K2))
        await asked.wait()
        task.cancel()
        return await task

    outcome = asyncio.run(cancelled())
    assert isinstance(outcome.error, asyncio.CancelledError)
    assert outcome.paused.kind == "interrupted"
    assert outcome.folded.committed == 1
    rest = resume(Words(3), ScriptedSampler(["a", "a"], paid), outcome.entries)
    assert rest.at == ["a", "a", "a"]
    assert rest.folded.unknown == (2 if paid else 0)


def test_a_lasting_failure_of_the_provider_keeps_the_state():
    """ProviderDown ends the run as ProviderGone, which names the reason; what was decided is kept."""
    script = {0: ["a", "a"], 1: [ProviderDown("no quota left")]}
    outcome = run(Words(2), ScriptedSampler(script))
    assert isinstance(outcome.error, ProviderGone)
    assert "no quota left" in str(outcome.error)
    assert outcome.paused.kind == "provider"
    assert resume(Words(2), ScriptedSampler(["b", "b"]), outcome.entries).at == ["a", "b"]


def test_a_resumed_run_says_so_in_its_journal():
    """Each session after the first begins with an entry of its own, at the time it began."""
    first = run(Words(3), ScriptedSampler(["a", "a"]), max_steps=1)
    second = resume(Words(3), ScriptedSampler(["a", "a"]), first.entries, clock=FakeClock(50.0))
    assert second.of(Resumed) == [Resumed(0.0, None, None)]
    assert second.entries[-1] == Finished(3, 50.0)
    assert second.folded.sessions == 2


def test_intents_of_an_earlier_session_are_counted_as_unknown():
    """Samples that were sent and never came back before a crash are reported, and asked for again."""
    whole = run(Words(1), ScriptedSampler(["a", "a"]))
    cut = [index for index, entry in enumerate(whole.entries) if isinstance(entry, Intent)][-1]
    rest = resume(Words(1), ScriptedSampler(["a", "a"]), whole.entries[: cut + 1])
    assert rest.folded.unknown == 2
    assert rest.at == ["a"]


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

    assert asyncio.run(beside()) >= 200


def test_a_subtask_that_is_none_is_told_what_it_should_be():
    """A chain that gives a question as plain text is told what subtask() returns."""

    class Asking(Words):
        def subtask(self, state):
            return "what now?"

    outcome = run(Asking(1), ScriptedSampler(["a"] * 2))
    assert isinstance(outcome.error, TypeError)
    assert "Subtask" in str(outcome.error)


def test_a_failed_round_leaves_the_callers_stop_request_alone():
    """That one call of a round failed is no request of the caller's to stop."""
    stop = StopRequest()

    async def answer(slot, n):
        if slot:
            raise ProviderBusy("overloaded")
        return ["b"]

    outcome = run(failing("parse", Mine("a bug of mine"), 0), Answers(answer), K3, stop=stop)
    assert isinstance(outcome.error, Mine)
    assert stop.reason is None


def test_a_red_flag_outside_parser_and_check_is_the_users_bug():
    """A RedFlag raised by advance flags no sample: it stops the run like any other error."""
    flag = RedFlag("too late")
    outcome = run(failing("advance", flag), ScriptedSampler(SCRIPT))
    assert outcome.error is flag
    assert outcome.flags == []
