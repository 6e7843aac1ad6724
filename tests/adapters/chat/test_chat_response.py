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
    """It has text, tokens, log-probability, id, served model and latency."""
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
    """Text is read from strings and from parts; missing content, tool calls and other types give an empty text."""
    assert one(reply({"message": message, "finish_reason": "stop"})).text == text


def test_text_of_the_older_completions_is_read():
    """Servers with the older completions format have the text in the choice itself."""
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
    """Known finish reasons, in all spellings, mean whole, cut at the limit or refused.

    Any other reason is a red flag.
    """
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


def test_a_missing_reason_is_good_only_if_the_server_never_gives_one():
    """From a server that gives finish reasons, an answer without one was cut short."""
    value = json.dumps(reply(choice(finish=None))).encode()
    for with_reasons, finish in ((False, Finish.STOP), (True, Finish.OTHER)):
        (sample,) = outcome(200, {}, value, structs.replace(asked(), with_reasons=with_reasons))
        assert sample.finish is finish


def test_a_refusal_is_a_sample():
    """The text with which the model refuses is kept, and is no vote."""
    sample = one(reply({"message": {"content": None, "refusal": "No."}, "finish_reason": "stop"}))
    assert (sample.text, sample.finish) == ("No.", Finish.REFUSED)
    sample = one(reply({"message": {"content": "Well", "refusal": "No."}, "finish_reason": "stop"}))
    assert (sample.text, sample.finish) == ("Well", Finish.REFUSED)


def test_a_text_above_the_size_limit_is_cut_and_flagged():
    """A text longer than a mebicharacter is cut there, and flagged."""
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
    """The mean is over the tokens that have one; invalid values count as missing."""
    got = one(reply(choice(logprobs=logprobs))).logprob
    assert got == (None if mean is None else pytest.approx(mean))
    assert got is None or got > float("-inf")


# --- failures


@each("choices", [[], None, "absent", 7, {}, "x", [None], [7, "x"]])
def test_a_reply_without_choices_is_a_failure_with_its_cost(choices):
    """Its outcome is unknown, and the tokens in its usage are charged."""
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
def test_a_malformed_reply_is_of_unknown_outcome(body, words):
    """Truncated, empty and deeply nested bodies, web pages and streams are failures that quote what was received."""
    assert words in str(unknown(body))


@each("kind", ["text/html", "text/plain", "", "application/octet-stream; charset=utf-16"])
def test_json_is_read_whatever_its_content_type(kind):
    """A JSON reply with a wrong content type is read."""
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
    """JSON with leading blank lines, a byte order mark, duplicate keys or NaN is read."""
    sample = one(body)
    assert (sample.text, sample.usage) == ("answer", Usage(100, 10))


def test_bytes_that_are_no_utf8_become_replacement_characters():
    """Invalid UTF-8 becomes replacement characters, and the rest of the text is kept."""
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
    """An error in a reply of status 200 is the same failure; the tokens in its usage are charged."""
    for value in ({"error": error}, {"error": error, "choices": []}, {"error": error, "choices": None}):
        failed = read(value)
        assert failed.kind is kind
        assert failed.tokens is None
    failed = read({"error": error, "usage": USAGE})
    assert failed.tokens == ((100, 10) if isinstance(failed, ProviderBusy) else None)


def test_an_error_in_each_choice_is_that_error():
    """Choices that ended in an error are left out; if no other is left, the reply is that failure."""
    broken = {"error": {"code": 502, "message": "upstream"}, "finish_reason": "error", "message": {"content": ""}}
    assert read(reply(broken)).kind is FailureKind.TRANSIENT
    assert [sample.text for sample in read(reply(broken, choice("b")), n=2)] == ["b"]


def test_a_content_filter_error_is_a_refused_sample():
    """An error about content is a sample that was refused."""
    assert one({"error": {"code": 400, "type": "content_filter", "message": "no"}}).finish is Finish.REFUSED


def test_an_answer_with_an_error_counts():
    """If a reply has both an answer and an error, the answer counts."""
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
def test_compressed_replies_are_read(encoding, pack):
    """Gzip and deflate are read, though no request asks for them."""
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
def test_a_reply_that_cannot_be_decompressed_is_of_unknown_outcome(encoding, body):
    """Unknown encodings, corrupt data and decompression bombs are failures."""
    assert "compressed" in str(unknown(body, headers={"content-encoding": encoding}))


def test_a_reply_above_the_cap_is_of_unknown_outcome():
    """Not more than 16 MiB are read."""
    assert "16 MiB" in str(unknown(b" " * (MAX_REPLY_BYTES + 1)))


@each("part", [b"{},", b"0,", b'{"logprob":-1},'])
def test_a_reply_of_too_many_parts_is_of_unknown_outcome(part):
    """A reply with so many values that parsing would take long is not parsed."""
    body = b'{"choices":[{"message":{"content":"x"},"logprobs":{"content":[' + part * 1_100_000 + b"{}]}}]}"
    assert "more parts" in str(unknown(body))


def test_a_reply_of_too_many_escapes_is_of_unknown_outcome():
    """Escapes are the slowest to parse and no answer is made of them; six bytes a character is still read."""
    body = b'{"choices":[{"message":{"content":"%b"}}]}'
    assert "more parts" in str(unknown(body % (b"\\n" * 3_100_000)))
    (sample,) = outcome(200, {}, body % (b"\\u00e9" * (MAX_REPLY_BYTES // 6 - 10)), asked())
    assert set(sample.text) == {"é"}


def test_a_key_in_a_reply_is_removed():
    """A server that repeats the key in an answer, a name or an error does not get it into a sample or a message."""
    sample = one(reply(choice(f"a {CANARY} b"), model=CANARY, id=CANARY, system_fingerprint=CANARY))
    assert CANARY not in repr(sample)
    assert sample.text == "a [key] b"
    refusal = {"message": {"content": None, "refusal": CANARY}}
    escaped = json.dumps(reply()).replace("answer", "".join(f"\\u{ord(c):04x}" for c in CANARY)).encode()
    for value in (reply(refusal), escaped, {"error": CANARY}, {"error": {"code": CANARY, "message": CANARY}}, CANARY):
        assert CANARY not in repr(read(value))


def test_a_lasting_failure_inside_a_reply_is_lasting():
    """An error that the account has no credit is not retried, whatever the status."""
    assert isinstance(read({"error": {"code": 402, "message": "pay"}}), ProviderDown)
