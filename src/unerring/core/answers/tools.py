"""The form of answers that are calls of tools: which tools there are, and calls in any order as one choice."""

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, cast, get_type_hints

from unerring.core.answers.annotations import UnusableType, shape_of
from unerring.core.answers.json_schema import SchemaShape
from unerring.core.answers.records import RecordField, RecordShape, defaulted
from unerring.core.answers.shape import Schema, Shape, fault, inner, json_word, unfit
from unerring.core.short_text import short
from unerring.core.voting.canonical import Json, canonical

MAX_NAMED_TOOLS = 12  # in the message of a red flag
TOOL_KEYS = {"type", "function"}
FUNCTION_KEYS = {"name", "description", "parameters", "strict"}
_WRITTEN = '{"type": "function", "function": {"name": ..., "parameters": ...}}'


class ToolCallsShape(Shape):
    """One or more calls of tools. Their order does not count, and neither does that of their arguments.

    sent: the tools, as OpenAI's chat protocol has them.
    """

    def __init__(self, tools: Iterable[Any]) -> None:
        """Each tool is a function with annotated parameters, or a dict, as OpenAI's chat protocol has it."""
        given = list(tools)
        if not given:
            raise ValueError("tools is a list of one or more functions or JSON tool schemas; it is empty")
        named = [_function_tool(one) if callable(one) else _dict_tool(one) for one in given]
        self._arguments = {name: shape for name, shape, _ in named}
        if len(self._arguments) < len(named):
            twice = next(name for name, *_ in named if [other for other, *_ in named].count(name) > 1)
            raise ValueError(f"two tools are called {twice!r:.60}")
        self.sent: tuple[Schema, ...] = tuple(sent for *_, sent in named)
        self.form = "calls of: " + ", ".join([*self._arguments][:MAX_NAMED_TOOLS])

    def read(self, data: Json, path: str) -> Json:
        """The calls in an order that depends on them alone."""
        if not isinstance(data, list) or not data:
            raise fault(path, f"is {json_word(data)}, and no call of a tool")
        return self._ordered([self._read_call(one, inner(path, place)) for place, one in enumerate(data)])

    def _read_call(self, data: Json, path: str) -> Json:
        if not isinstance(data, dict) or data.keys() != {"name", "arguments"}:
            raise fault(path, f"is {json_word(data)}, and no call with name and arguments")
        name, arguments = data["name"], data["arguments"]
        if not isinstance(name, str) or name not in self._arguments:
            raise fault(path, f"calls {short(name)}, which is none of the tools; there are {self.form}")
        if not isinstance(arguments, dict):
            raise fault(inner(path, "arguments"), f"is {json_word(arguments)}, not a JSON object")
        return {"name": name, "arguments": self._arguments[name].read(arguments, inner(path, name))}

    @staticmethod
    def _ordered(calls: list[Json]) -> Json:
        return sorted(calls, key=canonical)

    def write(self, value: Any) -> Json:
        """The choice of calls, each a dict with name and arguments."""
        if not isinstance(value, list | tuple) or not value:
            raise unfit(value, self.form)
        return self._ordered([self._write_call(one) for one in value])

    def _write_call(self, value: Any) -> Json:
        if not isinstance(value, dict) or value.get("name") not in self._arguments:
            raise unfit(value, self.form)
        return {"name": value["name"], "arguments": self._arguments[value["name"]].write(value.get("arguments", {}))}

    def value(self, choice: Json) -> Any:
        """The calls, with arguments of the types of a function's parameters."""
        calls = cast(list[dict[str, Any]], choice)
        return [{**call, "arguments": self._arguments[call["name"]].value(call["arguments"])} for call in calls]

    def others(self, choice: Json) -> Iterable[Json]:
        """Another argument of the first call."""
        calls = cast(list[dict[str, Any]], choice)
        first = calls[0]
        for other in self._arguments[first["name"]].others(first["arguments"]):
            yield self._ordered([{**first, "arguments": other}, *calls[1:]])


def _function_tool(function: Callable[..., Any]) -> tuple[str, Shape, Schema]:
    """The name, the shape of the arguments, and the description of a function."""
    name = getattr(function, "__name__", type(function).__name__)
    try:
        hints = get_type_hints(function, include_extras=True)
        taken = inspect.signature(function).parameters.values()
    except NameError as error:
        raise TypeError(f"the types of the tool {name} are not known: {error}; define them in the module") from None
    except (TypeError, ValueError):  # a callable object, a partial, a class in C
        raise TypeError(
            f"a tool is a function with annotated parameters, written with def; got {short(function)}"
        ) from None
    fields = []
    for parameter in taken:
        if parameter.kind in {parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY}:
            raise TypeError(f"the tool {name} takes {parameter}: its arguments are given by name")
        if parameter.name not in hints:
            raise TypeError(f"the parameter {parameter.name} of the tool {name} has no type")
        shape = _shape_of_parameter(name, parameter.name, hints[parameter.name])
        if parameter.default is parameter.empty:
            fields.append(RecordField(parameter.name, shape))
        else:
            fields.append(defaulted(name, parameter.name, shape, parameter.default))
    parameters: Schema = {
        "type": "object",
        "properties": {one.name: one.shape.schema or {} for one in fields},
        "required": [one.name for one in fields if not one.optional],
        "additionalProperties": False,
    }
    shape = RecordShape(name, fields, dict, _held)
    described = inspect.getdoc(function)
    about: Schema = {} if not described else {"description": described}
    return name, shape, {"type": "function", "function": {"name": name, **about, "parameters": parameters}}


def _shape_of_parameter(tool: str, name: str, annotation: Any) -> Shape:
    try:
        return shape_of(annotation)
    except UnusableType:
        raise TypeError(f"the parameter {name} of the tool {tool} cannot be {short(annotation)}") from None
    except (TypeError, ValueError) as error:
        raise TypeError(f"the parameter {name} of the tool {tool}: {error}") from None


def _held(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise TypeError
    return value


def _dict_tool(tool: Any) -> tuple[str, Shape, Schema]:
    """The name, the shape of the arguments, and the description of a tool that is written as JSON data."""
    function = tool.get("function", tool) if isinstance(tool, Mapping) else None
    name = function.get("name") if isinstance(function, Mapping) else None
    if not isinstance(name, str) or not name:
        raise TypeError(f"a tool is a function, or a dict such as {_WRITTEN}; got {short(tool)}")
    assert isinstance(function, Mapping)
    others = [*(tool.keys() - TOOL_KEYS if function is not tool else ()), *(function.keys() - FUNCTION_KEYS)]
    if others:
        raise TypeError(f"{min(map(short, others))} is no key of the tool {name:.60}; write {_WRITTEN}")
    schema = function.get("parameters", {"type": "object", "properties": {}, "additionalProperties": False})
    if not isinstance(schema, Mapping):
        raise TypeError(f"the parameters of the tool {name:.60} are a JSON schema, not {short(schema)}")
    return name, SchemaShape(schema), {"type": "function", "function": dict(function)}


def require_tools(tools: object) -> Sequence[Any]:
    """The tools as a list; raises `TypeError` for anything else, such as a single function."""
    if not isinstance(tools, list | tuple):
        raise TypeError(f"tools is a list of functions or of JSON tool schemas, not {short(tools)}")
    return tools
