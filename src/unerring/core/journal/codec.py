"""Entries as bytes: encode and decode the entries of a journal.

An entry's bytes are a JSON array whose first item is the kind. Where that makes it shorter it is deflated (RFC 1951):
a JSON array starts with `[`, a deflated one with a zero byte.

A running hash ties each entry to all entries before it: hash(n) = BLAKE2b-128(hash(n-1) + bytes(n)). So an entry that
was changed, removed or inserted is noticed at its number.
"""

import json
import zlib
from hashlib import blake2b
from typing import Any

import msgspec

from unerring.core.journal.entries import Committed, Entry, Intent, Replies
from unerring.core.journal.entry_fields import entry_of, fields_of

GENESIS_HASH = bytes(16)
MAX_ENTRY_BYTES = 16 << 20  # of the text of a deflated entry; a longer one is kept as it is
MIN_DEFLATED_BYTES = 100  # of its text; deflating a shorter one gains nothing

_AS_JSON = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False)
# Ten times as fast as json. The encoder writes values that json refuses (a set, a date, infinity) as other ones, so
# it gets only the entries that each call adds, whose values are checked before.
_TO_JSON, _FROM_JSON = msgspec.json.Encoder().encode, msgspec.json.Decoder().decode
_ENTRIES_OF_CALLS = (Replies, Committed, Intent)


def next_hash(previous: bytes, body: bytes) -> bytes:
    """The running hash after one more entry, 16 bytes. Before the first it is `GENESIS_HASH`."""
    return blake2b(previous + body, digest_size=16).digest()


def encode(entry: Entry) -> bytes:
    """Write an entry as bytes."""
    text = _json_bytes(entry)
    if not MIN_DEFLATED_BYTES <= len(text) <= MAX_ENTRY_BYTES:
        return text
    compressor = zlib.compressobj(6, zlib.DEFLATED, -12, 5)
    deflated = b"\0" + compressor.compress(text) + compressor.flush()
    return min(text, deflated, key=len)


def _json_bytes(entry: Entry) -> bytes:
    """An entry as JSON text."""
    fields = fields_of(entry)
    try:
        if isinstance(entry, _ENTRIES_OF_CALLS):
            return _TO_JSON(fields)
    except UnicodeEncodeError:  # a model may write half of a surrogate pair; the text is kept as it came
        pass
    return _AS_JSON.encode(fields).encode("utf-8", "surrogatepass")


def decode(body: bytes) -> Entry:
    """Read an entry from its bytes.

    Raises `JournalTooNew` for a kind this version does not know, `ValueError` for bytes that are no entry.
    """
    try:
        fields = _read(_inflated(body) if body[:1] == b"\0" else body)
    except (zlib.error, ValueError, RecursionError) as error:
        raise ValueError(f"not an entry: {error}") from None
    if not isinstance(fields, list) or not fields:
        raise ValueError("not an entry: it has no kind")
    return entry_of(fields[0], fields[1:])


def _read(text: bytes) -> Any:
    """The value of a JSON text, as `json` reads it."""
    try:
        return _FROM_JSON(text)
    except ValueError:  # half of a surrogate pair, or a number beyond all floats: msgspec refuses these
        return json.loads(text.decode("utf-8", "surrogatepass"))


def _inflated(body: bytes) -> bytes:
    """The text of a deflated entry. Its length is limited, because a few bytes can inflate to gigabytes."""
    inflater = zlib.decompressobj(-12)
    text = inflater.decompress(body[1:], MAX_ENTRY_BYTES)
    if not inflater.eof:
        raise ValueError(f"it is cut off, or holds more than {MAX_ENTRY_BYTES:,} bytes")
    return text
