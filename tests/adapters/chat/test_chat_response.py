"""Chat replies become samples, or a failure that says what may have been billed."""

import gzip
import json
import zlib

import pytest
from msgspec import structs
from openai_replies import CANARY, USAGE, asked, choice, one, read, reply, unknown

from tables import each
from unerring.adapters.chat.response import MAX_INFLATED_BYTES, MAX_TEXT_CHARS, outcome
from unerring.adapters.http.client import MAX_REPLY_BYTES
from unerring.core.voting.redflag import FlagRules
from unerring.core.voting.sample import Finish, Usage
from unerring.errors import FailureKind, ProviderBusy, ProviderDown

# --- samples


def test_a_sample_has_all_that_the_reply_says():
    """Text, tokens, log-probability, identity, who served it, and how long it took."""
    tokens = [{"token": "a", "logprob": -0.5}, {"token": "b", "logprob": -0.1}]
    sample = one(reply(choice(logprobs={"content": tokens}), system_fingerprint="fp_1"))
    assert (sample.text, sample.finish, sample.usage) == ("answer", Finish.STOP, Usage(100, 10, 0))
    assert sample.logprob == pytest.approx(-0.3)
    assert (sample.voter, sample.served, sample.seconds, sample.cached) == ("m", "m-1 fp_1", 0.25, False)
    assert sample.reply_id is not None


@each(
    ("message", "text"),
    [
        ({"content": "x"}, "x"),
        ({"content": ""}, ""),
        ({"content": None}, ""),
        ({}, ""),
        ({"content": None, "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": "{}"}}]}, ""),
        ({"content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}, "ab"),
        ({"content": [{"text": "a"}, {"type": "output_text", "text": "b"}]}, "ab"),
        ({"content": [{"type": "thinking", "thinking": [{"text": "hm"}]}, {"type": "text", "text": "b"}]}, "b"),
        ({"content": ["a", "b"]}, "ab"),
        ({"content": [7, None, {"type": "text", "text": None}, {"type": "text", "text": "b"}]}, "b"),
        ({"content": []}, ""),
        ({"content": 7}, ""),
        ({"content": {"text": "a"}}, ""),
        ({"content": True}, ""),
        ({"content": "answer", "reasoning_content": "thought"}, "answer"),
        ({"content": "\ud800 a \U0001f600"}, "\ufffd a \U0001f600"),
    ],
)
def test_the_text_of_a_sample(message, text):
    """Strings and parts are read; nothing, tools and what is no text are an empty text."""
    assert one(reply({"message": message, "finish_reason": "stop"})).text == text


def test_text_beside_a_message_is_read():
    """Servers that answer like the older completions have the text in the choice itself."""
    assert one(reply({"text": "x", "finish_reason": "stop"})).text == "x"


REASONS = {
    Finish.STOP: (
        *("stop", "STOP", "eos", "eos_token", "end_turn", "stop_sequence", "STOP_SEQUENCE", "COMPLETE", "completed"),
        *("endoftext", "FINISH_REASON_STOP", "normal", "eosFound", "stopStringFound", None, ""),
    ),
    Finish.LENGTH: ("length", "LENGTH", "max_tokens", "MAX_TOKENS", "maxTokens", "max_output_tokens", "token_limit"),
    Finish.REFUSED: (
        *(
            "content_filter",
            "content-filter",
            "ContentFilter",
            "content_filtered",
            "SAFETY",
            "IMAGE_SAFETY",
            "refusal",
        ),
        *("RECITATION", "PROHIBITED_CONTENT", "SPII", "sensitive", "guardrail_intervened", "ERROR_TOXIC"),
    ),
    Finish.OTHER: (
        *("model_context_window_exceeded", "model_length", "repetition", "network_error", "error", "abort", "timeout"),
        *("tool_calls", "tool_use", "MALFORMED_FUNCTION_CALL", "OTHER", "LANGUAGE", "pause_turn"),
        *("FINISH_REASON_UNSPECIFIED", "insufficient_system_resource", "incomplete", "null", "unload", "not_finished"),
        *("cancelled", "time_limit", "stopped by an operator", "???", 7, ["stop"], {"type": "stop"}, True),
    ),
}


def test_only_reasons_that_are_known_to_be_good_let_an_answer_vote():
    """Finish reasons that servers send, in all spellings: whole, at the limit, refused; all others are flagged."""
    wrong = []
    for expected, reasons in REASONS.items():
        for reason in reasons:
            sample = one(reply(choice(finish=reason)))
            flag = FlagRules().screen(sample)
            if sample.finish is not expected or (flag is None) is not (expected is Finish.STOP):
                wrong.append((reason, sample.finish))
            if expected is Finish.OTHER and (sample.reason is None or sample.reason not in flag.reason):
                wrong.append((reason, flag.reason))
    assert wrong == []


def test_a_server_that_gives_reasons_gives_one_with_each_whole_answer():
    """No reason is a good one only from servers that never give any: elsewhere the answer was cut short."""
    value = json.dumps(reply(choice(finish=None))).encode()
    for with_reasons, finish in ((False, Finish.STOP), (True, Finish.OTHER)):
        (sample,) = outcome(200, {}, value, structs.replace(asked(), with_reasons=with_reasons))
        assert sample.finish is finish


def test_a_refusal_is_a_sample():
    """What the model says in refusing is kept as its text, and is no vote."""
    sample = one(reply({"message": {"content": None, "refusal": "No."}, "finish_reason": "stop"}))
    assert (sample.text, sample.finish) == ("No.", Finish.REFUSED)
    sample = one(reply({"message": {"content": "Well", "refusal": "No."}, "finish_reason": "stop"}))
    assert (sample.text, sample.finish) == ("Well", Finish.REFUSED)


def test_a_text_beyond_all_bounds_counts_as_cut_off():
    """A text longer than a mebicharacter is cut there, and flagged: no answer that was asked for is so long."""
    sample = one(reply(choice("a" * (MAX_TEXT_CHARS + 1))))
    assert (len(sample.text), sample.finish) == (MAX_TEXT_CHARS, Finish.LENGTH)
    assert one(reply(choice("a" * MAX_TEXT_CHARS))).finish is Finish.STOP


@each(
    ("logprobs", "mean"),
    [
        (None, None),
        ({"content": None}, None),
        ({"content": []}, None),
        ({"content": [{"logprob": -1.0}, {"logprob": -2.0}]}, -1.5),
        ({"content": [{"logprob": -1}, {"token": "a"}, {"logprob": None}]}, -1.0),
        ({"content": [{"logprob": 1e-7}]}, 0.0),
        ({"content": [{"logprob": 0.5}]}, None),
        ({"content": [{"logprob": float("nan")}]}, None),
        ({"content": [{"logprob": float("-inf")}]}, None),
        ({"content": [{"logprob": -1e308}, {"logprob": -1e308}]}, None),
        ({"content": [{"logprob": "-1"}, 7, None]}, None),
        ({"content": [{"logprob": -(10**400)}]}, None),
        ({"tokens": ["a", "b"], "token_logprobs": [None, -0.5]}, -0.5),
        ({"token_logprobs": [True, "x"]}, None),
        (7, None),
        ([], None),
    ],
)
def test_the_mean_log_probability(logprobs, mean):
    """The mean over the tokens that have one; what is no log-probability is none."""
    got = one(reply(choice(logprobs=logprobs))).logprob
    assert got == (None if mean is None else pytest.approx(mean))
    assert got is None or got > float("-inf")


# --- failures


@each("choices", [[], None, "absent", 7, {}, "x", [None], [7, "x"]])
def test_a_reply_without_choices_is_a_failure_with_its_cost(choices):
    """What became of it is not known; the tokens that it says were used are settled."""
    value = reply(choices=choices)
    if choices == "absent":
        del value["choices"]
    assert unknown(value).tokens == (100, 10)
    value["usage"] = {"prompt_tokens": 3}
    assert unknown(value).tokens is None


@each(
    ("body", "words"),
    [
        (b"", "not a JSON object"),
        (b"null", "not a JSON object"),
        (b"[]", "not a JSON object"),
        (b'"text"', "not a JSON object"),
        (b"<html><title>Sign in</title></html>", "Sign in"),
        (b"upstream said: \xff\xfe{'choices'", "upstream said"),
        (b'{"id":"x","choices":[{"message":{"content":"mo', "not a JSON object"),
        (b"data: {}\n\n", "not a JSON object"),
        (b"[" * 100_000, "not a JSON object"),
        (b'{"a":' * 100_000, "not a JSON object"),
        (b"\x00" * 100, "not a JSON object"),
    ],
)
def test_what_is_no_reply_is_unknown(body, words):
    """Truncated, empty, pages, streams, nesting without end: a failure that shows what came."""
    assert words in str(unknown(body))


@each("kind", ["text/html", "text/plain", "", "application/octet-stream; charset=utf-16"])
def test_json_is_known_by_what_it_is(kind):
    """A reply with a wrong content type is read all the same."""
    assert one(reply(), headers={"content-type": kind}).text == "answer"


@each(
    "body",
    [
        b"\n\n  \r\n" + json.dumps(reply()).encode() + b"\n",
        b"\xef\xbb\xbf" + json.dumps(reply()).encode(),
        b"[" + json.dumps(reply()).encode() + b"]",
        json.dumps(reply()).encode().replace(b'"id"', b'"id":"first","id"'),
        json.dumps(reply(extra=[float("nan"), float("inf"), 10**40])).encode(),
        json.dumps(reply(error=None)).encode(),
        json.dumps(reply(choice(error=None))).encode(),
        json.dumps(reply(choice(error={}), error="")).encode(),
    ],
)
def test_json_with_oddities_is_read(body):
    """Blank lines that keep a connection alive, a byte order mark, doubled keys, NaN: the answer is found."""
    sample = one(body)
    assert (sample.text, sample.usage) == ("answer", Usage(100, 10))


def test_bytes_that_are_no_utf8_become_replacement_characters():
    """The rest of the text is kept."""
    assert one(json.dumps(reply(choice("a#b"))).encode().replace(b"#", b"\xff")).text == "a\ufffdb"


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"code": 429, "message": "slow down"}, FailureKind.RATE_LIMITED),
        ({"code": "429", "message": "slow down"}, FailureKind.RATE_LIMITED),
        ({"code": "rate_limit_exceeded"}, FailureKind.RATE_LIMITED),
        ({"code": 502, "message": "bad"}, FailureKind.TRANSIENT),
        ({"code": 503}, FailureKind.OVERLOADED),
        ({"type": "overloaded_error"}, FailureKind.OVERLOADED),
        ({"code": 401}, FailureKind.DENIED),
        ({"code": 402}, FailureKind.QUOTA),
        ({"code": "insufficient_quota"}, FailureKind.QUOTA),
        ({"code": 404}, FailureKind.INVALID),
        ({"type": "invalid_request_error"}, FailureKind.INVALID),
        ({"code": 200}, FailureKind.UNKNOWN),
        ({"message": "hm"}, FailureKind.UNKNOWN),
        ("some words", FailureKind.UNKNOWN),
        ([{"code": 429}], FailureKind.RATE_LIMITED),
    ],
)
def test_an_error_in_a_reply_is_that_error(error, kind):
    """Status 200 around an error changes nothing about it; what it cost is settled where it says so."""
    for value in ({"error": error}, {"error": error, "choices": []}, {"error": error, "choices": None}):
        failed = read(value)
        assert failed.kind is kind
        assert failed.tokens is None
    failed = read({"error": error, "usage": USAGE})
    assert failed.tokens == ((100, 10) if isinstance(failed, ProviderBusy) else None)


def test_an_error_in_each_choice_is_that_error():
    """Choices that broke off are left out; if there is no other, the reply is that failure."""
    broken = {"error": {"code": 502, "message": "upstream"}, "finish_reason": "error", "message": {"content": ""}}
    assert read(reply(broken)).kind is FailureKind.TRANSIENT
    assert [sample.text for sample in read(reply(broken, choice("b")), n=2)] == ["b"]


def test_a_filter_in_a_reply_is_a_refusal():
    """An error about content is a sample that was refused."""
    assert one({"error": {"code": 400, "type": "content_filter", "message": "no"}}).finish is Finish.REFUSED


def test_an_error_beside_an_answer_does_not_undo_it():
    """Where there is an answer, it counts."""
    assert one(reply(error={"code": 500})).text == "answer"


# --- packed, large and hostile


@each(
    ("encoding", "pack"),
    [
        ("gzip", gzip.compress),
        ("x-gzip", gzip.compress),
        ("deflate", zlib.compress),
        ("deflate", lambda data: zlib.compress(data)[2:-4]),
        ("identity", bytes),
        ("", bytes),
        ("GZIP", gzip.compress),
    ],
)
def test_what_was_packed_unasked_is_unpacked(encoding, pack):
    """Gzip and deflate are understood, though no request asks for them."""
    body = pack(json.dumps(reply()).encode())
    assert one(body, headers={"content-encoding": encoding}).text == "answer"
    failed = outcome(429, {"content-encoding": encoding}, pack(b'{"error":{"message":"slow"}}'), asked())
    assert str(failed) == "box answered 429: slow"


@each(
    ("encoding", "body"),
    [
        ("br", b"{}"),
        ("gzip, br", gzip.compress(b"{}", mtime=0)),
        ("gzip", b"{}"),
        ("gzip", gzip.compress(json.dumps(reply()).encode(), mtime=0)[:-9]),
        ("gzip", gzip.compress(json.dumps(reply()).encode(), mtime=0)[:40] + b"\xff" * 50),
        ("gzip", gzip.compress(b" " * (8 * MAX_INFLATED_BYTES) + json.dumps(reply()).encode(), mtime=0)),
        ("deflate", b""),
    ],
)
def test_what_cannot_be_unpacked_is_unknown(encoding, body):
    """Other packings, broken ones and bombs are a failure."""
    assert "compressed" in str(unknown(body, headers={"content-encoding": encoding}))


def test_a_reply_beyond_the_cap_is_unknown():
    """More than 16 MiB are not read."""
    assert "16 MiB" in str(unknown(b" " * (MAX_REPLY_BYTES + 1)))


@each("part", [b"{},", b"0,", b'{"logprob":-1},'])
def test_a_reply_of_too_many_parts_is_unknown(part):
    """What would take long to build is not built."""
    body = b'{"choices":[{"message":{"content":"x"},"logprobs":{"content":[' + part * 1_100_000 + b"{}]}}]}"
    assert "more parts" in str(unknown(body))


def test_a_reply_of_too_many_escapes_is_unknown():
    """Those take longest to read, and no answer is made of them; one of six bytes a character is still read."""
    body = b'{"choices":[{"message":{"content":"%b"}}]}'
    assert "more parts" in str(unknown(body % (b"\\n" * 3_100_000)))
    (sample,) = outcome(200, {}, body % (b"\\u00e9" * (MAX_REPLY_BYTES // 6 - 10)), asked())
    assert set(sample.text) == {"é"}


def test_a_key_that_comes_back_is_taken_out():
    """A server that echoes the key into an answer, a name or an error does not get it into a sample or a message."""
    sample = one(reply(choice(f"a {CANARY} b"), model=CANARY, id=CANARY, system_fingerprint=CANARY))
    assert CANARY not in repr(sample)
    assert sample.text == "a [key] b"
    refusal = {"message": {"content": None, "refusal": CANARY}}
    escaped = json.dumps(reply()).replace("answer", "".join(f"\\u{ord(c):04x}" for c in CANARY)).encode()
    for value in (reply(refusal), escaped, {"error": CANARY}, {"error": {"code": CANARY, "message": CANARY}}, CANARY):
        assert CANARY not in repr(read(value))


def test_a_lasting_failure_inside_a_reply_is_lasting():
    """An account without money is not asked again, whatever the status around it."""
    assert isinstance(read({"error": {"code": 402, "message": "pay"}}), ProviderDown)
