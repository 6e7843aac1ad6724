"""Shorten values and texts for messages and reports."""

from typing import Any

SHORT_CHARS = 60
LINE_CHARS = 100  # of an answer or a state that is shown shortened
COUNTED_CHARS = 200  # a text that is shortened to at least as much says how many characters are left out


def short(value: Any) -> str:
    """The repr of a value, cut after 60 characters."""
    text = repr(value)
    return text if len(text) <= SHORT_CHARS else f"{text[: SHORT_CHARS - 3]}..."


def shortened(text: str, chars: int | None = LINE_CHARS) -> str:
    """The text, with its middle left out where it is longer than `chars` characters; None for no limit."""
    if chars is None or len(text) <= chars:
        return text
    half = chars // 2
    missing = f"[... {len(text) - 2 * half:,} characters left out ...]" if chars >= COUNTED_CHARS else "..."
    return f"{text[:half]} {missing} {text[-half:]}"
