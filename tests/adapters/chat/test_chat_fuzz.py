"""Any reply of a server becomes samples or a failure, within a time limit.

Replies are mutated at random, from a seed: ten thousand in the default suite, a million in the slow one. The limit is
a multiple of the time for an ordinary reply of the same size, measured just before, so that it holds on any machine.
Times are of this process's processor. A reply that took long is read again before it counts, since a garbage
collection may have been in between.
"""

import copy
import json
import math
import time
from random import Random

import pytest

from tables import each
from unerring.adapters.chat.response import MAX_TEXT_CHARS, ExpectedReply, outcome
from unerring.adapters.http.errors import MAX_MESSAGE_CHARS
from unerring.adapters.http.retry_after import MAX_WAIT_SECONDS
from unerring.adapters.http.spec import Secret
from unerring.core.voting.sample import Finish, Sample
from unerring.errors import FailureKind, ProviderBusy, ProviderDown

CANARY = "sk-canary-5d1f0c9a7e"
MEBIBYTE = 1 << 20
ASKED = ExpectedReply(3, 64, 300, "m", "box", Secret(CANARY, "K"), 1_700_000_000.0, 0.25)
MOST_TIMES = 15  # an ordinary reply; an algorithm that is quadratic takes thousands of times as long
PASSING = {FailureKind.RATE_LIMITED, FailureKind.OVERLOADED, FailureKind.TRANSIENT, FailureKind.UNKNOWN}
LASTING = {FailureKind.QUOTA, FailureKind.DENIED, FailureKind.INVALID, FailureKind.REFUSED}

USAGE = {"prompt_tokens": 230, "completion_tokens": 12, "prompt_tokens_details": {"cached_tokens": 128}}
TOKENS = [{"token": "mov", "logprob": -0.02, "bytes": [109, 111, 118], "top_logprobs": []} for _ in range(12)]


def chosen(**fields):
    message = {"role": "assistant", "content": "move = [1, 0, 2]", "refusal": None}
    return {"index": 0, "message": message, "finish_reason": "stop", "logprobs": {"content": TOKENS}} | fields


REPLIES = (
    {
        "id": "chatcmpl-0123456789abcdef",
        "model": "m-1",
        "system_fingerprint": "fp",
        "choices": [chosen()],
        "usage": USAGE,
    },
    {"id": "gen-1-abcdef0123", "model": "m", "choices": [chosen(), chosen(index=1), chosen(index=2)], "usage": USAGE},
    {
        "id": "x",
        "choices": [
            chosen(message={"content": [{"type": "text", "text": "a"}, {"type": "thinking", "thinking": []}]})
        ],
        "usage": {
            "input_tokens": 5,
            "output_tokens": 9,
            "cache_read_input_tokens": 3,
            "cache_creation_input_tokens": 1,
        },
    },
    {"choices": [{"text": "a", "finish_reason": "length", "logprobs": {"token_logprobs": [None, -0.1]}}]},
    {"choices": [chosen(message={"content": None, "refusal": "No."})], "usage": {}},
    {"error": {"message": "slow down", "type": "requests", "param": None, "code": "rate_limit_exceeded"}},
    {"error": {"message": "upstream", "code": 502, "metadata": {"raw": CANARY}}, "usage": USAGE, "choices": []},
    [{"error": {"code": 429, "message": "quota", "status": "RESOURCE_EXHAUSTED", "details": [{"retryDelay": "34s"}]}}],
    {"detail": [{"type": "extra_forbidden", "loc": ["body", "seed"], "msg": "Extra inputs are not permitted"}]},
)
NASTY = (
    None, True, False, 0, 1, -1, 10**18, -(10**18), 10**40, 10**400, 0.5, -0.0, 1e308, -1e308,
    math.nan, math.inf, -math.inf, "", "x", "\x00", "\ud800", "\udfff\ud800", "\U0001f600", "\u202e\x1b[31m",
    "1", "nan", "null", CANARY, f"Bearer {CANARY}", "x" * 3000, "insufficient_quota", "content_filter", "429", "stop",
    [], {}, [[]], [None], [{}], {"": {}}, {"error": []}, {"text": "x"}, {"code": 429}, {"content": "x"},
    {"message": {"content": "x"}}, ["text"], [0.5, "x", None],
)  # fmt: skip
NESTS = tuple(opening * depth for opening in ("[", '{"a":', '[{"message":') for depth in (1000, 100_000))
LITERALS = (
    b"NaN", b"-Infinity", b"1e999", b"1" * 5000, b'"\\ud800"', b'"\\u0000"', b"[", b"}", b",", b":", b'"', b"\\",
    b"null", b"\xff", b"\xc3", b"\x00", b"\xf4\x90\x80\x80", b"\xef\xbb\xbf", b"\xed\xa0\x80", CANARY.encode(),
)  # fmt: skip
OTHER_STATUSES = (201, 204, 206, 101, 302, 400, 401, 402, 403, 404, 413, 422, 429, 500, 503, 529, 777)
HEADERS = (
    {},
    {"content-type": "text/html", "x-cache": "MISS"},
    {"retry-after": "NaN"},
    {"retry-after": "Wed, 99 Foo 2026 99:99:99 GMT", "age": "x"},
    {"retry-after-ms": "9" * 30, "x-ratelimit-reset-tokens": "6m0s", "x-ratelimit-remaining-tokens": "0"},
    {"content-encoding": "gzip"},
    {"content-encoding": "deflate"},
    {"cf-cache-status": "HIT"},
)


class Mutator:
    """Makes malformed replies; the same ones for the same seed."""

    def __init__(self, seed):
        self.chance = Random(seed)

    def __call__(self):
        """A status, headers and a body."""
        chance = self.chance
        value = copy.deepcopy(chance.choice(REPLIES))
        for _ in range(chance.choice((0, 1, 1, 1, 2, 8))):
            value = self.changed(value)
        body = json.dumps(value, ensure_ascii=chance.random() < 0.7).encode("utf-8", "surrogatepass")
        for _ in range(chance.choice((0, 0, 0, 0, 1, 2))):
            body = self.broken(body)
        status = 200 if chance.random() < 0.7 else chance.choice(OTHER_STATUSES)
        return status, chance.choice(HEADERS), body

    def changed(self, value):
        """The same structure with one value replaced, swapped, doubled or removed."""
        chance = self.chance
        places = []
        self.gather(value, places)
        if not places or chance.random() < 0.02:
            return copy.deepcopy(chance.choice(NASTY))
        holder, key = chance.choice(places)
        kind = chance.randrange(6)
        if kind == 0:
            del holder[key]
        elif kind == 1:
            other, there = chance.choice(places)
            holder[key] = copy.deepcopy(other[there])
        elif kind == 2 and isinstance(holder, list):
            holder.extend(copy.deepcopy(holder[key]) for _ in range(chance.choice((1, 3, 50))))
        elif kind == 3 and isinstance(holder, dict):
            holder[chance.choice(("error", "choices", "usage", "content", key))] = holder.pop(key)
        else:
            holder[key] = copy.deepcopy(chance.choice(NASTY))
        return value

    def gather(self, value, places):
        """All places in a value, each as its container and key."""
        keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
        for key in keys:
            places.append((value, key))
            self.gather(value[key], places)

    def broken(self, body):
        """The same bytes cut, doubled, flipped, or with bytes that JSON does not allow."""
        chance = self.chance
        place = chance.randrange(len(body) + 1)
        other = chance.randrange(len(body) + 1)
        match chance.randrange(8):
            case 0:
                return body[:place]
            case 1:
                return body[place:]
            case 2:
                return body[:place] + body[other:]
            case 3 | 4:
                return body[:place] + chance.choice(LITERALS) + body[place:]
            case 5:
                # a key that stands there twice, with another value
                key = chance.choice((b"id", b"choices", b"usage", b"content", b"error", b"message"))
                nasty = json.dumps(chance.choice(NASTY)).encode()
                return body.replace(b'"%s":' % key, b'"%s":%s,"%s":' % (key, nasty, key), 1)
            case 6 if chance.random() < 0.05:
                return body[:place] + chance.choice(NESTS).encode() + body[other:]
        flipped = bytearray(body)
        for _ in range(min(len(body), chance.choice((1, 2, 20)))):
            flipped[chance.randrange(len(body))] = chance.randrange(256)
        return bytes(flipped)


def judge(result):
    """Assert that a result is one of the allowed kinds, and well-formed."""
    assert CANARY not in f"{result!r}{result}"
    if isinstance(result, list):
        assert 1 <= len(result) <= ASKED.n
        for sample in result:
            judge_sample(sample)
        return
    assert type(result) in {ProviderBusy, ProviderDown}
    assert result.kind in (PASSING if isinstance(result, ProviderBusy) else LASTING)
    words = str(result)
    assert 0 < len(words) <= MAX_MESSAGE_CHARS
    assert words.isprintable()
    assert result.tokens is None or all(type(count) is int and 0 <= count < 2**40 for count in result.tokens)
    wait = getattr(result, "retry_after", None)
    assert wait is None or 0 <= wait <= MAX_WAIT_SECONDS


def judge_sample(sample):
    assert type(sample) is Sample
    assert type(sample.text) is str
    assert len(sample.text) <= MAX_TEXT_CHARS
    sample.text.encode()
    usage = sample.usage
    assert all(type(count) is int for count in (usage.input_tokens, usage.output_tokens, usage.cached_tokens))
    assert 0 <= usage.cached_tokens <= usage.input_tokens < 2**40
    assert 0 <= usage.output_tokens < 2**40
    assert isinstance(sample.finish, Finish)
    assert sample.logprob is None or (math.isfinite(sample.logprob) and sample.logprob <= 0)
    assert sample.reply_id is None or len(sample.reply_id) == 16
    assert sample.served is None or (sample.served.isprintable() and len(sample.served) <= 200)
    assert type(sample.cached) is bool


def seconds_of(status, headers, body):
    """The processor time for reading a reply, and what it was read as."""
    started = time.process_time()
    result = outcome(status, headers, body, ASKED)
    return time.process_time() - started, result


def ordinary_seconds(size):
    """The processor time for an ordinary reply of so many bytes."""
    body = b'{"choices":[{"message":{"content":"' + b"a word, " * (size // 8) + b'"}}]}'
    return min(seconds_of(200, {}, body)[0] for _ in range(3))


def fuzz(count, seed):
    """Read so many mutated replies; returns how many results of each kind there were."""
    mutated = Mutator(seed)
    limit = MOST_TIMES * ordinary_seconds(4 * MEBIBYTE)
    seen = {}
    for number in range(count):
        reply = mutated()
        for _ in range(3):
            seconds, result = seconds_of(*reply)
            if seconds <= limit:
                break
        assert seconds <= limit, (seed, number, len(reply[2]))
        judge(result)
        kind = "samples" if isinstance(result, list) else result.kind.name
        seen[kind] = seen.get(kind, 0) + 1
    return seen


def test_three_thousand_mutated_replies():
    """Each becomes samples or a failure, without an exception and in time, and every kind of result occurs."""
    seen = fuzz(3_000, seed=1)
    assert set(seen) == {"samples", *(kind.name for kind in PASSING | LASTING)}
    assert seen["samples"] > 300


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 120))
def test_a_million_mutated_replies(seed):
    """The same holds for a million replies."""
    fuzz(50_000, seed)


@each("value", [REPLIES[1], REPLIES[6]])
@each("status", [200, 429])
def test_a_reply_cut_anywhere(status, value):
    """A reply cut after any of its bytes is a failure, or equal to the whole reply."""
    body = json.dumps(value).encode()
    for place in range(len(body)):
        result = outcome(status, {}, body[:place], ASKED)
        judge(result)
        assert not isinstance(result, list)


@each("opening", ["[", '{"a":', '{"choices":[', '{"choices":[{"message":{"content":[', '{"error":['])
@each("status", [200, 500])
def test_deep_nesting_is_a_failure(status, opening):
    """Brackets 100,000 deep, open or closed, exhaust neither stack nor memory."""
    nested = opening * 100_000
    closing = "".join({"[": "]", "{": "}"}[c] for c in reversed(opening) if c in "[{") * 100_000
    for body in (nested, nested + "0" + closing):
        judge(outcome(status, {}, body.encode(), ASKED))


HOSTILE = {
    "one string": lambda size: b'{"choices":[{"message":{"content":"' + b"a" * size + b'"}}]}',
    "escapes": lambda size: b'{"choices":[{"message":{"content":"' + b"\\n" * (size // 2) + b'"}}]}',
    "no utf-8": lambda size: b'{"choices":[{"message":{"content":"' + b"\xff" * size + b'"}}]}',
    "surrogates": lambda size: b'{"choices":[{"message":{"content":"' + b"\\ud800" * (size // 6) + b'"}}]}',
    "empty choices": lambda size: b'{"choices":[' + b"{}," * (size // 3) + b"{}]}",
    "numbers for choices": lambda size: b'{"choices":[' + b"0," * (size // 2) + b"0]}",
    "parts": lambda size: b'{"choices":[{"message":{"content":[' + b'{"text":"a"},' * (size // 13) + b"{}]}}]}",
    "log-probabilities": lambda size: b'{"choices":[{"logprobs":{"token_logprobs":[' + b"0," * (size // 2) + b"0]}}]}",
    "keys": lambda size: b"{" + b'"id":"x",' * (size // 9) + b'"id":"x"}',
    "keys that differ": lambda size: b"{" + b"".join(b'"%x":NaN,' % i for i in range(size // 11)) + b'"id":"x"}',
    "a long number": lambda size: b'{"usage":{"prompt_tokens":' + b"1" * size + b"}}",
    "long numbers": lambda size: b'{"usage":[' + (b"1" * 4300 + b",") * (size // 4301) + b"NaN]}",
    "errors": lambda size: b'{"error":[' + b'{"code":1},' * (size // 11) + b"0]}",
    "spaces": lambda size: b" " * size + b"{}",
    "tags": lambda size: b"<" * size,
    "titles": lambda size: b"<title" * (size // 6),
    "nothing": lambda size: b"\x00" * size,
}


ORDINARY_SECONDS = ordinary_seconds(16 * MEBIBYTE - 200)


@each("size", [16 * MEBIBYTE - 200, MEBIBYTE - 200, MEBIBYTE // 4], ids=["16 MiB", "1 MiB", "256 KiB"])
@each("name", HOSTILE)
def test_large_replies_take_as_long_as_ordinary_ones(name, size):
    """Replies up to the size cap, built to take long, take a small multiple of the time for an ordinary reply."""
    body = HOSTILE[name](size)
    for status in (200, 500):
        seconds, result = seconds_of(status, {}, body)
        judge(result)
        for _ in range(5):
            if seconds <= MOST_TIMES * ORDINARY_SECONDS:
                break
            ordinary = ordinary_seconds(16 * MEBIBYTE - 200)  # measured again, side by side: the machine may be busier
            seconds = seconds_of(status, {}, body)[0] * ORDINARY_SECONDS / ordinary
        assert seconds <= MOST_TIMES * ORDINARY_SECONDS
