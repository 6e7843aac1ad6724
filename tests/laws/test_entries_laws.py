"""The laws of entries: any sample is read back from the journal's bytes, and no changed byte is unnoticed."""

import json
from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from entry_strategies import objects, plain_json, strategies
from tables import each
from unerring.core.journal.codec import GENESIS_HASH, decode, encode, next_hash
from unerring.core.journal.entries import Replies, Reply
from unerring.core.journal.entry_fields import KINDS
from unerring.core.voting.redflag import FlagKind
from unerring.core.voting.sample import Finish, Sample, Usage
from unerring.errors import JournalTooNew

LAW = settings(max_examples=90, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def has_split_pair(text):
    """Whether a high surrogate is directly followed by a low one, as two characters."""
    return any("\ud800" <= a <= "\udbff" and "\udc00" <= b <= "\udfff" for a, b in pairwise(text))


awkward = st.sampled_from(["\0", "\ud800", "\udfff", "\U0001f600", "\u2028", "\x7f", '"', "\\", "\r\n", "\ufeff", "é"])
texts = st.lists(st.text(max_size=8) | awkward, max_size=8).map("".join).filter(lambda text: not has_split_pair(text))
plain = plain_json(texts)
entries = st.one_of(*strategies(texts).values())


def reply_of(text, reply_id=None, logprob=None):
    """The one sample of a call."""
    return Replies((Reply(0, 0, text, None, FlagKind.MALFORMED, Usage(1, 2), Finish.STOP, logprob, 0, reply_id),))


@settings(LAW, max_examples=200)
@given(entries)
def test_an_entry_comes_back_from_its_bytes(entry):
    """decode(encode(entry)) is the entry, of any kind and with any text."""
    assert decode(encode(entry)) == entry


@LAW
@given(st.text(alphabet=st.characters(exclude_categories=())).filter(lambda text: not has_split_pair(text)))
def test_any_text_comes_back_from_its_bytes(text):
    """Lone surrogates, NUL and unassigned characters are kept, in a text and in a reply's id."""
    assert decode(encode(reply_of(text, reply_id=text))) == reply_of(text, reply_id=text)


@each("text", ["\ud83d\ude00", "x\ud800\udc00y"])
def test_a_surrogate_pair_in_two_characters_comes_back_as_two(text):
    """A high and a low surrogate as two characters are not joined into one."""
    assert decode(encode(reply_of(text))) == reply_of(text)


@each(
    "text",
    ["", "\0" * 300, "\U0001f600" * 300, "é" * 99, "a" * 1_000_000, "\ud800" * 5000, "".join(map(chr, range(5000)))],
    ids=["empty", "nul", "emoji", "accents", "a million letters", "surrogates", "five thousand characters"],
)
def test_odd_and_huge_texts_come_back(text):
    """Huge and repetitive texts are compressed and read back."""
    assert decode(encode(reply_of(text))) == reply_of(text)


def test_a_text_that_no_compressor_can_shrink_comes_back():
    """If compression does not help, the bytes are the JSON itself."""
    entry = reply_of("".join(chr(33 + (i * i * 7919 + i) % 90) for i in range(110)))
    assert decode(encode(entry)) == entry


@LAW
@given(entries)
def test_an_entrys_first_byte_shows_its_encoding(entry):
    """Bytes start with `[`, or with a zero byte if compressed, and are never empty."""
    assert encode(entry)[:1] in (b"[", b"\0")


@LAW
@given(entries)
def test_bytes_are_the_same_each_time(entry):
    """Encoding is a function of the entry alone, so a journal written again has the same hashes."""
    assert encode(entry) == encode(decode(encode(entry)))


@each("logprob", [float("-inf"), float("inf"), float("nan"), -1.23456])
def test_an_entry_of_any_sample_is_json(logprob):
    """With a log-probability of -inf the entry is still readable by any JSON reader."""
    body = encode(reply_of("x", logprob=Sample("x", logprob=logprob).rounded_logprob))
    json.loads(body, parse_constant=lambda name: pytest.fail(f"not JSON: {name}"))


@settings(LAW, max_examples=60)
@given(st.lists(entries, min_size=1, max_size=5), st.data())
def test_the_chain_of_hashes_shows_any_flipped_byte(written, data):
    """Changing one byte of any entry changes the running hash from there to the end."""
    bodies = [encode(entry) for entry in written]
    where = data.draw(st.integers(0, len(bodies) - 1))
    body = bytearray(bodies[where])
    body[data.draw(st.integers(0, len(body) - 1))] ^= data.draw(st.integers(1, 255))
    changed = [*bodies[:where], bytes(body), *bodies[where + 1 :]]
    honest, forged = hashes(bodies), hashes(changed)
    assert honest[:where] == forged[:where]
    assert all(a != b for a, b in zip(honest[where:], forged[where:], strict=True))


@settings(LAW, max_examples=60)
@given(st.lists(entries, min_size=2, max_size=6, unique_by=encode), st.data())
def test_the_chain_of_hashes_shows_a_cut_and_an_exchange(written, data):
    """Removing an entry, or exchanging it with the next, changes every hash from there on."""
    bodies = [encode(entry) for entry in written]
    where = data.draw(st.integers(0, len(bodies) - 2))
    cut = [*bodies[:where], *bodies[where + 1 :]]
    exchanged = [*bodies[:where], bodies[where + 1], bodies[where], *bodies[where + 2 :]]
    assert not set(hashes(bodies)[where:]) & set(hashes(cut)[where:])
    assert not set(hashes(bodies)[where:]) & set(hashes(exchanged)[where:])


def hashes(bodies):
    running, found = GENESIS_HASH, []
    for body in bodies:
        running = next_hash(running, body)
        found.append(running)
    return found


def test_the_running_hash_is_16_bytes_and_starts_from_zeros():
    """The chain starts with 16 zero bytes; journals with different first entries share no hash."""
    assert bytes(16) == GENESIS_HASH
    assert len(next_hash(GENESIS_HASH, b"a")) == 16
    assert next_hash(GENESIS_HASH, b"a") != next_hash(GENESIS_HASH, b"b")


@settings(LAW, max_examples=200)
@given(st.binary(max_size=60) | st.binary(max_size=60).map(lambda tail: b"\0" + tail))
def test_arbitrary_bytes_never_crash_the_decoder(body):
    """Other bytes are a ValueError, or a JournalTooNew if they name an unknown kind."""
    with suppress(ValueError, JournalTooNew):
        decode(body)


samples = st.lists(plain, min_size=7, max_size=10)


@LAW
@given(st.sampled_from([*sorted(KINDS), "z", ""]) | plain, st.lists(plain | objects(texts) | samples, max_size=11))
def test_arbitrary_json_never_crashes_the_decoder(kind, fields):
    """A known kind with the wrong number or types of fields is refused without a crash."""
    with suppress(ValueError, JournalTooNew):
        decode(json.dumps([kind, *fields]).encode())


@LAW
@given(entries, st.data())
def test_cut_entries_never_crash_the_decoder(entry, data):
    """An entry cut anywhere is a ValueError."""
    body = encode(entry)
    with pytest.raises(ValueError, match="not an entry"):
        decode(body[: data.draw(st.integers(0, len(body) - 1))])
