"""Errors of a provider become failures by status and content, with the wait that the provider asks for."""

import json
from email.utils import formatdate

import pytest

from tables import each
from unerring.adapters.chat.response import ExpectedReply, outcome
from unerring.adapters.http.errors import MAX_ERROR_BYTES, error_from_json, failure, one_line, read_error
from unerring.adapters.http.retry_after import requested_wait
from unerring.adapters.http.spec import Secret
from unerring.errors import FailureKind, ProviderBusy, ProviderDown

CANARY = "sk-canary-5d1f0c9a7e"
SECRET = Secret(CANARY, "K")
NOW = 1_700_000_000.0
ASKED = ExpectedReply(n=1, limit=64, input_worst=300, voter="m", place="box", secret=SECRET, now=NOW, seconds=0.1)
PASSING = {FailureKind.RATE_LIMITED, FailureKind.OVERLOADED, FailureKind.TRANSIENT, FailureKind.UNKNOWN}


def refused(status, error=None, headers=None):
    body = b"" if error is None else json.dumps(error).encode()
    return outcome(status, headers or {}, body, ASKED)


# --- kinds


@each(
    ("statuses", "kind"),
    [
        ((429,), FailureKind.RATE_LIMITED),
        ((503, 529), FailureKind.OVERLOADED),
        ((408, 409, 425, 500, 502, 504, 520, 524, 599), FailureKind.TRANSIENT),
        ((402,), FailureKind.QUOTA),
        ((401, 403, 407), FailureKind.DENIED),
        ((400, 404, 405, 410, 415, 418, 422, 501), FailureKind.INVALID),
        ((413,), FailureKind.REFUSED),
        ((300, 301, 302, 303, 304, 307, 308), FailureKind.INVALID),
        ((0, 101, 199, 600, 999), FailureKind.UNKNOWN),
    ],
)
def test_a_status_has_a_kind(statuses, kind):
    """Each status gives its kind of failure: `ProviderBusy` for passing ones, `ProviderDown` for lasting ones."""
    for status in statuses:
        failed = refused(status)
        assert type(failed) is (ProviderBusy if kind in PASSING else ProviderDown)
        assert (failed.kind, failed.tokens) == (kind, None), status


@each(
    ("status", "error", "kind"),
    [
        (429, {"error": {"code": "insufficient_quota", "message": "You exceeded it."}}, FailureKind.QUOTA),
        (429, {"error": {"type": "insufficient_quota"}}, FailureKind.QUOTA),
        (429, {"error": {"code": "billing_hard_limit_reached"}}, FailureKind.QUOTA),
        (429, {"error": {"code": "rate_limit_exceeded"}}, FailureKind.RATE_LIMITED),
        (429, [{"error": {"code": 429, "status": "RESOURCE_EXHAUSTED"}}], FailureKind.RATE_LIMITED),
        (400, {"error": {"message": "Your credit balance is too low to access the API."}}, FailureKind.QUOTA),
        (403, {"error": {"message": "insufficient credits"}}, FailureKind.QUOTA),
        (400, {"error": {"code": "unsupported_value", "message": "'n' is too large"}}, FailureKind.INVALID),
        (500, {"error": {"code": "insufficient_quota"}}, FailureKind.TRANSIENT),
    ],
)
def test_a_quota_is_distinguished_from_a_rate_limit(status, error, kind):
    """A used-up quota is not waited for; a rate limit is, also Gemini's, whose message speaks of a quota."""
    assert refused(status, error).kind is kind


@each(
    ("status", "error"),
    [
        (400, {"error": {"code": "content_filter", "message": "filtered"}}),
        (400, {"error": {"code": "400", "innererror": {"code": "ResponsibleAIPolicyViolation"}}}),
        (400, {"error": {"code": "invalid_prompt"}}),
        (403, {"error": {"code": 403, "message": "flagged", "metadata": {"flagged_input": "..."}}}),
        (400, {"error": {"code": "context_length_exceeded"}}),
        (400, {"error": {"type": "exceed_context_size_error", "message": "the request exceeds the context size"}}),
        (400, {"error": {"type": "invalid_request_error", "message": "prompt is too long: 9 tokens > 8 maximum"}}),
        (400, {"object": "error", "message": "This model's maximum context length is 512 tokens."}),
        (400, {"error": {"code": 400, "message": "The input token count (9) exceeds the maximum"}}),
        (422, {"detail": "Input is too long for this model"}),
        (413, "payload too large"),
    ],
)
def test_a_refused_question_is_distinguished(status, error):
    """A refusal because of the prompt's content or length is a failure of this question only."""
    failure = refused(status, error)
    assert (type(failure), failure.kind, failure.status) == (ProviderDown, FailureKind.REFUSED, status)


def test_a_redirect_says_what_to_do():
    """Redirects are not followed, and the error says which address to use."""
    assert "redirects are not followed" in str(refused(307, headers={"location": "http://evil.example/"}))


# --- messages


@each(
    ("body", "message"),
    [
        ({"error": {"message": "said"}}, "said"),
        ({"error": "said"}, "said"),
        ({"errors": [{"message": "said"}]}, "said"),
        ([{"error": {"message": "said"}}], "said"),
        ({"message": "said"}, "said"),
        ({"detail": "said"}, "said"),
        ({"detail": [{"loc": ["body", "seed"], "msg": "said"}]}, "said"),
        ({"object": "error", "message": {"detail": [{"loc": ["body", "seed"], "msg": "said"}]}}, "said"),
        ({"error": {"error": "said"}}, "said"),
        ("said", "said"),
        ([], ""),
        (None, ""),
        (17, ""),
        ({"error": {"message": 17}}, ""),
    ],
)
def test_the_message_is_found_in_every_shape(body, message):
    """The message is read from the formats of OpenAI, Gemini, FastAPI and Mistral, and from plain strings."""
    assert error_from_json(body).message == message


@each(
    ("body", "message"),
    [
        (b"<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>", "502 Bad Gateway"),
        (b"<p>Some <b>words</b></p>", "Some words"),
        (b"upstream connect error", "upstream connect error"),
        (b"\xff\xfe", "\ufffd\ufffd"),
        (b"", ""),
        (b'{"error":{"message":"cut', '{"error":{"message":"cut'),
        (b"[" * 100_000, "[" * 5),
        (b'{"code":9}', '{"code":9}'),
    ],
)
def test_pages_and_plain_text_are_messages_too(body, message):
    """If the body is not JSON, the page's title or the text is shown."""
    assert one_line(read_error(body).message, SECRET).startswith(message)


def test_messages_are_one_short_line():
    """Control characters, line breaks and escapes are removed, and no message is longer than 300 characters."""
    hostile = "a\x1b[31mred\x1b[0m\nb\r\nc\u202e\u200b\ud800\x00\x7f" + "x" * 5000
    for status in (400, 429, 500):
        words = str(refused(status, {"error": {"message": hostile}}))
        assert len(words) <= 300
        assert words.isprintable()
        assert words.startswith(f"box answered {status}: a [31mred [0m b c")


@each("status", [400, 401, 404, 429, 500, 307, 199])
def test_messages_have_no_key_in_them(status):
    """A server that repeats the key anywhere in its answer does not get it into a message."""
    for before in (0, 200, 250, 270, 280, 290, 2380, 2390, 2400):
        for echo in (f"Bearer {CANARY}", CANARY * 3):
            error = {"error": {"message": "x" * before + echo, "code": echo, "type": echo, "param": echo}}
            failed = refused(status, error)
            assert CANARY not in f"{failed} {failed!r}"
            assert CANARY[:12] not in str(failed)
    assert CANARY not in str(outcome(status, {}, CANARY.encode(), ASKED))


def test_an_error_without_words_says_its_status():
    """An answer with nothing but a status has a message too."""
    assert str(refused(500)) == "box answered 500"


# --- waiting


@each(
    ("headers", "wait"),
    [
        ({}, None),
        ({"retry-after": "1"}, 1.0),
        ({"retry-after": " 61 "}, 61.0),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": "121"}, 121.0),
        ({"retry-after": "3600"}, 3600.0),
        ({"retry-after": "1209600"}, 86400.0),
        ({"retry-after": "9" * 18}, 86400.0),
        ({"retry-after": "9" * 400}, None),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "NaN"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "Infinity"}, None),
        ({"retry-after": "1e3"}, None),
        ({"retry-after": "1_0"}, None),
        ({"retry-after": "+5"}, None),
        ({"retry-after": "٣"}, None),
        ({"retry-after": ""}, None),
        ({"retry-after": "soon, ☃"}, None),
        ({"retry-after": "."}, None),
        ({"retry-after": "2s"}, 2.0),
        ({"retry-after": formatdate(NOW + 90, usegmt=True)}, 90.0),
        ({"retry-after": formatdate(NOW - 90, usegmt=True)}, 0.0),
        ({"retry-after": formatdate(NOW + 1e7, usegmt=True)}, 86400.0),
        ({"retry-after": formatdate(NOW + 90).replace("-0000", "GMT")}, 90.0),
        ({"retry-after": formatdate(NOW + 90, usegmt=True), "date": formatdate(NOW + 60, usegmt=True)}, 30.0),
        ({"retry-after": formatdate(NOW + 90, usegmt=True), "date": "never"}, 90.0),
        ({"retry-after": "Wed, 99 Foo 2026 99:99:99 GMT"}, None),
        ({"retry-after": "Fri, 31 Dec 999999999999 23:59:59 GMT"}, None),
        ({"retry-after": "Mon, 01 Jan 0001 00:00:00 +2359"}, 0.0),
        ({"retry-after-ms": "250"}, 0.25),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after-ms": "-1", "retry-after": "9"}, 9.0),
        ({"x-ratelimit-reset-requests": "1s"}, None),
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "1s"}, 1.0),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "6m0s"}, 360.0),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "1h2m3.5s"}, 3723.5),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "20ms"}, 0.02),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "2d"}, 86400.0),
        ({"x-ratelimit-remaining-tokens": "7", "x-ratelimit-reset-tokens": "6m0s"}, None),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "12"}, 12.0),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": f"{NOW + 20:.0f}"}, 20.0),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": f"{(NOW + 20) * 1000:.0f}"}, 20.0),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": f"{NOW - 20:.0f}"}, None),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1.2.3s"}, None),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "later"}, None),
    ],
)
def test_how_long_to_wait(headers, wait):
    """Seconds, dates, milliseconds and durations are read; nonsense is no wait, and a day is the longest."""
    asked = requested_wait(headers, NOW)
    assert (None if asked is None else asked.seconds) == (None if wait is None else pytest.approx(wait))


@each(
    ("headers", "wait"),
    [
        ({"retry-after": f"{NOW + 312:.0f}"}, 312.0),
        ({"retry-after": f"{NOW + 312.5:.1f}"}, 312.5),
        ({"retry-after": f"{(NOW + 312) * 1000:.0f}"}, 312.0),
        ({"retry-after": f"{NOW - 60:.0f}"}, 0.0),
        ({"retry-after": f"{NOW + 90:.0f}", "date": formatdate(NOW + 60, usegmt=True)}, 30.0),
        ({"retry-after": "1m30s"}, 90.0),
        ({"retry-after": "250ms"}, 0.25),
        ({"retry-after": "2023-11-14T22:14:20Z"}, 60.0),
        ({"retry-after": "2023-11-14T22:14:20.500+00:00"}, 60.5),
        ({"retry-after-ms": f"{(NOW + 5) * 1000:.0f}"}, 5.0),
        ({"retry-after": "soon", "x-ratelimit-remaining": "0", "x-ratelimit-reset": "12"}, 12.0),
        ({"ratelimit-remaining": "0", "ratelimit-reset": "50"}, 50.0),
        ({"ratelimit-reset": "50"}, 50.0),
        ({"ratelimit": "limit=10, remaining=0, reset=50"}, 50.0),
        ({"ratelimit": '"default";r=0;t=7'}, 7.0),
        ({"ratelimit": '"default";r=3;t=7'}, None),
        ({"ratelimitbysize-remaining": "0", "ratelimitbysize-reset": "9"}, 9.0),
        (
            {"anthropic-ratelimit-tokens-remaining": "0", "anthropic-ratelimit-tokens-reset": "2023-11-14T22:14:20Z"},
            60.0,
        ),
        (
            {
                "anthropic-ratelimit-requests-remaining": "40",
                "anthropic-ratelimit-requests-reset": "2023-11-14T23:13:20Z",
                "anthropic-ratelimit-input-tokens-remaining": "0",
                "anthropic-ratelimit-input-tokens-reset": "2023-11-14T22:13:50Z",
            },
            30.0,
        ),
        (
            {
                "x-ratelimit-remaining-requests": "59",
                "x-ratelimit-reset-requests": "1h0m0s",
                "x-ratelimit-remaining-tokens": "-12",
                "x-ratelimit-reset-tokens": "1m30s",
            },
            90.0,
        ),
        ({"x-ratelimit-remaining-tokens-minute": "0", "x-ratelimit-reset-tokens-minute": "21.5"}, 21.5),
        ({"x-ratelimit-remaining-requests": "5", "x-ratelimit-reset-requests": "1s"}, None),
        ({"x-ratelimit-limit": "5", "x-cache-reset": "9", "ratelimit-policy": "10;w=60"}, None),
    ],
)
def test_waits_are_read_in_all_forms_that_providers_write(headers, wait):
    """Unix times, dates, durations and rate-limit headers are read; of several limits the used-up one counts."""
    requested = requested_wait(headers, NOW, limited=True)
    assert (None if requested is None else requested.seconds) == (None if wait is None else pytest.approx(wait))


def test_how_a_wait_was_read_is_said():
    """The message has the header, its value and what it was read as, so that a user can check it."""
    failed = refused(429, None, {"retry-after": f"{NOW + 312:.0f}"})
    assert failed.reading == "retry-after: 1700000312 read as the time 22:18:32 UTC, 312 s from now"
    assert refused(429, None, {"retry-after": "1m30s"}).reading == "retry-after: 1m30s read as 90 s"
    assert "2023-11-15 22:13:20 UTC" in refused(429, None, {"retry-after": f"{NOW + 86400:.0f}"}).reading
    hostile = refused(429, None, {"retry-after": f"7{chr(27)}[31m {CANARY}"})
    assert (hostile.retry_after, hostile.reading) == (None, "")


def test_an_error_of_another_status_does_not_wait_for_limits_that_are_not_used_up():
    """Rate-limit headers come with every reply: without a remaining count they matter to a 429 only."""
    assert refused(429, None, {"ratelimit-reset": "50"}).retry_after == 50.0
    assert refused(500, None, {"ratelimit-reset": "50"}).retry_after is None
    assert refused(500, None, {"ratelimit-reset": "50", "ratelimit-remaining": "0"}).retry_after == 50.0


def test_openrouter_hands_on_headers_in_the_error():
    """The headers of OpenRouter's upstream provider are read from the error's metadata."""
    headers = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": f"{(NOW + 33) * 1000:.0f}"}
    error = {"error": {"code": 429, "message": "slow", "metadata": {"headers": headers}}}
    assert refused(429, error).retry_after == pytest.approx(33.0)


def test_an_error_may_say_itself_how_long_to_wait():
    """Gemini's RetryInfo is used if no header has a wait."""
    details = [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34s"}]
    error = [{"error": {"code": 429, "message": "quota", "status": "RESOURCE_EXHAUSTED", "details": details}}]
    assert refused(429, error).retry_after == 34.0
    assert refused(429, error, {"retry-after": "5"}).retry_after == 5.0


def test_waits_come_with_every_passing_failure():
    """A 503 or a 500 may ask for a wait too."""
    for status in (429, 500, 503, 529):
        assert refused(status, None, {"retry-after": "7"}).retry_after == 7.0


def test_large_errors_are_cut():
    """No more than 64 KiB of an error's body is read."""
    body = b"x" * (4 * MAX_ERROR_BYTES)
    assert len(str(failure(500, read_error(body), {}, "box", SECRET, NOW))) <= 300
