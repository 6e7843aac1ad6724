"""Echoes: what counts as repeating a token, and the answer without it."""

from collections import Counter

import pytest

from unerring import RedFlag, Subtask
from unerring.core.request import Request, request_from
from unerring.core.voting.echo import echo_line, echo_token, require_echo, without_echo
from unerring.core.voting.redflag import FlagKind
from unerring.core.voting.sample import Settings

TOKEN = echo_token("a call")
ANSWERS = ["7", '{"a": "b"}', "next_state = [[3], [], []]", "```json\n{}\n```", "two\nlines", 'he said "no"']
ENDS = ["\n{}", "\n\n{}\n", "\n`{}`", "\n**{}**", " {}", " {}.", '\n"{}"\n', "\n#{}", "\n  {}  "]


def test_an_answer_is_the_text_before_its_token():
    """Whatever marks a model puts around the token, the answer before it is unchanged."""
    for answer in ANSWERS:
        for end in ENDS:
            assert without_echo(answer + end.format(TOKEN), TOKEN) == answer
    assert without_echo(TOKEN, TOKEN) == ""


@pytest.mark.parametrize(
    "text", ["7", "", f"7 {TOKEN} and more", f"7 {TOKEN}X", f"7 X{TOKEN}", f"7\n{echo_token('b')}"]
)
def test_an_answer_without_its_token_is_flagged_as_another_calls(text):
    """An answer without a token, with another call's, or with text after it is flagged as another request's reply."""
    with pytest.raises(RedFlag, match=TOKEN) as raised:
        without_echo(text, TOKEN)
    assert raised.value.kind is FlagKind.COPY


def test_each_call_has_a_token_of_its_own():
    """The token depends on step, state, number and run; of 20,000 tokens none are equal."""
    request = Request(echo=True)
    tokens = {
        request.token(session, at, Settings(1.0, 10, seed, step, slot))
        for session in (1.0, 2.0)
        for at in ("ab", "cd")
        for seed in (1, 2)
        for step in (2, 3)
        for slot in (3, 4)
    }
    of = Settings(1.0, 10, 1, 2, 3)
    assert len(tokens) == 32
    assert Request().token(1.0, "ab", of) is None
    assert request.token(1.0, "ab", of) == Request(echo=True).token(1.0, "ab", of)
    assert max(Counter(echo_token(str(i)) for i in range(20_000)).values()) == 1
    assert TOKEN in echo_line(TOKEN)


def test_an_echo_is_kept_and_changes_no_question():
    """It is in the journal's request settings, and not in the digests of questions."""
    request = Request(echo=True, extra={"top_p": 0.9})
    assert request_from(request.to_json()) == request
    assert request.question_text == Request(extra={"top_p": 0.9}).question_text


def test_a_chains_own_token_is_a_whole_word_of_question_and_answer():
    """Each wording of a question must have its `Subtask.echo`, or the process is wrong.

    An answer without it is flagged.
    """
    require_echo("row 17: yes", "17")
    for text in ("row 171: yes", "row x17: yes", "yes"):
        with pytest.raises(RedFlag, match="17"):
            require_echo(text, "17")
    Subtask("Row 17?", str.strip, echo="17", paraphrases=("What of row 17?",))
    with pytest.raises(ValueError, match="does not hold '17'"):
        Subtask("Row 17?", str.strip, echo="17", paraphrases=("What of it?",))
    with pytest.raises(TypeError):
        Subtask("Row 17?", str.strip, echo="")
