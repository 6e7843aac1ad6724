"""From a question to recorded samples: temperatures, prompts, copies, short and long replies, intents."""

import asyncio
from dataclasses import replace

import pytest

from chain_runs import K1, K2, K3, Answers, Words, arun, resume, run, word
from unerring.core.chain import Subtask
from unerring.core.journal.entries import Cancelled, Failed, Intent, Replies, Voter
from unerring.core.voting.policy import Policy
from unerring.core.voting.race import AheadBy
from unerring.core.voting.redflag import FlagKind, FlagRules
from unerring.core.voting.sample import Sample, Settings, Usage
from unerring.errors import FailureKind, ProviderBusy, ProviderDown, VotesCopied
from unerring.runtime.config import Guards
from unerring.testing import MemoryJournal, ScriptedSampler

# --- temperatures and prompts


def test_only_the_first_sample_is_drawn_at_the_first_temperature():
    """Sample 0 is drawn at first_temperature, every other one, in later rounds too, at later_temperature."""
    sampler = ScriptedSampler(["a", "b", "a", "a", "a"])
    run(Words(1), sampler, replace(K3, first_temperature=0.25, later_temperature=0.75))
    assert [(slot, temperature) for _, slot, _, temperature in sampler.calls] == [(0, 0.25), (1, 0.75), (3, 0.75)]


def test_a_malformed_first_reply_is_not_asked_again_at_temperature_zero():
    """A flagged greedy sample is replaced at another temperature, since the same answer would be flagged forever."""

    async def greedy_is_malformed(slot, n):
        assert (sampler.calls[-1][3] == 0.0) is (slot == 0)
        return ["!" if sampler.calls[-1][3] == 0.0 else "a"] * n

    sampler = Answers(greedy_is_malformed)
    outcome = run(Words(2), sampler, K3)
    assert outcome.at == ["a", "a"]
    assert [call for call in sampler.calls if call[3] == 0.0] == [(0, 0, 1, 0.0), (1, 0, 1, 0.0)]
    assert outcome.flags == [FlagKind.MALFORMED] * 2


def test_a_samplers_settings_name_its_samples_and_their_length():
    """Settings have the run's seed, the step, the first sample's number, and the limit on output tokens."""
    seen = []

    class Seeing(ScriptedSampler):
        async def sample(self, prompt, settings, n):
            seen.append((prompt, settings, n))
            return await super().sample(prompt, settings, n)

    policy = replace(K2, flags=FlagRules(max_output_tokens=77))
    run(Words(1), Seeing(["a", "a"]), policy)
    prompt = "word 0 of 1, so far: "
    assert seen == [(prompt, Settings(0.0, 77, 0, 0, 0), 1), (prompt, Settings(0.1, 77, 0, 0, 1), 1)]


@pytest.mark.parametrize(
    ("wants", "compact", "worded"), [(True, "short", "short"), (False, "short", "long"), (True, None, "long")]
)
def test_the_compact_prompt_is_for_samplers_that_ask_for_it(wants, compact, worded):
    """A sampler that asks for the compact wording gets it if there is one, else the whole prompt."""
    seen = []

    class Two(Words):
        def subtask(self, state):
            return None if state else Subtask("long", word, compact)

    class Seeing(ScriptedSampler):
        async def sample(self, prompt, settings, n):
            seen.append(prompt)
            return await super().sample(prompt, settings, n)

    run(Two(1), Seeing(["a"], compact=wants), K1)
    assert seen == [worded]


# --- copies


def test_a_reply_marked_as_cached_is_no_vote():
    """Cached replies are flagged and drawn again, however often they come."""
    copy = Sample("wrong", cached=True)
    outcome = run(Words(1), ScriptedSampler([copy, copy, "a", copy, "a"]), K2, guards=Guards(copies=1.0))
    assert outcome.at == ["a"]
    assert outcome.flags == [FlagKind.COPY] * 3


def test_one_reply_served_twice_is_one_vote():
    """Samples with the same reply_id are one vote, so that a copy cannot win a race by itself."""
    first = Sample("wrong", reply_id=f"{1:016x}")
    others = [Sample("a", reply_id=f"{i:016x}") for i in range(2, 6)]
    outcome = run(Words(1), ScriptedSampler([first, first, first, *others]), K2, guards=Guards(copies=1.0))
    assert outcome.at == ["a"]
    assert outcome.decided[0].tally == (3, 1)
    assert outcome.flags == [FlagKind.COPY] * 2


def test_samples_of_one_reply_never_count_as_two_replies():
    """If a bug of the parser stops the run between samples of a reply, the later ones are charged and do not vote."""

    def parse(text):
        if text == "odd":
            raise ZeroDivisionError
        return text

    async def answer(slot, n):
        return ["a", "odd", "a"][-n:] if n > 1 else ["a"]

    policy = Policy(AheadBy(4), first_temperature=1.0, later_temperature=1.0, min_replies=2)
    outcome = run(Words(1, parse=parse), Answers(answer), policy)
    assert isinstance(outcome.error, ZeroDivisionError)
    assert outcome.votes == [(0, 0), (0, 1)]


def test_a_copy_is_known_again_after_resuming():
    """Reply ids are in the journal, so a copy served in the next session is recognized."""
    first = Sample("wrong", reply_id=f"{1:016x}")
    begun = run(Words(1), ScriptedSampler([first, first, "a", "a", "a"]), K2)
    cut = next(i for i, entry in enumerate(begun.entries) if isinstance(entry, Replies)) + 1
    rest = resume(Words(1), ScriptedSampler(["not asked", first, "a", "a", "a"]), begun.entries[:cut])
    assert rest.at == ["a"]
    assert rest.flags == [FlagKind.COPY]


def test_a_share_of_copies_beyond_the_guard_stops_the_run():
    """Copies in place of votes stop the run, resumable, with the reason; none of them voted."""
    outcome = run(Words(1), ScriptedSampler([Sample("wrong", cached=True)] * 60), K2)
    assert isinstance(outcome.error, VotesCopied)
    assert outcome.paused.kind == "copies"
    assert outcome.votes == []
    assert len(outcome.flags) <= 5


def test_the_same_text_without_an_id_is_a_vote():
    """Short answers often agree: equal texts alone are no copies."""
    assert run(Words(1), ScriptedSampler(["a", "a"]), K2).decided[0].tally == (2,)


# --- fewer and more


def test_a_sampler_that_returns_fewer_is_asked_for_the_rest_only():
    """Each call asks for the samples still missing, under their own numbers."""

    async def one_at_a_time(slot, n):
        return [f"{'a' if slot != 1 else 'b'}"]

    sampler = Answers(one_at_a_time)
    outcome = run(Words(1), sampler, replace(K3, later_temperature=0.0))
    assert [(slot, n) for _, slot, n, _ in sampler.calls] == [(0, 3), (1, 2), (2, 1), (3, 2), (4, 1)]
    assert outcome.votes == [(0, slot) for slot in range(5)]


def test_samples_beyond_those_asked_for_are_not_counted():
    """Of more than n samples the first n are taken; the others are not journaled and do not vote."""

    async def generous(slot, n):
        return ["a", "b", "b", "b"][: n + 3]

    outcome = run(Words(1), Answers(generous), K1)
    assert outcome.at == ["a"]
    assert len(outcome.replies) == 1


def test_no_sample_at_all_counts_as_a_failure_of_the_provider():
    """An empty list is neither vote nor flag: it is retried after a wait."""

    async def reluctant(slot, n):
        return [] if len(sampler.calls) < 4 else ["a"] * n

    sampler = Answers(reluctant, paid=True)
    outcome = run(Words(1), sampler, K1)
    assert outcome.at == ["a"]
    assert len(outcome.clock.slept) == 3
    assert outcome.state.calls.failures == 3
    assert outcome.state.samples == 1


# --- failures and intents


def test_a_failure_of_the_provider_is_neither_vote_nor_flag():
    """A failed call is made again for the same samples, and counts as nothing."""
    sampler = ScriptedSampler([ProviderBusy("overloaded"), "a", "b", "a", "a"])
    outcome = run(Words(1), sampler, replace(K2, first_temperature=0.5, later_temperature=0.5))
    assert sampler.calls == [(0, 0, 2, 0.5), (0, 0, 2, 0.5), (0, 2, 2, 0.5)]
    assert (outcome.decided[0].tally, outcome.decided[0].flags) == ((3, 1), 0)
    assert outcome.of(Failed) == [Failed(0, 0, 2, "overloaded")]


class Durable(MemoryJournal):
    """A journal that counts how many of its entries are committed."""

    def __init__(self):
        super().__init__()
        self.safe = 0

    async def commit(self):
        await asyncio.sleep(0)
        self.safe = len(list(self.entries()))


def test_an_intent_is_durable_before_a_paid_call_is_sent():
    """When a paid call is sent, the intent for exactly its samples is committed."""
    journal = Durable()

    async def answer(slot, n):
        step = sampler.calls[-1][0]
        assert Intent(step, slot, n) in list(journal.entries())[: journal.safe]
        return ["a", "!", "b"][: min(n, 2)]

    sampler = Answers(answer, paid=True)
    outcome = run(Words(2), sampler, K3, journal=journal)
    assert outcome.error is None
    assert len(outcome.of(Intent)) == len(sampler.calls)
    assert outcome.state.calls.in_flight == set()


def test_a_call_cancelled_before_it_was_sent_is_settled():
    """Cancelled while its intent is made durable, a call is noted as not sent: it is neither unknown nor counted."""

    class Stuck(MemoryJournal):
        async def commit(self):
            if isinstance(list(self.entries())[-1], Intent):
                committing.set()
                await asyncio.Event().wait()

    committing = asyncio.Event()

    async def cancelled():
        task = asyncio.create_task(arun(Words(1), ScriptedSampler(["a"]), K1, Stuck()))
        await committing.wait()
        task.cancel()
        return await task

    outcome = asyncio.run(cancelled())
    intent, failed = outcome.of(Intent, Failed, Cancelled)
    assert (intent, failed.kind) == (Intent(0, 0, 1), FailureKind.UNSENT)
    assert (outcome.state.calls.in_flight, outcome.state.calls.unknown, outcome.state.calls.failures) == (
        set(),
        0,
        0,
    )
    assert outcome.state.account.calls == 0


def test_a_call_that_costs_nothing_leaves_no_intent():
    """Samplers that are not paid have neither intents nor failures in the journal."""
    outcome = run(Words(2), ScriptedSampler([ProviderBusy("busy"), "a", "a"], paid=False), K2)
    assert outcome.of(Intent, Failed) == []


def test_every_intent_is_settled_when_a_run_ends_well():
    """Replies and failures settle their intents: nothing is reported as unknown."""
    script = [ProviderBusy("busy"), ProviderBusy("busy"), "a", "!", "b", "a", "a"]
    outcome = run(Words(2), ScriptedSampler(script), K2)
    assert (outcome.state.calls.in_flight, outcome.state.calls.unknown) == (set(), 0)
    assert outcome.state.calls.failures == 4


def test_a_lasting_failure_settles_its_intent():
    """A call refused permanently is not of unknown outcome after resuming."""
    stopped = run(Words(1), ScriptedSampler([ProviderDown("no such model")]), K1)
    assert resume(Words(1), ScriptedSampler(["a"]), stopped.entries).state.calls.unknown == 0


def test_replies_of_one_call_survive_the_failure_of_the_other():
    """Samples received before a sibling call failed permanently are kept, and not asked for again."""

    async def answer(slot, n):
        if slot:
            return ["a"] * n
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        raise ProviderDown("no quota left")

    stopped = run(Words(1), Answers(answer, paid=True), K3)
    assert stopped.votes == [(0, 1), (0, 2)]
    sampler = ScriptedSampler(["a"])
    rest = resume(Words(1), sampler, stopped.entries)
    assert sampler.calls == [(0, 0, 1, 0.0)]
    assert rest.decided[0].tally == (3,)


# --- what is recorded


def test_tokens_are_added_up_over_votes_and_flags():
    """Usage counts every sample received, flagged ones included."""
    script = [Sample("!", Usage(10, 1)), Sample("a", Usage(20, 2)), Sample("a", Usage(30, 3))]
    assert run(Words(1), ScriptedSampler(script), K2).state.calls.usage == Usage(60, 6)


def test_voters_are_named_at_their_first_sample():
    """The voter is the name in the sample, or else the sampler's own name."""
    script = [Sample("a", voter="left"), Sample("a", voter="right"), Sample("b"), Sample("a", voter="left"), "a"]
    outcome = run(Words(1), ScriptedSampler(script), Policy(rule=AheadBy(3)))
    names = {voter.number: voter.name for voter in outcome.of(Voter)}
    assert names == {0: "left", 1: "right", 2: "scripted"}
    assert [names[reply.voter] for reply in outcome.replies] == ["left", "right", "scripted", "left", "scripted"]
    assert {v.name: v.votes for v in outcome.state.voters.values()} == {"left": 2, "right": 1, "scripted": 2}


def test_a_text_is_journaled_once_a_step():
    """Later samples with the same text or choice refer to the first by its number."""
    outcome = run(Words(1), ScriptedSampler(["a", "b", "a", "a"]), K2)
    assert [(reply.text, reply.choice) for reply in outcome.replies] == [
        ("a", '"a"'),
        ("b", '"b"'),
        (0, 0),
        (0, 0),
    ]


@pytest.mark.parametrize("text", [None, 0, 7, b"a", ["a"]])
def test_a_sample_without_text_is_a_bug_that_is_named(text):
    """A sample without text is refused, since the journal could not distinguish it from a reference."""

    async def answer(slot, n):
        return [Sample(text)] * n

    outcome = run(Words(1, lambda _: "a"), Answers(answer), K2)
    assert isinstance(outcome.error, TypeError)
    assert "text" in str(outcome.error)
    assert outcome.replies == []
