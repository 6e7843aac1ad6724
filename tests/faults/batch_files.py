"""Files of batches: what is uploaded, checked and written, line by line."""

import json
import re
import time
from dataclasses import dataclass, field
from typing import Any

from faults.ledger import CHAT, Entry
from faults.replies import Payload, Question, question_of

GONE = {
    "batch_expired": "This request could not be executed before the completion window expired.",
    "batch_cancelled": "This request was not executed because the batch was cancelled.",
}


@dataclass(slots=True)
class File:
    """A file of the API; `entries` are those of the lines that are delivered with it."""

    file_id: str
    name: str
    purpose: str
    content: bytes
    created: int = field(default_factory=lambda: int(time.time()))
    entries: list[Entry] = field(default_factory=list)

    def shape(self) -> Payload:
        """The file as the API shows it."""
        return {
            "id": self.file_id,
            "object": "file",
            "bytes": len(self.content),
            "created_at": self.created,
            "filename": self.name,
            "purpose": self.purpose,
            "status": "processed",
        }


_BOUNDARY = re.compile(r'boundary="?([^";,]+)"?')
_NAME = re.compile(rb'[; ]name="([^"]*)"')
_FILENAME = re.compile(rb'filename="([^"]*)"')


def multipart(content_type: str, body: bytes) -> dict[str, tuple[str, bytes]]:
    """Read a form (RFC 7578): file name, empty if there is none, and content of each field.

    aiohttp's own reader warns of its own deprecated call now and then, and warnings are errors in tests.
    """
    fields = {}
    if found := _BOUNDARY.search(content_type):
        for part in (b"\r\n" + body).split(b"\r\n--" + found[1].encode())[1:-1]:
            head, _, content = part.partition(b"\r\n\r\n")
            name, filename = _NAME.search(head), _FILENAME.search(head)
            if name:
                fields[name[1].decode()] = (filename[1].decode() if filename else "", content)
    return fields


@dataclass(frozen=True, slots=True)
class Line:
    """A request of an input file."""

    custom_id: str
    question: Question


class Unfit(ValueError):
    """The fault of a line, in the words of the API."""

    def __init__(self, code: str, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.code, self.param = code, param


def checked(content: bytes, models: Any) -> tuple[list[Line], list[Payload]]:
    """Read an input file: its lines, and the errors of those that are unfit."""
    lines: list[Line] = []
    errors: list[Payload] = []
    seen: set[str] = set()
    for number, text in enumerate(content.splitlines(), 1):
        try:
            line = _line(text, models)
            if line.custom_id in seen:
                raise Unfit("duplicate_custom_id", f"The custom_id {line.custom_id!r} is used before.", "custom_id")
        except Unfit as error:
            errors.append({"code": error.code, "line": number, "message": str(error), "param": error.param})
        else:
            seen.add(line.custom_id)
            lines.append(line)
    if not lines and not errors:
        errors.append({"code": "empty_file", "line": None, "message": "The input file is empty.", "param": None})
    elif len({line.question.model for line in lines}) > 1:
        errors.append(
            {"code": "mismatched_model", "line": None, "message": "One model a batch.", "param": "body.model"}
        )
    return lines, errors


def _line(text: bytes, models: Any) -> Line:
    try:
        fields = json.loads(text)
    except ValueError:
        raise Unfit("invalid_json_line", "This line is not parseable as valid JSON.") from None
    for name in ("custom_id", "method", "url", "body"):
        if not isinstance(fields, dict) or not fields.get(name):
            raise Unfit("missing_required_parameter", f"Missing required parameter: {name!r}.", name)
    if fields["method"] != "POST":
        raise Unfit("invalid_method", "The method of a request is POST.", "method")
    if fields["url"] != CHAT:
        raise Unfit("invalid_url", "The URL of this request is not the endpoint of the batch.", "url")
    question = question_of(json.dumps(fields["body"]).encode())
    if not isinstance(question, Question):
        raise Unfit(question.code, question.message, "body")
    if question.model not in models:
        raise Unfit("model_not_found", "The provided model is not supported by the Batch API.", "body.model")
    return Line(fields["custom_id"], question)


def jsonl(lines: list[Payload]) -> bytes:
    """Write lines of JSON."""
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def result_line(request_id: str, custom_id: str, body: Payload, status: int = 200) -> Payload:
    """The result of a line that got a reply."""
    response = {"status_code": status, "request_id": request_id.removeprefix("batch_"), "body": body}
    return {"id": request_id, "custom_id": custom_id, "response": response, "error": None}


def undone_line(request_id: str, custom_id: str, code: str) -> Payload:
    """The result of a line that got none."""
    error = {"code": code, "message": GONE[code]}
    return {"id": request_id, "custom_id": custom_id, "response": None, "error": error}
