"""Remove secrets from texts: a key in any of its usual encodings, and whatever else looks like one.

A server may echo a key cut, in capitals, spaced, or encoded. A text is searched without its case and without anything
but letters and digits, for pieces of the key as it is, in hexadecimal, in base64, and in the escapes of URLs, JSON
and HTML.
"""

import os
import re
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeVar

from unerring.errors import InputError

HIDDEN = "[hidden]"
KEY = "[key]"
# Shorter values are placeholders such as EMPTY or ollama, which local servers want: to remove those from answers would
# change what is voted for.
MIN_SECRET_CHARS = 8
MIN_PIECE_CHARS = 8  # letters and digits; a piece of half a key, or of `ENOUGH_PIECE_CHARS`, is removed as well
ENOUGH_PIECE_CHARS = 10

_Parsed = TypeVar("_Parsed")
_LOWER = bytes(range(256)).lower()
_DROPPED = bytes(code for code in range(256) if not (chr(code).isascii() and chr(code).isalnum()))
_RANDOM = re.compile(r"(?=.*[0-9])(?=.*[A-Za-z])\S+")  # no word, and no placeholder such as ollama or EMPTY


class KeyFinder:
    """Finds one key in texts. Keys that are words or placeholders are only found as they are written.

    A text is cut into windows, without gaps; every piece that is long enough holds a whole window. So a text costs one
    look-up in a table for each window, and nothing more where none of them is in any encoding of the key.
    """

    __slots__ = ("_forms", "_key", "_places", "_width")

    def __init__(self, key: str) -> None:
        self._key = key
        self._forms: list[tuple[bytes, int]] = []  # each encoding of the key, and the length of a piece to remove
        letters = _letters(key)
        piece = min(ENOUGH_PIECE_CHARS, max(MIN_PIECE_CHARS, (len(letters) + 1) // 2))
        if _RANDOM.fullmatch(key) and len(letters) >= MIN_PIECE_CHARS:
            for form, unit in _forms(key):
                self._forms.append((form, min(len(form), round(piece * unit))))
        self._width = (piece + 1) // 2
        self._places: dict[tuple[int, ...], list[tuple[int, int]]] = {}  # by window: encodings that have it, and where
        for number, (form, _) in enumerate(self._forms):
            for start in range(len(form) - self._width + 1):
                window = tuple(form[start : start + self._width])
                self._places.setdefault(window, []).append((number, start))

    def without(self, text: str) -> str:
        """The text without the key, or pieces of it."""
        if self._key and self._key in text:
            text = text.replace(self._key, KEY)
        if not self._places:
            return text
        letters = _letters(text)
        if self._places.keys().isdisjoint(zip(*[iter(letters)] * self._width, strict=False)):
            return text
        for start, end in reversed(_merged(self._spans(text, letters))):
            text = text[:start] + KEY + text[end:]
        return text

    def _spans(self, text: str, letters: bytes) -> Iterator[tuple[int, int]]:
        """Start and end of the pieces of the key in a text that are long enough."""
        places = [place for place, char in enumerate(text) if char.isascii() and char.isalnum()]
        for at in range(0, len(letters) - self._width + 1, self._width):
            for number, form_at in self._places.get(tuple(letters[at : at + self._width]), ()):
                form, piece = self._forms[number]
                start, end = _widened(letters, form, at, form_at, self._width)
                if end - start >= piece:
                    yield places[start], places[end - 1] + 1


def _widened(letters: bytes, form: bytes, at: int, form_at: int, width: int) -> tuple[int, int]:
    """Start and end of the longest run of equal letters around a window that both texts have."""
    start, end = at, at + width
    while start > 0 and form_at > 0 and letters[start - 1] == form[form_at - 1]:
        start, form_at = start - 1, form_at - 1
    form_at += end - start
    while end < len(letters) and form_at < len(form) and letters[end] == form[form_at]:
        end, form_at = end + 1, form_at + 1
    return start, end


def _merged(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Spans in order, those that touch as one."""
    merged: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        else:
            merged.append((start, end))
    return merged


def _letters(text: str) -> bytes:
    """The ASCII letters and digits of a text, in lower case."""
    return text.encode("ascii", "ignore").translate(_LOWER, _DROPPED)


def _forms(key: str) -> Iterator[tuple[bytes, float]]:
    """The letters and digits of a key's encodings, with how many of them encode one of the key's own."""
    data = key.encode()
    yield _letters(key), 1
    yield data.hex().encode(), 2  # also %73%6B
    yield b"".join(b"x%02x" % byte for byte in data), 3
    yield b"".join(b"u%04x" % byte for byte in data), 5
    yield b"".join(b"x%04x" % byte for byte in data), 5
    for reference, digits in (("%d", 2), ("%03d", 3), ("%04d", 4)):  # HTML: &#115; or &#0115;
        yield "".join(reference % byte for byte in data).encode(), digits
    for escape in ("%02x", "u%04x", "x%02x", "%d"):
        written = (char if char.isalnum() else escape % ord(char) for char in key)
        yield "".join(written).lower().encode(), 1
    for before in range(3):  # where in a group of three bytes the key begins
        text = b64encode(bytes(before) + data).decode()
        first, last = (before * 8 + 5) // 6, (before + len(data)) * 8 // 6
        yield _letters(text[first:last]), 4 / 3


# What looks like a secret in a message, by any author: a login in an address, a value after a name such as
# api_key=, and keys that begin as those of known providers do.
_PATTERNS = (
    (re.compile(r"(?<=://)[^\s,'\"]*@"), f"{HIDDEN}@"),
    (re.compile(r"[^\s/@,'\"(]+:[^\s@'\"]+@(?!preset/|[A-Za-z][\w+.-]*://)"), f"{HIDDEN}@"),
    (
        re.compile(r"((?:key|token|secret|password|passwd|pwd|auth)=)[^\s,'\"&;)]+", re.IGNORECASE),
        rf"\1{HIDDEN}",
    ),
    (re.compile(r"\b(?:sk|pk|rk|gsk|xai|hf|ghp|gho|glpat|r8|nvapi|pplx|tgp)[-_][A-Za-z0-9_-]{8,}"), HIDDEN),
    (re.compile(r"\bAIza[A-Za-z0-9_-]{16,}"), HIDDEN),
    (re.compile(r"\b(Bearer|Basic)\s+[A-Za-z0-9._~+/=-]{8,}", re.IGNORECASE), rf"\1 {HIDDEN}"),
)
_SPEC_SECRETS = (
    re.compile(r"\?[^\s,'\"]+"),
    re.compile(r"(?=[A-Za-z0-9]*[0-9])(?=[A-Za-z0-9]*[A-Za-z])[A-Za-z0-9]{20,}"),
)
_SECRET_VARIABLE = re.compile(r".*(_API_KEY|_TOKEN|_SECRET|_SECRET_KEY|_ACCESS_KEY|_PASSWORD)")


def secrets_in(environ: Mapping[str, str], min_chars: int = MIN_SECRET_CHARS) -> Iterator[str]:
    """Values of the environment's variables that are named as a secret, and look like one."""
    for name, value in environ.items():
        if _SECRET_VARIABLE.fullmatch(name) and len(value) >= min_chars and _RANDOM.fullmatch(value):
            yield value


def without_secrets(message: str, environ: Mapping[str, str] = os.environ) -> str:
    """A message without what looks like a secret, and without the secrets of the environment."""
    for value in secrets_in(environ):
        message = message.replace(value, KEY)
    for pattern, instead in _PATTERNS:
        message = pattern.sub(instead, message)
    return message


def about_words(message: str, words: str) -> str:
    """A message about words of a command line, without those parts of them that may be a secret."""
    for pattern in _SPEC_SECRETS:
        for secret in pattern.findall(words):
            message = message.replace(secret, HIDDEN)
    return without_secrets(message)


def without_secrets_in_errors(parse: Callable[[str], _Parsed], words: str) -> _Parsed:
    """Parse words of a command line; an `InputError` about them repeats nothing that may be a secret."""
    try:
        return parse(words)
    except InputError as error:
        raise type(error)(about_words(str(error), words)) from error.__cause__
