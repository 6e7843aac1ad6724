"""Which samples are flagged and why, and which faults are the user's bug and flag nothing."""

import pytest

from chain_runs import K1, K2, Words, resume, run
from unerring.core.journal.codec import decode, encode
from unerring.core.journal.entries import Replies
from unerring.core.voting.policy import Policy
from unerring.core.voting.race import AheadBy
from unerring.core.voting.redflag import FlagKind, FlagRules, RedFlag
from unerring.core.voting.sample import Finish, Sample, Usage
from unerring.testing import ScriptedSampler


def test_flagged_samples_are_drawn_again_and_never_vote():
    """Each flagged sample costs one more draw, and is not in the tally."""
    sampler = ScriptedSampler(["!", "a", "!", "!", "a"])
    outcome = run(Words(1), sampler, K2)
    assert outcome.decided[0].tally == (2,)
    assert outcome.decided[0].flags == 3
    assert outcome.votes == [(0, 1), (0, 4)]


def test_a_flagged_sample_is_not_drawn_again_unchanged_at_temperature_0():
    """At temperature 0 samples after a flagged round are drawn at a higher one, in a resumed run at the same."""
    cold = Policy(AheadBy(2), later_temperature=0.0)
    script = ["!", "a", "!", "!", "a", "a"]
    whole, sampler = Words(1), ScriptedSampler(script)
    outcome = run(whole, sampler, cold)
    temperatures = [temperature for _, _, n, temperature in sampler.calls for _ in range(n)]
    assert temperatures == [0.0, 0.0, 0.1, pytest.approx(0.2), pytest.approx(0.3)]
    for upto in range(2, len(outcome.entries)):
        rest = ScriptedSampler(script)
        resume(whole, rest, outcome.entries[:upto])
        for _, slot, n, temperature in rest.calls:
            assert [temperature] * n == temperatures[slot : slot + n]


SCREENED = [
    (Sample("a", Usage(3, 51)), FlagKind.TOO_LONG),
    (Sample("a", Usage(3, 50), Finish.LENGTH), FlagKind.TRUNCATED),
    (Sample("a", Usage(3, 5), logprob=-0.6), FlagKind.IMPROBABLE),
    (Sample("a", Usage(3, 5), cached=True), FlagKind.COPY),
    (Sample("!", Usage(3, 5)), FlagKind.MALFORMED),
    (Sample("no such", Usage(3, 5)), FlagKind.REJECTED),
]


class Checked(Words):
    """A chain that rejects the choice `no such`."""

    def check(self, state, choice):
        return RedFlag("not among the words") if choice == "no such" else None


@pytest.mark.parametrize(("sample", "kind"), SCREENED, ids=[kind.name for _, kind in SCREENED])
def test_every_cause_of_a_red_flag_is_recorded(sample, kind):
    """A flagged sample is journaled with its cause, and does not vote."""
    policy = Policy(rule=AheadBy(1), flags=FlagRules(max_output_tokens=50, min_logprob=-0.5))
    outcome = run(Checked(1), ScriptedSampler([sample, "fine"]), policy)
    assert outcome.flags == [kind]
    assert outcome.at == ["fine"]


@pytest.mark.parametrize(
    "sample", [Sample("a", Usage(3, 50)), Sample("a", logprob=-0.5), Sample("a", Usage(9999, 1)), Sample("")]
)
def test_a_sample_at_its_limits_votes(sample):
    """The longest allowed answer and the least probable allowed one vote; so does an empty text."""
    policy = Policy(rule=AheadBy(1), flags=FlagRules(max_output_tokens=50, min_logprob=-0.5))
    assert run(Words(1), ScriptedSampler([sample]), policy).flags == []


def test_a_red_flag_may_also_be_raised_by_check():
    """A check that raises a RedFlag rejects the answer like one that returns it."""

    class Raising(Words):
        def check(self, state, choice):
            if choice == "no such":
                raise RedFlag("not among the words")

    outcome = run(Raising(1), ScriptedSampler(["no such", "fine"]), K1)
    assert outcome.at == ["fine"]
    assert outcome.flags == [FlagKind.REJECTED]


def test_a_parser_may_say_what_kind_its_red_flag_is():
    """The kind of a RedFlag that a parser raises is the kind that is counted."""

    def parse(text):
        if text == "long":
            raise RedFlag("rambling", FlagKind.TOO_LONG)
        return text

    assert run(Words(1, parse), ScriptedSampler(["long", "a"]), K1).flags == [FlagKind.TOO_LONG]


def test_check_sees_the_state_and_the_canonical_choice():
    """A check gets the state and the choice in its canonical form."""
    seen = []

    class Seeing(Words):
        def check(self, state, choice):
            seen.append((state, choice))

    def parse(text):
        return (1.0, text)

    run(Seeing(2, parse), ScriptedSampler(["a"]), K1)
    assert seen == [([], [1, "a"]), ([[1, "a"]], [1, "a"])]


NO_TEXT = {
    "NaN": float("nan"),
    "infinity": [float("-inf")],
    "lone surrogate": {"name": "\ud800"},
    "lone surrogate as key": {"\udfff": 1},
}


@pytest.mark.parametrize("value", NO_TEXT.values(), ids=NO_TEXT)
def test_values_that_json_lacks_are_a_red_flag(value):
    """NaN, infinities and lone surrogates in a model's answer flag the sample."""

    def parse(text):
        return value if text == "odd" else text

    outcome = run(Words(1, parse), ScriptedSampler(["odd", "a"]), K1)
    assert outcome.at == ["a"]
    assert outcome.flags == [FlagKind.MALFORMED]


def test_a_deeply_nested_answer_is_a_red_flag():
    """An answer nested too deeply to be compared does not vote and does not end the run."""

    def parse(text):
        value = text
        for _ in range(100_000 if text == "deep" else 0):
            value = [value]
        return value

    outcome = run(Words(1, parse), ScriptedSampler(["deep", "a"]), K1)
    assert outcome.at == ["a"]
    assert outcome.flags == [FlagKind.MALFORMED]


FOREIGN = {"a set": {1, 2}, "bytes": b"a", "an object": object(), "a key that is no text": {1: 2}}


@pytest.mark.parametrize("value", FOREIGN.values(), ids=FOREIGN)
def test_a_parser_that_gives_no_json_is_the_users_bug(value):
    """A parser that returns a set stops the run instead of flagging every sample."""
    outcome = run(Words(1, lambda _: value), ScriptedSampler(["a"] * 9), K1)
    assert isinstance(outcome.error, TypeError)
    assert outcome.flags == []
    assert outcome.paused.kind == "error"


@pytest.mark.parametrize("text", ["!\udfff", "!\ud800 ", "!\x00\x1b[31m"])
def test_an_invalid_text_is_kept_as_received(text):
    """A reply that is no valid text is journaled as received, and read back so from the journal's bytes."""
    outcome = run(Words(1), ScriptedSampler([text, "a"]), K1)
    kept = [decode(encode(call)) for call in outcome.of(Replies)]
    assert kept[0].replies[0].text == text


@pytest.mark.parametrize("flag", [True, "no such word", ValueError("no")])
def test_a_check_that_returns_something_else_is_an_error(flag):
    """A check returns a RedFlag or None; anything else is the user's bug, and the message says so."""

    class Odd(Words):
        def check(self, state, choice):
            return flag

    outcome = run(Odd(1), ScriptedSampler(["a"] * 9), K1)
    assert isinstance(outcome.error, TypeError)
    assert "RedFlag" in str(outcome.error)
