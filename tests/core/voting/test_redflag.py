"""Screening: which answers are flagged before they are parsed."""

import re
from pathlib import Path

from tables import each
from unerring.core.voting.flag_limit import FLAG_ADVICE
from unerring.core.voting.redflag import FlagKind, FlagRules, RedFlag
from unerring.core.voting.sample import Finish, Sample, Usage


def kind_of(rules, sample):
    flag = rules.screen(sample)
    return None if flag is None else flag.kind


def test_a_plain_answer_is_not_flagged():
    """A short, complete and original answer may vote."""
    assert FlagRules().screen(Sample("move = [1, 0, 2]", Usage(500, 40))) is None


@each(("tokens", "kind"), [(0, None), (750, None), (751, FlagKind.TOO_LONG)])
def test_an_answer_is_too_long_only_above_the_limit(tokens, kind):
    """The limit itself is allowed; one token more is too long."""
    assert kind_of(FlagRules(max_output_tokens=750), Sample("x", Usage(0, tokens))) is kind


def test_an_answer_cut_off_is_flagged_however_short():
    """An answer that reached the length limit of its call is truncated."""
    assert kind_of(FlagRules(), Sample("x", Usage(0, 3), finish=Finish.LENGTH)) is FlagKind.TRUNCATED


@each(("logprob", "kind"), [(-0.5, None), (-1.0, None), (-1.001, FlagKind.IMPROBABLE), (None, None)])
def test_an_answer_is_improbable_only_below_the_limit(logprob, kind):
    """The limit itself is allowed, and so is an answer without a log-probability."""
    assert kind_of(FlagRules(min_logprob=-1.0), Sample("x", logprob=logprob)) is kind


def test_an_improbable_answer_passes_where_no_limit_is_set():
    """Without `min_logprob` no log-probability is too low."""
    assert kind_of(FlagRules(), Sample("x", logprob=float("-inf"))) is None


def test_a_flag_says_what_it_saw_and_what_was_allowed():
    """The reason has the value and the limit."""
    assert "800" in FlagRules(750).screen(Sample("x", Usage(0, 800))).reason
    assert "750" in FlagRules(750).screen(Sample("x", Usage(0, 800))).reason
    assert "-2" in FlagRules(min_logprob=-1.0).screen(Sample("x", logprob=-2.0)).reason


def test_a_parser_may_raise_a_flag_with_a_reason_alone():
    """A flag raised without a kind is malformed, and its reason is its message."""
    flag = RedFlag("no move found")
    assert (flag.kind, flag.reason, str(flag)) == (FlagKind.MALFORMED, "no move found", "no move found")


def test_every_kind_has_advice_and_is_in_the_description_of_the_journal():
    """Every kind of flag has advice, and is named in the description of the journal's format."""
    page = Path(__file__).parents[3] / "docs" / "journal.md"
    (listed,) = re.findall(r"`flag` says why the sample may not vote: ([^;]*);", page.read_text(encoding="utf-8"))
    assert re.findall("`([^`]*)`", listed) == [kind.value for kind in FlagKind]
    assert list(FLAG_ADVICE) == list(FlagKind)
