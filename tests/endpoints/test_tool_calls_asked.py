"""Tools over HTTP: they are sent, and the calls of replies are voted on, whatever their ids and their order."""

import pytest

import unerring
from faults.answers import Answer
from faults.server import serving
from unerring import Guards, InputError, Options


def add(a: int, b: int = 0) -> int:
    """Add two numbers."""
    raise AssertionError("nothing is called")


def stop() -> None:
    """End the work."""
    raise AssertionError("nothing is called")


def replying(*answers):
    """A model of the fault server that gives these answers in turn."""
    waiting = list(answers)
    return lambda prompt, temperature, seed, index, limit: waiting.pop(0)


def called(*calls, text="", finish="tool_calls"):
    return Answer(text, 20, 9, finish, calls=calls)


def asked(*answers, tools=(add, stop), k=3):
    """The decision, and the bodies that were sent."""
    options = Options(guards=Guards(probe=False, copies=1.0, flagged=1.0))
    with serving(bodies=True, models={"test": replying(*answers)}) as server:
        model = f"openai/test@{server.url},n=1"
        decision = unerring.ask("What now?", tools=list(tools), model=model, k=k, options=options)
        return decision, [entry.body for entry in server.ledger.chats]


def test_calls_are_voted_on_and_tools_are_sent():
    """Order, ids, blanks in arguments, defaults and words beside the calls do not count."""
    decision, bodies = asked(
        called(("add", '{"a": 1, "b": 0}'), ("stop", "{}")),
        called(("stop", ""), ("add", '{"a":1}'), text="I add and stop."),
        called(("add", '{"a": 1.0}'), ("stop", "{}"), finish="stop"),
    )
    assert sorted(decision.value, key=str) == [
        {"name": "add", "arguments": {"a": 1, "b": 0}},
        {"name": "stop", "arguments": {}},
    ]
    assert (decision.votes, decision.flags) == (3, 0)
    for body in bodies:
        assert [tool["function"]["name"] for tool in body["tools"]] == ["add", "stop"]
        assert body["messages"][-1]["content"] == "What now?"


def test_words_and_wrong_calls_are_flagged():
    """An answer in words, an unknown tool, and arguments that are cut off do not vote."""
    decision, _ = asked(
        Answer("I would add.", 20, 9),
        called(("subtract", "{}")),
        called(("add", '{"a": 1')),
        *[called(("add", '{"a": 1}'))] * 3,
    )
    reasons = [sample.reason for sample in decision.samples if sample.flag]
    assert len(reasons) == 3
    assert reasons[0].startswith("no tool is called")
    assert "calls 'subtract', which is none of the tools" in reasons[1]
    assert "arguments is '{\"a\": 1', not a JSON object" in reasons[2]
    assert decision.value == [{"name": "add", "arguments": {"a": 1, "b": 0}}]


def test_calls_without_tools_are_no_answer():
    """Without tools a reply with tool calls and no text is a red flag, as before."""
    options = Options(guards=Guards(probe=False, copies=1.0, flagged=1.0))
    answers = [called(("add", "{}")), *[Answer("5", 20, 1)] * 3]
    with serving(models={"test": replying(*answers)}) as server:
        decision = unerring.ask("How many?", int, model=f"openai/test@{server.url},n=1", options=options)
    assert (decision.value, decision.flags) == (5, 1)


def test_a_model_that_cannot_be_sent_tools_is_refused():
    """A function of the prompt alone and a batch endpoint are refused; a function of the settings gets the tools."""
    with pytest.raises(InputError, match="the question also has messages, stop strings or tools"):
        unerring.ask("What now?", tools=[stop], model=lambda prompt: "")

    with serving(models={"test": replying()}) as server, pytest.raises(InputError, match="sends no tools"):
        unerring.ask("What now?", tools=[stop], model=f"openai-batch/test@{server.url}")

    def model(prompt, settings):
        assert '"name":"stop"' in settings.tools
        return '[{"name": "stop", "arguments": {}}]'

    assert unerring.ask("What now?", tools=[stop], model=model).value == [{"name": "stop", "arguments": {}}]
