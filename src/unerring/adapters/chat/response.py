"""Convert a chat reply into samples or a failure, and say whether a cache answered. No I/O.

Any bytes at all become samples or a failure. A valid reply is decoded straight into the few fields that are used; any
other goes to `lenient.py`. Both are bounded in what they build: no reply may have more braces and commas than the
log-probabilities of all its tokens take.
"""

import math
import zlib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import TypeAlias

import msgspec

from unerring.adapters.chat.finish_reasons import MAX_FINISH_CHARS, finish_of
from unerring.adapters.chat.lenient import (
    END_TOKEN_TEXT,
    ReplyBody,
    ReplyChoice,
    ReplyMessage,
    is_there,
    number,
    read_leniently,
)
from unerring.adapters.chat.tool_calls import with_calls_as_text
from unerring.adapters.http.client import MAX_REPLY_BYTES
from unerring.adapters.http.errors import ErrorBody, Failure, failure, one_line, read_error
from unerring.adapters.http.spec import Secret
from unerring.core.voting.sample import Finish, Sample, Usage, min_tokens
from unerring.errors import FailureKind, ProviderBusy

Outcome: TypeAlias = list[Sample] | Failure

# Inflating takes longer than reading, and is never asked for: requests say `accept-encoding: identity`.
MAX_INFLATED_BYTES = 4 << 20
MAX_TEXT_CHARS = 1 << 20  # a longer answer is cut there and counts as cut off
MIN_COUNTED_BYTES = 1 << 16  # replies so long have their braces, commas and backslashes counted
MAX_MARKS = {b"{": 150_000, b",": 1_000_000, b"\\": 3_000_000}  # a reply all in \uXXXX has fewer backslashes
MAX_LOGPROB = 1e-3  # log-probabilities are 0 at most; rounding may take their mean a little above
MAX_SERVED_CHARS = 200
MIN_ID_END_CHARS = 8  # of a reply's id, after its last dash
MAX_TIME_DIGITS = 13  # as many as milliseconds since 1970 have


class ExpectedReply(msgspec.Struct, frozen=True):
    """The request that a reply answers.

    n: the most samples.
    limit: the most tokens of a sample; negative where it is not known.
    input_worst: the most tokens that the prompt can have.
    voter: the sampler's name.
    place: the endpoint's name in messages.
    secret: the key, which is removed from all texts.
    now: the time of the answer, seconds since 1970.
    seconds: how long the call took.
    with_reasons: whether the server gives a finish reason with each answer.
    stops: whether stop sequences were sent.
    tools: whether tools were sent, so that calls of them are the answer.
    """

    n: int
    limit: int
    input_worst: int
    voter: str
    place: str
    secret: Secret
    now: float
    seconds: float
    with_reasons: bool = False
    stops: bool = False
    tools: bool = False


def outcome(status: int, headers: Mapping[str, str], body: bytes, expected: ExpectedReply) -> Outcome:
    """Convert a reply into samples, between one and `n`, or into a failure.

    Header names are looked up in lower case; the mapping may ignore case. The body is `MAX_REPLY_BYTES` long at most;
    a longer one is to be cut one byte beyond that.
    """
    if not 200 <= status <= 299:
        return _refused(status, headers, read_error(_plain(headers, body) or b""), expected)
    if len(body) > MAX_REPLY_BYTES:
        return _unknown(
            f"the reply is larger than {MAX_REPLY_BYTES >> 20} MiB (logprobs=off makes it smaller)", expected
        )
    plain = _plain(headers, body)
    if plain is None:
        return _unknown("the reply is compressed, in an unknown form or incompletely", expected)
    if len(plain) > MIN_COUNTED_BYTES and any(plain.count(mark) > most for mark, most in MAX_MARKS.items()):
        return _unknown("the reply has more parts than an answer can have", expected)
    reply: ReplyBody | None
    try:
        reply = _decode(plain)
    except (msgspec.MsgspecError, ValueError, RecursionError):  # a UnicodeDecodeError is a ValueError
        reply = read_leniently(plain)
    if reply is None:
        start = one_line(read_error(plain).message, expected.secret)
        return _unknown(f"the reply is not a JSON object: {start}", expected)
    choices = [choice for choice in reply.choices or () if not is_there(choice.error)]
    if expected.tools:
        choices = [with_calls_as_text(choice) for choice in choices]
    return _samples(reply, choices[: expected.n], headers, expected) if choices else _empty(reply, headers, expected)


_decode = msgspec.json.Decoder(ReplyBody).decode


def _empty(reply: ReplyBody, headers: Mapping[str, str], expected: ExpectedReply) -> Outcome:
    """The failure of a reply without answers, by the status of its error if it has one."""
    read, _, written = (None, 0, None) if reply.usage is None else reply.usage.counts()
    tokens = None if not read or written is None else (read, written)  # no prompt is empty
    errors = [reply.error, *(choice.error for choice in reply.choices or ())]
    raw = next(filter(is_there, errors), None)
    if raw is None:
        return _unknown("the reply has no choice in it", expected, tokens)
    error = read_error(bytes(raw))
    if error.status is None:
        return _unknown(f"the reply is an error: {error.message}", expected, tokens)
    if error.status in {400, 403, 422} and error.filtered:  # perhaps the answer was filtered: another one may pass
        return [Sample("", Usage(), Finish.REFUSED, voter=expected.voter, seconds=expected.seconds)]
    failed = _refused(error.status, headers, error, expected)
    if isinstance(failed, ProviderBusy):
        failed.tokens = tokens
    return failed


def _samples(
    reply: ReplyBody, choices: list[ReplyChoice], headers: Mapping[str, str], expected: ExpectedReply
) -> list[Sample]:
    read, cached, written = (None, 0, None) if reply.usage is None else reply.usage.counts()
    copied = is_cache_hit(headers) or (read == 0 == written and any(_answer(choice)[0] for choice in choices))
    if not read:  # no prompt is empty: its tokens were not counted
        read, cached = expected.input_worst, 0
    served = _served(reply, expected.secret)
    outputs = _outputs(written, choices, expected.limit, expected.stops)
    samples = []  # the prompt is charged once, to the first sample
    for place, choice in enumerate(choices):
        text, finish = _answer(choice, expected.with_reasons)
        reason = choice.finish_reason
        sample = Sample(
            expected.secret.scrubbed(text),
            Usage(read, outputs[place], cached) if place == 0 else Usage(0, outputs[place]),
            finish,
            _mean_logprob(choice),
            expected.voter,
            _sample_id(reply.id, place, expected.place),
            copied,
            served,
            expected.seconds,
            reason if reason is None or reason == "stop" else one_line(reason, expected.secret)[:MAX_FINISH_CHARS],
            None if (created := number(reply.created)) is None else created - expected.now,
            None if (text and not text.isspace()) or choice.message is None else choice.message.in_place_of_text(),
        )
        samples.append(sample)
    return samples


def _answer(choice: ReplyChoice, with_reasons: bool = False) -> tuple[str, Finish]:
    """The text of a choice, and why it ended."""
    message = choice.message
    finish = finish_of(choice.finish_reason, with_reasons)
    if message is None:
        text = choice.text or ""
    else:
        text = message.content if isinstance(message.content, str) else _joined(message)
        if message.refusal:
            finish = Finish.REFUSED
            text = text or message.refusal
    if len(text) > MAX_TEXT_CHARS:
        return text[:MAX_TEXT_CHARS], Finish.LENGTH if finish is Finish.STOP else finish
    return text, finish


def _joined(message: ReplyMessage) -> str:
    """The text of content in parts, without reasoning and parts that are not text."""
    parts = message.content if isinstance(message.content, list) else ()
    return "".join(part.text for part in parts if part.text and part.type in {"text", "output_text", ""})


def _mean_logprob(choice: ReplyChoice) -> float | None:
    """The mean log-probability of the tokens; None where there is none, or it is not a valid one."""
    each = _logprobs(choice)
    if not each:
        return None
    mean = sum(each) / len(each)
    return min(mean, 0.0) if -math.inf < mean <= MAX_LOGPROB else None  # NaN fails both comparisons


def _logprobs(choice: ReplyChoice) -> list[float]:
    logprobs = choice.logprobs
    if logprobs is None:
        return []
    if logprobs.content:
        return [token.logprob for token in logprobs.content if token.logprob is not None]
    return [logprob for logprob in logprobs.token_logprobs or () if logprob is not None]


def _outputs(written: int | None, choices: Sequence[ReplyChoice], limit: int, stops: bool) -> Sequence[int]:
    """The output tokens of each sample: `written` in all, or more where the samples show more.

    Some servers count one of several samples (llama.cpp), or none. A sample has at least as many tokens as it has
    log-probabilities. Of several samples, one without log-probabilities that was cut off has as many as its limit, and
    one that a stop sequence may have ended has a token more, which llama.cpp counts and does not show. Counted tokens
    are split by the number of log-probabilities where each sample has them, else evenly. Where there is text and no
    count, each sample is charged its limit.
    """
    if not written and (written is None or any(_answer(choice)[0] for choice in choices)):
        return [limit] * len(choices)
    weights = [_token_count(choice) for choice in choices]
    if len(choices) == 1:
        return (max(written, weights[0]),)
    shown = [
        _with_its_end(weight, choice, limit, stops) or _least_of_several(choice, limit)
        for weight, choice in zip(weights, choices, strict=True)
    ]
    if limit < 0 and limit in shown:  # the limit is not known here: it is charged later
        return [limit] * len(choices)
    if sum(shown) >= written:
        return shown
    weights = weights if all(weights) else [1] * len(choices)
    total, weighed, assigned, outputs = sum(weights), 0, 0, []
    for weight in weights:
        weighed += weight
        outputs.append(-(-written * weighed // total) - assigned)
        assigned += outputs[-1]
    return outputs


def _with_its_end(tokens: int, choice: ReplyChoice, limit: int, stops: bool) -> int:
    """The tokens that a sample shows, and one more where a stop sequence removed its end from view."""
    if not tokens or not stops or _answer(choice)[1] is not Finish.STOP:
        return tokens
    content = None if choice.logprobs is None else choice.logprobs.content
    if content and bytes(content[-1].token) == bytes(END_TOKEN_TEXT):
        return tokens
    return tokens + 1 if limit < 0 else max(tokens, min(tokens + 1, limit))


def _least_of_several(choice: ReplyChoice, limit: int) -> int:
    text, finish = _answer(choice)
    return limit if finish is Finish.LENGTH else min_tokens(text)


def _token_count(choice: ReplyChoice) -> int:
    logprobs = choice.logprobs
    return 0 if logprobs is None else len(logprobs.content or logprobs.token_logprobs or ())


def _sample_id(reply_id: str | None, number: int, place: str) -> str | None:
    """The id of a sample; None where the reply has no id, or one that another reply may have as well.

    The host is part of it, since two servers may both number their replies. Ollama draws its ids from 999
    (`chatcmpl-123`), and other servers take the time of day: samples with such ids must not count as copies.
    """
    end = "" if reply_id is None else reply_id.rpartition("-")[2]
    if len(end) < MIN_ID_END_CHARS or end.isalpha() or (len(end) <= MAX_TIME_DIGITS and end.isdigit()):
        return None
    return blake2b(f"{place} {reply_id}:{number}".encode("utf-8", "replace"), digest_size=8).hexdigest()


def _served(reply: ReplyBody, secret: Secret) -> str | None:
    if not reply.model:
        return None
    served = f"{reply.model} {reply.system_fingerprint}" if reply.system_fingerprint else reply.model
    if len(served) <= MAX_SERVED_CHARS and served.isprintable():
        return secret.scrubbed(served)
    return one_line(served, secret)[:MAX_SERVED_CHARS]


def is_cache_hit(headers: Mapping[str, str]) -> bool:
    """Whether the headers say that a reply was served from a cache of replies.

    The word HIT in any header about a cache: x-cache (Fastly, CloudFront, Varnish), cf-cache-status and
    cf-aig-cache-status (Cloudflare), helicone-cache, x-openrouter-cache-status, x-portkey-cache-status (HIT, SEMANTIC
    HIT), x-cache-status (Kong, Higress, nginx), x-ai-cache-status (APISIX: HIT-L1), cache-status (RFC 9211). LiteLLM
    sends x-litellm-cache-key with hits alone. `age` is a cache's (RFC 9111, section 5.1). Caches of prompts do
    not count.
    """
    return any(_is_cache_header(name) and _says_hit(name.lower(), value.lower()) for name, value in headers.items())


@lru_cache(maxsize=1024)
def _is_cache_header(name: str) -> bool:
    """Whether a header of this name is about caches of replies; memoized, since all replies have the same names."""
    lowered = name.lower()
    if lowered == "age":
        return True
    other = ("cache-control", "prompt", "prefix", "token", "kv")
    return "cache" in lowered and not any(word in lowered for word in other)


_STALE_HITS = {"stale", "updating", "revalidated"}  # of Cloudflare: served from its cache too


def _says_hit(name: str, value: str) -> bool:
    if name == "age":
        return value.strip().isdigit() and value.strip("0 ") != ""
    if name == "x-litellm-cache-key":
        return value not in {"", "none"}
    if name.endswith(("cache-hit", "cache-hits", "cached")):
        return any(part.strip() not in {"", "0", "false", "no", "miss", "none"} for part in value.split(","))
    words = value.replace("_", " ").replace("-", " ").replace(";", " ").replace(",", " ").replace("=", " ").split()
    return any(word in {"hit", "refreshhit"} for word in words) or (name == "cf-cache-status" and value in _STALE_HITS)


def _plain(headers: Mapping[str, str], body: bytes) -> bytes | None:
    """The body, decompressed; None where its compression is unknown, broken or too large."""
    encoding = headers.get("content-encoding", "identity").strip().lower()
    if encoding in {"identity", ""}:
        return body
    if encoding not in {"gzip", "x-gzip", "deflate"}:
        return None
    # 32 accepts gzip and zlib by their first bytes; some servers send deflate without zlib's
    for window in (zlib.MAX_WBITS | 32, -zlib.MAX_WBITS):
        inflater = zlib.decompressobj(window)
        try:
            plain = inflater.decompress(body, MAX_INFLATED_BYTES)
        except zlib.error:
            continue
        return plain if inflater.eof else None
    return None


def _refused(status: int, headers: Mapping[str, str], error: ErrorBody, expected: ExpectedReply) -> Failure:
    if not 300 <= status <= 599:
        return _unknown(f"it answered {status}, which is not the status of a reply", expected)
    return failure(status, error, headers, expected.place, expected.secret, expected.now)


def _unknown(words: str, expected: ExpectedReply, tokens: tuple[int, int] | None = None) -> ProviderBusy:
    return ProviderBusy(one_line(f"{expected.place}: {words}", expected.secret), None, FailureKind.UNKNOWN, tokens)
