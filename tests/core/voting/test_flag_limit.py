"""When a run stops because its samples are flagged, and its message."""

from math import comb
from random import Random

import pytest

from unerring.core.voting.flag_limit import (
    MIN_FLAGS_WITHOUT_VOTE,
    WINDOW_SAMPLES,
    FlaggedSample,
    FlagWatch,
    advice,
    explanation_of,
)
from unerring.core.voting.parsing import json_answer
from unerring.core.voting.redflag import FlagKind, RedFlag
from unerring.core.voting.sample import NOTE_REASONING, NOTE_TOOL_CALLS

FLAG = FlaggedSample(FlagKind.MALFORMED, "the answer is not JSON", "well")


def drawn(watch, step, voters=("a",)):
    """Count a step's samples, votes and flags in order; returns whether the run is to stop."""
    for place, flagged in enumerate(step):
        watch.add(voters[place % len(voters)], place, len(voters), FLAG if flagged else None)
    return watch.all_flagged(len(voters))


def test_a_run_is_stopped_at_its_first_samples_where_all_are_flagged():
    """After 16 flagged samples and no vote, on one step or on many, and not before, a run stops.

    With several voters all must be.
    """
    for steps in ([[True] * MIN_FLAGS_WITHOUT_VOTE], [[True]] * MIN_FLAGS_WITHOUT_VOTE, [[True] * 3] * 6):
        watch = FlagWatch(0.95)
        stops = [drawn(watch, step) for step in steps]
        assert stops == [False] * (len(steps) - 1) + [True]
    assert not drawn(FlagWatch(0.95), [True] * (MIN_FLAGS_WITHOUT_VOTE - 1))
    assert not drawn(FlagWatch(0.95), [True] * 60 + [False])
    assert not drawn(FlagWatch(1.0), [True] * 1000)
    three = FlagWatch(0.95)
    assert not drawn(three, [True] * 23, ("a", "b", "c"))
    assert drawn(three, [True], ("c", "a", "b"))


def test_a_hard_step_among_fine_ones_does_not_stop_a_run():
    """Only the first samples of a step count, so one hard step stops no run, nor a session that starts at it."""
    watch = FlagWatch(0.95)
    for _ in range(20):
        drawn(watch, [False] * 3)
    assert not drawn(watch, [True] * 60)
    resumed = FlagWatch(0.95, voted=["a"])
    assert not drawn(resumed, [True] * 60)
    assert not drawn(FlagWatch(0.95, voted=["a"]), [True] * 60, ("another",))


def test_a_model_that_is_flagged_from_some_step_on_stops_the_run():
    """The run stops fourteen steps later, when a window of samples, three a step, is full of flags."""
    watch = FlagWatch(0.95)
    for _ in range(1000):
        drawn(watch, [False] * 3)
    stops = [drawn(watch, [True] * 20) for _ in range(14)]
    assert stops == [False] * 12 + [True] * 2


def test_a_voter_that_is_always_flagged_is_named_and_stops_nothing():
    """One of three voters that is always flagged is named once, whether or not it ever voted; all three stop a run."""
    members = ("a", "b", "c")
    for before in ([], ["a", "b", "c"]):
        watch, named = FlagWatch(0.95, before), []
        for _ in range(200):
            assert not drawn(watch, [False, True, False], members)
            named += filter(None, [watch.silent_voter()])
        assert named == ["b"]
    assert "b decides nothing" in watch.sentence_about("b")
    stops = [drawn(watch, [True] * 3, members) for _ in range(60)]
    assert stops[-1]
    assert not stops[30]


def test_false_alarms_are_as_rare_as_stated():
    """With half flagged at random, the start stops one run in 65,536, and a window is full of flags with 41 / 2^40.

    The window is counted exactly; over three million samples its bound is below one in 8,900. Samples of such a model,
    drawn with a seed, stop nothing, nor do those of embedded members that fail on single steps.
    """
    assert MIN_FLAGS_WITHOUT_VOTE == 16
    full = (
        sum(comb(WINDOW_SAMPLES, flagged) for flagged in range(WINDOW_SAMPLES + 1) if flagged > 0.95 * WINDOW_SAMPLES)
        / 2**WINDOW_SAMPLES
    )
    assert full == 41 / 2**40
    assert 3_000_000 * full < 1 / 8900
    chance, watch = Random(16), FlagWatch(0.95)
    for _ in range(100_000):
        assert not drawn(watch, [chance.random() < 0.5 for _ in range(3)])
    members = FlagWatch(0.95)
    for step in range(20_000):  # every fiftieth step is one that b is always flagged on, and asked again and again
        assert not drawn(members, [False, step % 50 == 0, False] * 5, ("a", "b", "c"))
        assert members.silent_voter() is None


ADVICE = [
    (FlaggedSample(FlagKind.MALFORMED, "no JSON", '```json\n{"a": 1}\n```'), "lenient_json"),
    (FlaggedSample(FlagKind.MALFORMED, "no JSON", "<think>so</think>7"), "`parse` lenient-json"),
    (FlaggedSample(FlagKind.MALFORMED, f"empty; {NOTE_REASONING}", ""), "reasoning_effort"),
    (FlaggedSample(FlagKind.MALFORMED, f"empty; {NOTE_TOOL_CALLS}", ""), "no tools"),
    (FlaggedSample(FlagKind.TRUNCATED, "cut off", "one"), "`max_output_tokens` 1500"),
    (FlaggedSample(FlagKind.TRUNCATED, f"cut off; {NOTE_REASONING}", ""), "`max_output_tokens` 3000"),
    (FlaggedSample(FlagKind.TOO_LONG, "900 tokens", "one"), "`max_output_tokens` 1500"),
    (FlaggedSample(FlagKind.BROKEN_OFF, "for the reason 'model_context_window_exceeded'", "o"), "shorter question"),
    (FlaggedSample(FlagKind.REJECTED, "no such label", "7"), "check"),
    (FlaggedSample(FlagKind.MALFORMED, "no move", "well"), "form"),
]


def test_what_to_do_follows_from_the_reason():
    """Each usual mistake of a first run has the setting that corrects it, with numbers that can be pasted."""
    assert [
        (flagged.reason, explanation) for flagged, explanation in ADVICE if explanation not in advice(flagged, 750)
    ] == []


def test_the_most_common_reason_is_shown_with_an_inert_reply():
    """Reasons that differ in numbers are one; the reply is shortened to one line with control characters escaped."""
    texts = ["\x1b[2J" + "x" * number for number in (5, 600)]
    flagged = [FLAG]
    for text in texts:
        with pytest.raises(RedFlag) as raised:
            json_answer(text)
        flagged.append(FlaggedSample(raised.value.kind, raised.value.reason + f" at {len(text)}", text))
    explanation = explanation_of(flagged, 750)
    assert "(2 of 3)" in explanation
    assert "\\x1b[2Jxxx" in explanation
    assert explanation.isprintable()
    assert len(explanation) < 500
    assert explanation_of([], 750) == ""
