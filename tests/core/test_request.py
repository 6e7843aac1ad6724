"""Request settings: what is refused, what they change in a policy, and how they join a question's own messages."""

import json

import pytest

from replay import replay
from unerring import InputError, Policy, Request, Settings, Subtask
from unerring.core.journal.codec import decode, encode
from unerring.core.journal.entries import Opened
from unerring.core.request import request_from
from unerring.core.voting.sample import Message

DRAWN = Settings(0.1, 64, 1, 2, 3)
EXAMPLES = (
    {"role": "system", "content": "Answer with a digit."},
    {"role": "user", "content": "1 + 1"},
    {"role": "assistant", "content": "2"},
)

REFUSED = [
    ({"temperature": -0.1}, "temperature"),
    ({"temperature": True}, "temperature"),
    ({"first_temperature": float("nan")}, "first_temperature"),
    ({"first_temperature": float("inf")}, "first_temperature"),
    ({"max_output_tokens": 0}, "max_output_tokens"),
    ({"max_output_tokens": 1.5}, "max_output_tokens"),
    ({"system": "  "}, "system"),
    ({"system": "\ud800"}, "system"),
    ({"extra": [1]}, "JSON object"),
    ({"extra": {1: 2}}, "JSON object"),
    ({"extra": {"top_p": float("nan")}}, "JSON data"),
    ({"extra": {"top_p": {1}}}, "JSON data"),
    ({"extra": {"a": "x" * 100_000}}, "longer"),
]


def test_impossible_settings_are_refused_by_name():
    """Numbers out of range, texts that cannot be sent and extra fields that are no JSON object each give one line."""
    accepted = []
    for given, named in REFUSED:
        try:
            Request(**given)
        except InputError as error:
            if named not in str(error) or "\n" in str(error):
                accepted.append((given, str(error)))
        else:
            accepted.append((given, "accepted"))
    assert accepted == []


def test_a_policy_takes_temperatures_and_limit():
    """`temperature` holds for all samples, or for all but the first with `first_temperature`; nothing else changes."""
    assert Request().applied_to(Policy()) == Policy()
    policy = Request(temperature=1.0, max_output_tokens=99).applied_to(Policy())
    assert (policy.first_temperature, policy.later_temperature, policy.flags.max_output_tokens) == (1.0, 1.0, 99)
    policy = Request(temperature=0.7, first_temperature=0.2).applied_to(Policy())
    assert (policy.first_temperature, policy.later_temperature) == (0.2, 0.7)
    assert Request(first_temperature=0.5).applied_to(Policy()).later_temperature == Policy().later_temperature


def test_a_system_message_is_joined_with_a_questions_own():
    """A conversation has at most one system message, the run's text first; example turns follow, then the question."""
    subtask = Subtask("2 + 2", str, messages=EXAMPLES, stop=("\n",))
    settings = Request(system="Be brief.", extra={"top_p": 0.9}).settings(subtask, False, DRAWN)
    assert settings.conversation("2 + 2") == [
        {"role": "system", "content": "Be brief.\n\nAnswer with a digit."},
        *EXAMPLES[1:],
        {"role": "user", "content": "2 + 2"},
    ]
    assert (settings.stop, json.loads(settings.extra)) == (("\n",), {"top_p": 0.9})
    plain = Request().settings(subtask, False, DRAWN)
    assert plain.messages == tuple(Message(**one) for one in EXAMPLES)
    assert Request(system="Be brief.").settings(Subtask("q", str), False, DRAWN).messages == (
        Message("system", "Be brief."),
    )
    assert Request().settings(Subtask("q", str), False, DRAWN) is DRAWN


def test_a_compact_prompt_goes_without_the_questions_messages():
    """Models trained on the compact prompt get only that: no examples, no stop strings, no schema."""
    subtask = Subtask("2 + 2", str, compact="2+2", schema={"type": "object"}, messages=EXAMPLES, stop=("\n",))
    settings = Request().settings(subtask, True, DRAWN)
    assert (settings.messages, settings.stop, settings.schema) == ((), (), None)


@pytest.mark.parametrize(
    "messages",
    [
        *("hello", [1], [{"role": "user"}], [{"role": "judge", "content": "a"}], [*EXAMPLES[1:], EXAMPLES[0]]),
        *([{"role": "user", "content": ""}], [{"role": "user", "content": "a", "name": "b"}]),
    ],
)
def test_malformed_messages_are_an_error_where_they_are_written(messages):
    """A Subtask with malformed messages raises when it is made, in the user's own line."""
    with pytest.raises((TypeError, ValueError), match="of a Subtask"):
        Subtask("q", str, messages=messages)


@pytest.mark.parametrize("stop", ["end", ("",), (1,), {"a"}])
def test_malformed_stop_strings_are_an_error_where_they_are_written(stop):
    """A single string is not taken for a list of its letters."""
    with pytest.raises(TypeError, match="stop of a Subtask"):
        Subtask("q", str, stop=stop)


def opened(request=None):
    return Opened("p", {}, "m", Policy().to_json(), 0, "0", None, "unerring", 1.0, request=request)


def test_a_journal_keeps_system_and_extra_fields():
    """They are read back from the opening entry unchanged; without any, its bytes are those of earlier versions."""
    request = Request(system="Be brief.", extra={"chat_template_kwargs": {"enable_thinking": False}})
    entry = decode(encode(opened(request.to_json())))
    assert request_from(entry.request) == replay([entry]).request == request
    assert b"request" not in encode(opened())
    assert replay([decode(encode(opened()))]).request == Request()


@pytest.mark.parametrize("data", [{"system": 1}, {"extra": []}, {"extra": {"a": {1}}}, {"other": 1}, {"system": ""}])
def test_a_journal_with_impossible_settings_is_refused(data):
    """An opening entry with request settings that a user could not give is refused, not sent."""
    with pytest.raises(ValueError, match=r"request|system|fields"):
        replay([opened(data)])
