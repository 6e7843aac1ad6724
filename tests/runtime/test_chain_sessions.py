"""What a run commits to its journal, and that sessions which continue from the journal alone change nothing."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chain_runs import K1, K2, Answers, Words, resume, run
from contents import contents_of
from replay import replay
from unerring.core.journal.codec import decode, encode
from unerring.core.journal.entries import Committed, Finished, Intent, Opened, Resumed, digest_of
from unerring.core.journal.state import RunState
from unerring.core.voting.canonical import canonical
from unerring.core.voting.policy import Policy
from unerring.core.voting.race import AheadBy
from unerring.errors import ProviderBusy, StepLimit
from unerring.testing import FakeClock, MemoryJournal, NoisySampler, ScriptedSampler

# --- what is committed


def test_committed_entries_carry_the_digest_of_the_state_they_lead_to():
    """The commit of step i has the digest of the state after i + 1 choices."""
    outcome = run(Words(3), ScriptedSampler({0: ["a"] * 2, 1: ["b"] * 2, 2: ["c"] * 2}))
    digests = [digest_of(canonical(list("abc"[: i + 1]))) for i in range(3)]
    assert outcome.of(Committed) == [Committed(i, digest) for i, digest in enumerate(digests)]
    assert outcome.entries[-1] == Finished(3, 0.0, 0.0)


def test_advance_is_given_exactly_the_canonical_choice():
    """Whichever equal form the parser returned, advance gets the canonical one, as after resuming."""
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
    """Texts that parse to equal choices, in any order of keys, vote together."""

    def parse(text):
        return {"a": 1, "b": 2} if text.startswith("ab") else {"b": 2.0, "a": 1}

    outcome = run(Words(1, parse), ScriptedSampler(["ab", "ba"]))
    assert outcome.decided[0].tally == (2,)


class Doubting(MemoryJournal):
    """Applies every entry, read back from bytes, and compares with the runner's own state."""

    def __init__(self, live):
        super().__init__()
        self._live = live
        self._replayed = RunState()
        self.compared = 0

    def append(self, entry):
        super().append(entry)
        self._replayed.apply(decode(encode(entry)))
        assert contents_of(self._replayed) == contents_of(self._live)
        self.compared += 1


@pytest.mark.parametrize("paid", [True, False])
def test_the_live_state_is_the_fold_of_the_journal_at_every_entry(paid):
    """After each journaled entry the runner's state equals that of the entries read back from bytes."""
    live = RunState()
    journal = Doubting(live)
    script = [ProviderBusy("later"), "a", "!", "b", "a", "a", "a"]
    outcome = run(Words(4), ScriptedSampler(script, paid=paid), K2, journal=journal, state=live)
    assert outcome.error is None
    assert journal.compared == len(outcome.entries)


def test_an_observer_gets_every_step_once_in_order():
    """The observer gets each committed step with the state in which it is committed."""
    seen = []

    class Watching:
        def decided(self, decided, state):
            seen.append((decided.step, state.committed, replay(journal.entries()).committed))

    journal = MemoryJournal()
    run(Words(4), ScriptedSampler(["a"] * 2), journal=journal, observer=Watching())
    assert seen == [(0, 1, 1), (1, 2, 2), (2, 3, 3), (3, 4, 4)]


# --- going on from a journal


def exported(entries):
    """Everything in a journal except when it was stopped and resumed.

    The text of a question is kept for people, and may come a call later where a crash came between. How long calls
    took is measured of each session, so the last one's is not part of it.
    """
    kept = [entry for entry in entries if type(entry).__name__ not in ("Resumed", "Paused", "Opened", "QuestionText")]
    return [replace(entry, latency=None) if isinstance(entry, Finished) else entry for entry in kept]


def through_noise(chain, p=0.75, v=0.8):
    return NoisySampler(chain.rehearse, p, v)


def test_a_run_resumed_after_every_step_is_identical():
    """Stopping after each step leaves the same entries as not stopping at all."""
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
    """However a run is divided into sessions of so many steps, its whole export is the same."""
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
def test_a_journal_cut_anywhere_continues_to_the_same_end(data):
    """From any number of first entries, as a crash leaves them, the run ends in the same state and export."""
    chain = Words(8)
    whole = run(chain, through_noise(chain))
    cut = data.draw(st.integers(1, len(whole.entries) - 1))
    rest = resume(chain, through_noise(chain), whole.entries[:cut])
    assert rest.at == whole.at
    assert exported(rest.entries) == exported(whole.entries)


def test_a_run_that_was_at_its_end_needs_no_sample():
    """A journal that lacks only its last entry is finished without a call."""
    whole = run(Words(2), ScriptedSampler(["a", "a"]))
    sampler = ScriptedSampler([])
    rest = resume(Words(2), sampler, whole.entries[:-1])
    assert rest.at == ["a", "a"]
    assert sampler.calls == []
    assert isinstance(rest.entries[-1], Finished)


def test_a_resumed_run_says_so_in_its_journal():
    """Each session after the first begins with an entry of its own, with its time."""
    first = run(Words(3), ScriptedSampler(["a", "a"]), max_steps=1)
    second = resume(Words(3), ScriptedSampler(["a", "a"]), first.entries, clock=FakeClock(50.0))
    assert second.of(Resumed) == [Resumed(0.0, None, None)]
    assert second.entries[-1] == Finished(3, 50.0, 0.0)
    assert second.state.sessions == 2


def test_a_session_says_how_long_its_calls_took():
    """The last entry of a session has the mean latency of its calls, here of 1 s and 3 s, without failed tries."""
    clock = FakeClock(50.0)

    async def answer(slot, n):
        if len(sampler.calls) == 2:
            raise ProviderBusy("later", retry_after=100.0)
        await clock.sleep(float(len(sampler.calls)))
        return ["a"] * n

    sampler = Answers(answer)
    outcome = run(Words(2), sampler, K1, clock=clock)
    assert outcome.entries[-1].latency == 2.0


def test_intents_of_an_earlier_session_are_counted_as_unknown():
    """Samples sent before a crash without a reply are reported, and asked for again."""
    whole = run(Words(1), ScriptedSampler(["a", "a"]))
    cut = [index for index, entry in enumerate(whole.entries) if isinstance(entry, Intent)][-1]
    rest = resume(Words(1), ScriptedSampler(["a", "a"]), whole.entries[: cut + 1])
    assert rest.state.calls.unknown == 2
    assert rest.at == ["a"]


# --- ends


def test_a_chain_without_steps_is_finished_at_once():
    """A chain whose start is its end returns its start, and its journal is finished."""
    outcome = run(Words(0), ScriptedSampler([]))
    assert outcome.at == []
    assert [type(entry) for entry in outcome.entries] == [Opened, Finished]


def test_a_limit_of_all_the_steps_there_are_finishes_the_run():
    """A run limited to the chain's number of steps ends as finished, not as stopped."""
    outcome = run(Words(3), ScriptedSampler(["a", "a"]), max_steps=3)
    assert outcome.error is None
    assert isinstance(outcome.entries[-1], Finished)
