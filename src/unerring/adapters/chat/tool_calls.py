"""Write the tool calls of a reply as the text of its answer, so that they are voted on like any other answer."""

import json
from contextlib import suppress
from typing import Any

import msgspec

from unerring.adapters.chat.lenient import NULL, ReplyChoice, is_there
from unerring.core.voting.parsing import strict_json

_CALLED = frozenset({"toolcalls", "toolcall", "tooluse", "functioncall", "functioncalls"})  # OpenAI, Anthropic, Gemini


def with_calls_as_text(choice: ReplyChoice) -> ReplyChoice:
    """A choice whose text is its tool calls, `[{"name": ..., "arguments": {...}}, ...]`; one without calls as it is.

    Ids of calls are left out, and so are words beside them. A finish reason that says that tools are called is a stop.
    """
    message = choice.message
    if message is None or (text := _calls_text(message.tool_calls)) is None:
        return choice
    word = "".join(character for character in (choice.finish_reason or "").lower() if character.isalnum())
    return msgspec.structs.replace(
        choice,
        message=msgspec.structs.replace(message, content=text, tool_calls=NULL),
        finish_reason="stop" if word in _CALLED else choice.finish_reason,
    )


def _calls_text(raw: msgspec.Raw) -> str | None:
    """Tool calls as JSON text; None where there are none. What is no call stays in it, for the parser to refuse."""
    if not is_there(raw):
        return None
    try:
        calls = json.loads(bytes(raw))
        text = json.dumps([_call(one) for one in calls] if isinstance(calls, list) else calls, ensure_ascii=False)
    except (ValueError, RecursionError):
        return None
    return text.encode("utf-8", "replace").decode()  # a journal holds no lone surrogates


def _call(given: Any) -> Any:
    """A call's name and arguments; arguments that are no JSON stay as they are."""
    function = given.get("function") if isinstance(given, dict) else None
    if not isinstance(function, dict):
        return given
    arguments = function.get("arguments")
    if isinstance(arguments, str):
        with suppress(ValueError):
            arguments = strict_json(arguments) if arguments.strip() else {}
    return {"name": function.get("name"), "arguments": {} if arguments is None else arguments}
