"""Tool calls of replies as the text of the answer: where tools were sent, and only there."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai_replies import choice, one, reply

from unerring.core.voting.sample import NOTE_TOOL_CALLS, Finish

CALL = {"id": "call_1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda within: (
        st.lists(within, max_size=3)
        | st.dictionaries(st.sampled_from(["id", "function", "name", "arguments"]), within, max_size=3)
    ),
    max_leaves=8,
)


def called(*calls, content=None, finish="tool_calls"):
    return reply(choice(finish=finish, message={"role": "assistant", "content": content, "tool_calls": list(calls)}))


@pytest.mark.parametrize("finish", ["tool_calls", "tool_use", "function_call", "stop", None])
def test_calls_are_the_text_where_tools_were_sent(finish):
    """Name and arguments are kept, not ids; the finish reason of calls means a whole answer."""
    sample = one(called(CALL, content="I add.", finish=finish), tools=True)
    assert json.loads(sample.text) == [{"name": "add", "arguments": {"a": 1}}]
    assert (sample.finish, sample.note) == (Finish.STOP, None)


def test_a_call_that_is_cut_off_is_no_vote():
    """The finish reason `length` stays what it is."""
    assert one(called(CALL, finish="length"), tools=True).finish is Finish.LENGTH


def test_without_tools_calls_are_no_answer():
    """The text stays empty, the finish reason is not a good one, and the note says what there was."""
    sample = one(called(CALL))
    assert (sample.text, sample.finish, sample.note) == ("", Finish.OTHER, NOTE_TOOL_CALLS)


@pytest.mark.parametrize("arguments", ["", None, "  "])
def test_no_arguments_are_none(arguments):
    """Some servers write nothing for a tool without parameters."""
    sample = one(called({"function": {"name": "stop", "arguments": arguments}}), tools=True)
    assert json.loads(sample.text) == [{"name": "stop", "arguments": {}}]


@given(calls=st.lists(anything, min_size=1, max_size=3), arguments=st.text())
def test_any_calls_are_text_that_can_be_kept(calls, arguments):
    """Whatever stands in the place of calls, the text is JSON that UTF-8 can hold, or empty."""
    sample = one(called(*calls, {"function": {"name": "f", "arguments": arguments}}), tools=True)
    sample.text.encode()
    assert not sample.text or isinstance(json.loads(sample.text), list)
