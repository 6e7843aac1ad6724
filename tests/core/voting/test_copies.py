"""Copies by a provider's mark, by a reply's id and by its time, and how rarely an honest reply is taken for one."""

import threading
from random import Random

import pytest
from copied_calls import FIRST, LATER, asked, name
from hypothesis import given, settings
from hypothesis import strategies as st

from tables import each
from unerring.core.journal.entries import Replies, Reply
from unerring.core.journal.spend import WORDING_SEPARATOR
from unerring.core.voting.copies import (
    CACHED_REASON,
    CopyDetector,
    SentCall,
)
from unerring.core.voting.reply_ids import (
    MIN_DISTINCT_IDS,
    MIN_JUDGED_REPLIES,
    MIN_REMEMBERED_IDS,
    TIME_TOLERANCE_SECONDS,
    IdTrust,
    RepeatKind,
    ReplyIds,
)
from unerring.core.voting.sample import Finish, Sample, Usage

# what the provider says


def test_a_reply_that_is_marked_as_cached_is_a_copy():
    """The provider's mark is enough, whatever the text."""
    copies = CopyDetector()
    assert copies.judge("m", FIRST, Sample("7", cached=True), False) == CACHED_REASON
    assert (copies.copies, copies.samples, copies.share) == (1, 1, 1.0)
    assert copies.worst_voter == "m"


def test_marks_on_new_answers_are_ignored():
    """If even new answers are marked, marks no longer count for that endpoint, in any wording."""
    copies = CopyDetector()
    copies.distrust_marks("m")
    assert copies.judge("m", FIRST, Sample("7", cached=True), False) is None
    assert copies.judge(f"m{WORDING_SEPARATOR}2", FIRST, Sample("7", cached=True), True) is None
    assert copies.judge("other", FIRST, Sample("7", cached=True), True) == CACHED_REASON


# identities


def test_the_same_id_with_the_same_text_is_a_copy():
    """A second reply with an id and text already received is the same reply."""
    copies = CopyDetector()
    assert copies.judge("m", FIRST, Sample("7", reply_id=name(1)), False) is None
    assert copies.judge("m", LATER, Sample("7", reply_id=name(2)), True) is None
    assert copies.judge("m", LATER, Sample("7", reply_id=name(1)), True) == RepeatKind.COPY.value


def test_an_old_reply_to_another_question_is_recognized():
    """An old reply delivered again has its old id, whichever voter is asked, and is no sign of a cache."""
    copies = CopyDetector()
    for i in range(10):
        assert copies.judge("m", SentCall(f"q{i}"), Sample("7", reply_id=name(i)), False) is None
    for voter in ("m", f"m{WORDING_SEPARATOR}2", "another model of the account"):
        assert copies.judge(voter, SentCall("another"), Sample("7", reply_id=name(9)), False) == RepeatKind.STRAY.value
    assert (copies.copies, copies.too_many) == (0, False)
    assert copies.judge("m", FIRST, Sample("7", reply_id=name(10)), False) is None
    assert copies.judge("m", LATER, Sample("7", reply_id=name(10)), True) == RepeatKind.COPY.value


@pytest.mark.parametrize("share", [0.4, 0.6, 0.8])
@pytest.mark.parametrize("together", [1, 3])
def test_every_repeated_reply_is_recognized_by_its_id(share, together):
    """Of 3,000 replies a share repeat earlier ones, from the second on, for any question: none is missed."""
    chance, copies, sent, missed = Random(3), CopyDetector(1.0), [], 0
    for i in range(3000):
        again = bool(sent) and (i == 1 or chance.random() < share)
        number, text = chance.choice(sent[-8:]) if again else (i, str(chance.randrange(5)))
        sent.append((number, text))
        for place in range(together):
            sample = Sample(f"{text} {place}", reply_id=f"{name(number)}:{place}")
            reason = copies.judge("m", SentCall(f"q{i % 7}", together=together), sample, False)
            missed += again and reason is None
            assert again or reason is None
    assert missed == 0


def test_one_known_id_with_another_text_does_not_discredit_ids():
    """A known id with another text does not vote, and ids still count after one such reply."""
    copies = CopyDetector()
    for i in range(9):
        copies.judge("m", SentCall(f"q{i}"), Sample("7", reply_id=name(i)), False)
    for i in range(3):
        assert copies.judge("m", SentCall("other"), Sample("7", reply_id=name(i)), False) == RepeatKind.STRAY.value
        found = copies.judge("m", SentCall("other"), Sample("7, whole", reply_id=name(i)), False)
        assert found == RepeatKind.OTHER_TEXT.value
    assert copies.judge("m", SentCall("other"), Sample("7", reply_id=name(8)), False) == RepeatKind.STRAY.value


def test_ids_seen_on_other_texts_three_times_are_ignored():
    """Three contradictions end the use of that voter's ids, and take back what they showed.

    Other voters keep theirs.
    """
    copies = CopyDetector()
    for voter in ("m", "other"):
        copies.judge(voter, FIRST, Sample("7", reply_id=name(len(voter))), False)
    assert copies.judge("other", LATER, Sample("7", reply_id=name(5)), True) == RepeatKind.COPY.value
    assert copies.judge("m", LATER, Sample("8", reply_id=name(1)), False) == RepeatKind.OTHER_TEXT.value
    assert copies.judge("m", LATER, Sample("9", reply_id=name(1)), False) == RepeatKind.OTHER_TEXT.value
    for text in "456":
        assert copies.judge("m", LATER, Sample(text, reply_id=name(1)), False) is None
    assert copies.judge("m", LATER, Sample("7", reply_id=name(1)), True) is None
    assert (copies.copies, copies.worst_voter, copies.too_many) == (1, "other", False)
    assert copies.judge("other", LATER, Sample("7", reply_id=name(5)), True) == RepeatKind.COPY.value


@pytest.mark.parametrize("together", [1, 3])
def test_one_constant_long_id_is_ignored_once_texts_change(together):
    """A constant id is ignored after different answers, and never ends a session."""
    copies = CopyDetector()
    calls = MIN_JUDGED_REPLIES
    for i in range(1000):
        for place in range(together):
            sent = asked(i // 3, i % 3)._replace(together=together)
            text = "8" if i % 9 == 8 else "7"
            reason = copies.judge("m", sent, Sample(text, reply_id=f"{name(1)}:{place}"), i % 3 > 0)
            assert reason is None or i < 2 * calls
            assert not copies.too_many
    assert not copies.astray


def test_a_stuck_proxy_never_votes():
    """However often old replies come again, for any question, none of them votes.

    With most replies old, the session ends.
    """
    for distinct, other in ((1, 0), (5, 0), (5, 3)):
        copies = CopyDetector()
        for i in range(distinct):
            assert copies.judge("m", SentCall(f"q{i}"), Sample(str(i), reply_id=name(i)), False) is None
        for i in range(2000):
            if other and i % other == 0:
                copies.judge("m", SentCall(f"own {i}"), Sample("own", reply_id=name(10_000 + i)), False)
            again = i % distinct
            reason = copies.judge("m", SentCall(f"later {i}"), Sample(str(again), reply_id=name(again)), False)
            assert reason == RepeatKind.STRAY.value
        assert copies.astray is (other == 0)


def test_copies_by_id_end_a_session_once_ids_are_known_to_be_unique():
    """A silent cache that keeps ids ends a session as soon as four replies had different ids."""
    copies = CopyDetector()
    for i in range(MIN_DISTINCT_IDS):
        assert not copies.too_many
        copies.judge("m", SentCall(f"q{i}"), Sample("7", reply_id=name(i)), False)
        copies.judge("m", SentCall(f"q{i}", later=True), Sample("7", reply_id=name(i)), True)
    assert copies.too_many


@each("names", [999, 1])
def test_short_ids_are_ignored(names):
    """Ollama draws one of 999 ids and KoboldCpp has one: of 10,000 honest answers `7`, none is taken for a copy."""
    copies, chance = CopyDetector(), Random(2)
    for i in range(10_000):
        sample = Sample("7", reply_id=f"chatcmpl-{chance.randrange(names)}")
        assert copies.judge("m", asked(i // 3, i % 3), sample, i % 3 > 0) is None


def test_only_the_latest_ids_are_remembered():
    """Memory is bounded: the latest ids are known, and one is forgotten after twice as many others."""
    copies = CopyDetector(ids=ReplyIds(most=100))
    for i in range(200):
        copies.judge("m", SentCall(f"q{i}"), Sample("7", reply_id=name(i)), False)
    assert copies.judge("m", SentCall("q100", True), Sample("7", reply_id=name(100)), True) is not None
    copies.judge("m", SentCall("q200"), Sample("7", reply_id=name(200)), False)
    assert copies.judge("m", SentCall("q0", True), Sample("7", reply_id=name(0)), True) is None
    assert MIN_REMEMBERED_IDS > 100_000


def test_runs_in_several_threads_look_an_id_up_one_after_the_other():
    """Runs in threads share the ids they received: one looks up and keeps an id while the others wait."""
    lock = threading.Lock()
    names, found = ReplyIds(lock=lock), []
    looking = threading.Thread(target=lambda: found.append(names.repeats(name(1), "q", "7", IdTrust(), 1.0)))
    with lock:
        looking.start()
        looking.join(0.05)
        assert found == []
    looking.join()
    assert found == [None]
    assert names.repeats(name(1), "q", "7", IdTrust(), 1.0) is RepeatKind.COPY


def test_ids_of_an_earlier_session_are_known():
    """A reply that an earlier session received is no vote of this one, whatever its question."""
    names = ReplyIds()
    for i in range(100):
        reply = Reply(i, 0, "7", "7", None, Usage(), Finish.STOP, None, 0, name(i))
        names.note(Replies((reply,)))
    copies = CopyDetector(ids=names)
    for i in range(100):
        assert copies.judge("m", SentCall("q"), Sample("7", reply_id=name(100 + i)), False) is None
        assert copies.judge("m", SentCall("q"), Sample("7", reply_id=name(i)), False) == RepeatKind.STRAY.value
    assert copies.samples == 200


# times


def honest(chance, ahead, took, made_at_end=True):
    """An honest reply that took so long, from a provider whose clock is ahead and has whole seconds."""
    received = chance.uniform(0.0, 1000.0)
    made = received if made_at_end else received - took
    return Sample(f"{chance.random()}", seconds=took, made=float(int(made + ahead + 1e6) - 1e6) - received)


@pytest.mark.parametrize("ahead", [-3600.0, -1.5, 0.0, 0.4, 90.0])
@pytest.mark.parametrize("made_at_end", [True, False])
def test_no_honest_reply_is_too_old_whatever_the_difference_of_the_clocks(ahead, made_at_end):
    """Fast and slow replies with times in whole seconds, of the start or of the end of an answer, are accepted."""
    chance, copies = Random(4), CopyDetector()
    for i in range(2000):
        took = chance.choice([0.01, 1.0, 30.0]) * chance.uniform(0.5, 2.0)
        assert copies.judge("m", SentCall(f"q{i}"), honest(chance, ahead, took, made_at_end), False) is None


@pytest.mark.parametrize("ahead", [-3600.0, 0.0, 90.0])
def test_a_reply_made_before_it_was_asked_for_does_not_vote(ahead):
    """Replies of lost calls, sent again seconds later, are recognized by their time alone."""
    chance, copies = Random(5), CopyDetector()
    for i in range(500):
        took = chance.uniform(0.2, 2.0)
        assert copies.judge("m", SentCall(f"q{i}"), honest(chance, ahead, took), False) is None
        if i % 10:
            continue
        sample = honest(chance, ahead, took)
        made = sample.made - took - TIME_TOLERANCE_SECONDS - chance.uniform(1.1, 600.0)
        stray = Sample(sample.text, seconds=took, made=made)
        reason = copies.judge("m", SentCall(f"q{i}"), stray, False)
        assert reason is not None
        assert "before it was asked for" in reason
    assert copies.copies == 0


@pytest.mark.parametrize(
    "made",
    [
        lambda at: -at,  # a constant
        lambda at: -1.7e9,
        lambda at: float("nan"),
        lambda at: (0.0, -60.0)[int(at) % 2],  # two back ends, one of them a minute late
    ],
)
def test_meaningless_times_are_ignored_after_a_hundred_samples(made):
    """If nearly all seem too old, or many for long, a hundred samples are drawn again, and then times are ignored."""
    copies, flagged = CopyDetector(), 0
    for i in range(1000):
        sample = Sample(str(i), seconds=0.5, made=made(float(i)))
        flagged += copies.judge("m", SentCall(f"q{i}"), sample, False) is not None
    assert flagged <= 100
    assert not copies.too_many


# texts


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from(["7", "", "8" * 500]), st.booleans()), max_size=60))
def test_equal_texts_alone_are_never_copies(asked):
    """Without a mark, an id or a latency, no repeated text is taken for a copy."""
    copies = CopyDetector()
    for prompt, text, known in asked:
        assert copies.judge("m", SentCall(prompt, known), Sample(text), known) is None
    assert not copies.too_many
