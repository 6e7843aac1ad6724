"""Reading entries: which bytes are invalid, and which a later version wrote."""

import json
import zlib
from dataclasses import replace

import pytest

from tables import each
from unerring.core.journal.codec import decode, encode
from unerring.core.journal.entries import (
    DRAFT_SLOT,
    JOURNAL_VERSION,
    Cancelled,
    Committed,
    Drafted,
    Failed,
    Finished,
    Intent,
    Opened,
    Paused,
    Replies,
    Reply,
)
from unerring.core.voting.redflag import FlagKind
from unerring.core.voting.sample import Finish, Usage
from unerring.errors import JournalTooNew

OPENED = Opened("tale", {}, "made/up", {}, 0, "0", None, "test", 1.0)
REPLY = Reply(3, 1, "a text " * 40, '{"a":1}', None, Usage(7, 8), Finish.LENGTH, -0.25, 2, "id-1")
CALL = Replies((REPLY, REPLY._replace(slot=2, text=1, choice=1, reply_id="id-2")), "0123456789ab")


def squeezed(text):
    squeezer = zlib.compressobj(6, zlib.DEFLATED, -12, 5)
    return b"\0" + squeezer.compress(text) + squeezer.flush()


@each(
    "body",
    [
        b"",
        b"\0",
        b"\0\xff\xff\xff",
        b"garbage",
        b"\xff\xfe\xfd",
        b"[",
        b"[]",
        b"{}",
        b'{"0": "c"}',
        b"null",
        b"12",
        b'["c"]',
        b'["c", 1]',
        b'["c", 1, "a", "b"]',
        b'["r", 1, 2, 3]',
        b'["opened"]',
        b'["opened", 1]',
        b'["opened", 1, {}]',
        b'["opened", 1, []]',
        b'["opened", "1", {}]',
        b'[["c"], 1, "a"]',
        b"[null, 1]",
        b"[1, 2]",
        b'["finished", 1' + b"," * 3,
        b"[" * 100_000,
        squeezed(b'["c", 1]'),
        squeezed(b'["c", 1, "a"]' * 20)[:-4],
        squeezed(b"garbage" * 30),
    ],
    ids=lambda body: repr(body[:24]),
)
def test_bytes_that_are_no_entry_are_a_value_error(body):
    """Garbage, cut entries and known kinds with wrong fields are reported as no entry."""
    with pytest.raises(ValueError, match="not an entry"):
        decode(body)


@each("body", [b'"c"', b'"abc"', b'""'])
def test_a_bare_string_is_garbage_and_not_a_later_version(body):
    """A JSON string is no entry of any version, so the error does not say to upgrade."""
    with pytest.raises(ValueError, match="not an entry"):
        decode(body)


@each(
    "body",
    [
        b'["c", null, null]',
        b'["c", "1", "a"]',
        b'["i", 0, 0, "x"]',
        b'["v", "0", 1]',
        b'["f", 0, 0, 1, null]',
        b'["finished", null, 1.0]',
        b'["resumed", 1.0, "60", null]',
        b'["r", 0, 0, null, [null, null, "malformed", 1, 2, 0, null, 0]]',
        b'["r", 0, 0, null, ["a", {}, null, 1, 2, 0, null, 0]]',
        b'["r", 0, 0, null, ["a", "b", null, null, null, 0, null, 0]]',
        b'["r", 0, 0, null, ["a", "b", null, 1, 2, 0, null, 0], ["a", "b"]]',
        b'["r", 0, 0, null, ["a", "b", null, 1, 2, 0, null, 0, "id", "id"]]',
        b'["r", 0, 0, null, ["a", "b", null, 1, 2, 0, null, 0, null]]',
        b'["r", 0, 0, null]',
        b'["r", 0, 0, 1, ["a", "b", null, 1, 2, 0, null, 0]]',
        b'["i", 0, 0, 1, 2]',
        b'["i", 0, 0, 1, "a", "b"]',
        b'["f", 0, 0, 1, "busy", null]',
        b'["x", 0, 0]',
        b'["x", 0, 0, 1, {}]',
        b'["d", 0, 1]',
        b'["d", 0, 1, 2, 3]',
        b'["paused", "a", "b", 1.0, "c"]',
        b'["finished", 1, 1.0, null]',
        b'["finished", 1, 1.0, 0.5, 0.5]',
    ],
    ids=repr,
)
def test_fields_of_another_kind_are_no_entry(body):
    """An entry with fields of wrong types is refused when it is read, not later when it is used."""
    with pytest.raises(ValueError, match="not an entry"):
        decode(body)


def test_an_unknown_flag_is_a_value_error():
    """A reply with an unknown cause of its flag cannot be read."""
    body = json.dumps(["r", 0, 0, None, ["a", None, "ugly", 1, 2, 0, None, 0]]).encode()
    with pytest.raises(ValueError, match="not an entry"):
        decode(body)


@each("kind", ["z", "merged", "R", "", "opened2"])
@each("fields", [[], [1], [1, "a", {}]])
def test_an_unknown_kind_is_a_journal_too_new(kind, fields):
    """An entry of an unknown kind gives an error that names the kind and says to upgrade."""
    with pytest.raises(JournalTooNew, match=f"entry kind {kind!r}.*upgrade"):
        decode(json.dumps([kind, *fields]).encode())


@each("rest", [[{}], [], ["anything", 3]])
def test_a_later_version_is_a_journal_too_new(rest):
    """An opening entry of a later version is not read further, whatever its fields."""
    with pytest.raises(JournalTooNew, match=f"version {JOURNAL_VERSION + 1}.*upgrade"):
        decode(json.dumps(["opened", JOURNAL_VERSION + 1, *rest]).encode())


def test_an_opening_entry_says_its_version():
    """The version is read back, and is this version's by default."""
    assert decode(encode(OPENED)).version == JOURNAL_VERSION == 1


FIELDS = {"process": "tale", "parameters": {}, "model": "made/up", "policy": {}, "seed": 0, "start": "0"}
FIELDS |= {"length": None, "software": "test", "time": 1.0}


def test_an_opening_entry_without_a_plan_has_no_field_for_it():
    """The bytes of unplanned runs are the same as before plans existed."""
    written = json.dumps(["opened", 1, FIELDS], separators=(",", ":")).encode()
    assert encode(OPENED) == squeezed(written)
    planned = replace(OPENED, plan={"steps": 7})
    assert encode(planned) == squeezed(written[:-2] + b',"plan":{"steps":7}}]')
    assert decode(encode(planned)) == planned


@each("plan", [None, 1, "ahead-by 3", [], [{}], True])
def test_a_plan_is_an_object(plan):
    """A plan of any other type makes the bytes no entry."""
    assert decode(json.dumps(["opened", 1, FIELDS]).encode()) == OPENED
    with pytest.raises(ValueError, match="opening entry"):
        decode(json.dumps(["opened", 1, FIELDS | {"plan": plan}]).encode())


def test_a_short_entry_is_plain_json():
    """Short entries are readable as plain JSON."""
    assert encode(Committed(12, "abc")) == b'["c",12,"abc"]'
    assert encode(Intent(12, 0, 3)) == b'["i",12,0,3]'
    assert encode(Finished(3, 1.5)) == b'["finished",3,1.5]'


def test_absent_values_have_no_field():
    """The state that a step was asked from, and a latency, are written only if present."""
    assert encode(Intent(12, DRAFT_SLOT, 1, "ab")) == b'["i",12,-1,1,"ab"]'
    assert encode(Cancelled(12, 0, 3)) == b'["x",12,0,3]'
    assert encode(Cancelled(12, 0, 3, "ab")) == b'["x",12,0,3,"ab"]'
    assert encode(Failed(12, 0, 3, "busy", "ab")) == b'["f",12,0,3,"busy","ab"]'
    assert encode(Drafted(12, Usage(7, 8))) == b'["d",12,7,8]'
    assert encode(Paused("a", "b", 1.5, 0.25)) == b'["paused","a","b",1.5,0.25]'


def test_the_samples_of_a_call_are_numbered_without_a_gap():
    """A call is for one step and its entry has the first number only; samples of other numbers are refused."""
    for other in (REPLY._replace(slot=3), REPLY._replace(slot=1), REPLY._replace(step=4, slot=2)):
        with pytest.raises(ValueError, match="without a gap"):
            Replies((REPLY, other))


def test_a_long_entry_is_deflated_and_comes_back():
    """A long entry is compressed if that makes it shorter, and read back."""
    body = encode(CALL)
    assert body[0] == 0
    assert len(body) < 100
    assert decode(body) == CALL


def test_a_reply_without_an_id_has_no_field_for_it():
    """`reply_id` is written only if present, and an empty one is not the same as none."""
    fields = (0, 0, "a", None, FlagKind.COPY, Usage(), Finish.STOP, None, 0)
    without, empty = Replies((Reply(*fields),)), Replies((Reply(*fields, reply_id=""),))
    assert len(encode(without)) < len(encode(empty))
    assert decode(encode(empty)).replies[0].reply_id == ""
    assert decode(encode(without)).replies[0].reply_id is None
