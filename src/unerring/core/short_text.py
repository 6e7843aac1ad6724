"""Shorten values and texts for messages and reports."""

from typing import Any

MAX_SHORT_CHARS = 60  # of a value, or a choice, in a message
MAX_LINE_CHARS = 100  # of a shortened answer or state
MIN_COUNTED_CHARS = 200  # a text shortened to at least this says how many characters are left out


def short(value: Any) -> str:
    """The repr of a value, cut to 60 characters."""
    text = repr(value)
    return text if len(text) <= MAX_SHORT_CHARS else f"{text[: MAX_SHORT_CHARS - 3]}..."


def shortened(text: str, chars: int | None = MAX_LINE_CHARS) -> str:
    """The text without its middle where it is longer than `chars` characters; None for no limit."""
    if chars is None or len(text) <= chars:
        return text
    half = chars // 2
    missing = f"[... {len(text) - 2 * half:,} characters left out ...]" if chars >= MIN_COUNTED_CHARS else "..."
    return f"{text[:half]} {missing} {text[-half:]}"
