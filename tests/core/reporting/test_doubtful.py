"""Doubtful steps of a report: which they are, what is kept of them, and how flag reasons are counted."""

import pytest

from unerring.core.journal.entries import QuestionText
from unerring.core.journal.review_entries import Ruled
from unerring.core.reporting.doubtful import MAX_ANSWERS, MAX_REPORTED_TEXT_CHARS
from unerring.core.reporting.reasons import ReasonCounts, without_details
from unerring.core.reporting.report import MAX_HARDEST, report_of
from unerring.core.short_text import shortened
from unerring.core.voting.policy import Policy
from unerring.core.voting.race import AheadBy
from unerring.core.voting.redflag import FlagKind

FLAG = FlagKind.MALFORMED


def asked(script, *choices, text="what?", reason="no word"):
    """Decide a step with this question and these reasons of flags."""
    step = script.state.committed
    for choice in choices:
        slot = len(script.state.step(step).replies)
        flagged = {"reason": reason} if isinstance(choice, FlagKind) else {}
        script.tell(script.said(step, slot, choice, voter=slot % script.voters, **flagged))
    script.tell(QuestionText(step, (text,)))
    script.decide()


def test_a_doubtful_step_has_question_rivals_and_flagged_samples(script):
    """It has the question, each answer with its votes by voter, and flagged samples by reason with one text."""
    script.open(voters=2)
    asked(script, '"b"', '"a"', FLAG, '"a"', FlagKind.REJECTED, '"a"', '"a"')
    (step,) = script.report()["doubtful"]
    assert step == {
        "step": 0,
        "decided_by": "votes",
        "choice": '"a"',
        "tally": [4, 1],
        "rounds": 3,
        "messages": [],
        "more_messages": 0,
        "question": ["what?"],
        "answers": [
            {"choice": '"a"', "votes": 4, "voters": {"second": 3, "first": 1}},
            {"choice": '"b"', "votes": 1, "voters": {"first": 1}},
        ],
        "more_answers": 0,
        "flags": 2,
        "flagged": [
            {"flag": "malformed", "reason": "no word", "varies": False, "samples": 1, "example": f"text of {FLAG}"},
            {
                "flag": "rejected",
                "reason": "no word",
                "varies": False,
                "samples": 1,
                "example": f"text of {FlagKind.REJECTED}",
            },
        ],
    }


def test_a_series_keeps_the_texts_of_a_few_steps_however_many_there_are(script):
    """Of a thousand doubtful steps, samples and questions of the ten with most rival votes are kept."""
    script.open()
    for step in range(1000):
        asked(script, FLAG, *(["b", "a"] if step % 7 == 0 else []), "a", "a", "a")
    kept = script.series.doubtful()
    assert [one.step for one in kept] == list(range(0, 70, 7))
    holds = [*kept, *script.series.hardest()]
    assert len({one.step for one in holds if one.replies or one.wordings}) == MAX_HARDEST


def test_a_step_that_a_person_decided_comes_first(script):
    """Steps decided by a person come first, however few votes they had."""
    script.open(Policy(AheadBy(3), vote_cap=4))
    asked(script, FLAG, FLAG, "a", "a", "a")
    for vote in ("a", "b", "a", "b"):
        script.vote(1, vote)
    script.tell(QuestionText(1, ("which?",)))
    assert script.report()["open_step"]["decided_by"] == "undecided"
    assert script.report()["open_step"]["question"] == ["which?"]
    script.tell(Ruled(1, '"c"', 9.0))
    assert script.report()["open_step"]["choice"] == '"c"'
    script.decide()
    first, second = script.report()["doubtful"]
    assert (first["step"], first["decided_by"], first["choice"]) == (1, "people", '"c"')
    assert [answer["votes"] for answer in first["answers"]] == [2, 2]
    assert second["step"] == 0
    assert script.report()["open_step"] is None


def test_a_unanimous_step_is_not_doubtful(script):
    """A unanimous step is not listed, neither decided nor open."""
    script.open().decide("a", "a", "a")
    script.vote(1, "a")
    assert (script.report()["doubtful"], script.report()["open_step"]) == ([], None)


def test_texts_and_lists_are_bounded_unless_all_is_asked_for(script):
    """A report cuts long texts with the length left out, and lists a few answers; a full one has all."""
    script.open()
    long = "x" * 5000
    rivals = [f'"{long}{number}"' for number in range(MAX_ANSWERS + 2)]
    asked(script, *rivals, *["a"] * 4, text=long)
    (step,) = script.report()["doubtful"]
    assert "1,000 characters left out" in step["question"][0]
    assert (len(step["answers"]), step["more_answers"]) == (MAX_ANSWERS, 3)
    assert all(len(answer["choice"]) < MAX_REPORTED_TEXT_CHARS + 60 for answer in step["answers"])
    (whole,) = report_of(script.state, script.series, full=True)["doubtful"]
    assert whole["question"] == [long]
    assert {answer["choice"] for answer in whole["answers"]} == {"a", *rivals}


@pytest.mark.parametrize(("text", "chars"), [("a" * 100, 100), ("", 5), ("a" * 999, None)])
def test_a_text_that_fits_is_not_shortened(text, chars):
    """A text within the limit is unchanged."""
    assert shortened(text, chars) == text


def test_reasons_that_differ_in_numbers_and_quotes_alone_are_one():
    """They are counted together, under the first of them."""
    same = ["812 tokens, more than 750", "1,904 tokens, more than 750", "7 tokens,  more than 1.5"]
    assert len({without_details(one) for one in same}) == 1
    assert without_details("not a label: 'x'") == without_details('not a label: "it\'s y"')
    assert without_details("not a label") != without_details("not a word")
    reasons = ReasonCounts()
    for one in same:
        reasons.add(FlagKind.TOO_LONG, one)
    assert reasons.to_json() == [{"flag": "too long", "reason": same[0], "samples": 3, "varies": True}]


def test_reasons_are_counted_in_bounded_memory():
    """Of any number of reasons the frequent ones are found, and the sum counts every sample."""
    reasons = ReasonCounts(most=5)
    for number in range(3000):
        letters = "".join(chr(97 + int(digit)) for digit in str(number))
        reasons.add(FLAG, f"not a label: {letters}")
        if number % 3 == 0:
            reasons.add(FLAG, "the usual")
    assert len(reasons.counts) <= 10
    assert reasons.first.keys() == reasons.counts.keys()
    assert reasons.to_json()[0] == {"flag": "malformed", "reason": "the usual", "samples": 1000, "varies": False}
    assert reasons.counts.total() + reasons.others.total() == 4000


def test_a_sample_that_is_flagged_no_longer_is_not_counted():
    """If a sample is read again and no longer flagged, its reason is no longer counted."""
    reasons = ReasonCounts()
    reasons.add(FLAG, "no word")
    reasons.add(FLAG, "no word", -1)
    assert (reasons.to_json(), reasons.first) == ([], {})
