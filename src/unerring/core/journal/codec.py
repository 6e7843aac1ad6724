"""How each entry of a journal becomes bytes and comes back.

An entry's bytes are a JSON array, its kind first, and deflated (RFC 1951) where that is shorter: a JSON array starts
with `[`, a deflated one with a zero byte.

A running hash ties each entry to all before it: hash(n) = BLAKE2b-128(hash(n-1) + bytes(n)). An entry that
was changed, cut out or put in shows at its own number.
"""

import json
import zlib
from hashlib import blake2b
from typing import Any

import msgspec

from unerring.core.journal.entries import (
    JOURNAL_VERSION,
    Accepted,
    Allowed,
    Cancelled,
    Committed,
    Drafted,
    Entry,
    Failed,
    Finished,
    Inherited,
    Intent,
    Judgement,
    Opened,
    Paused,
    Probed,
    QuestionText,
    Redrawn,
    Refused,
    Rejudged,
    Replies,
    Reply,
    Resumed,
    Ruled,
    Served,
    Shortlisted,
    Voter,
)
from unerring.core.journal.spend import Charge, SpendLimits, Tariff
from unerring.core.voting.redflag import FlagKind
from unerring.core.voting.sample import Finish, Message, Usage
from unerring.errors import FailureKind, JournalTooNew

GENESIS_HASH = bytes(16)
MAX_ENTRY_BYTES = 16 << 20  # an entry longer than this is not deflated

_AS_JSON = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False)
# What json does, in a tenth of its time, for nearly all entries.
_TO_JSON, _FROM_JSON = msgspec.json.Encoder().encode, msgspec.json.Decoder().decode


def next_hash(previous: bytes, body: bytes) -> bytes:
    """The running hash after an entry, 16 bytes; `GENESIS_HASH` stands before the first."""
    return blake2b(previous + body, digest_size=16).digest()


def encode(entry: Entry) -> bytes:
    """Write an entry as bytes."""
    text = _json_bytes(entry)
    if not 100 <= len(text) <= MAX_ENTRY_BYTES:
        return text
    squeezer = zlib.compressobj(6, zlib.DEFLATED, -12, 5)
    squeezed = b"\0" + squeezer.compress(text) + squeezer.flush()
    return min(text, squeezed, key=len)


def _json_bytes(entry: Entry) -> bytes:
    """An entry as JSON text."""
    fields = _fields(entry)
    try:
        if not isinstance(entry, Opened | Accepted):  # which hold a user's own data, and are few
            return _TO_JSON(fields)
    except UnicodeEncodeError:  # a model may write anything, half of a surrogate pair too: what came is what is kept
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
    return _entry(fields[0], fields[1:])


def _read(text: bytes) -> Any:
    """The value of a JSON text, as `json` reads it."""
    try:
        return _FROM_JSON(text)
    except ValueError:  # half of a surrogate pair, which is no JSON to everybody, or a number beyond all floats
        return json.loads(text.decode("utf-8", "surrogatepass"))


def _inflated(body: bytes) -> bytes:
    """The text of a deflated entry; a few bytes can claim to be gigabytes, so there is an end to it."""
    inflater = zlib.decompressobj(-12)
    text = inflater.decompress(body[1:], MAX_ENTRY_BYTES)
    if not inflater.eof:
        raise ValueError(f"it is cut off, or holds more than {MAX_ENTRY_BYTES:,} bytes")
    return text


def _fields(entry: Entry) -> list[Any]:
    match entry:
        case Replies(replies, at, question):
            first, samples = replies[0], map(_sample_fields, replies)
            if question is None:
                return ["r", first.step, first.slot, at, *samples]
            return ["rq", first.step, first.slot, at, question, *samples]
        case QuestionText(step, wordings, at, messages):
            before = None if messages is None else [list(one) for one in messages]
            return _trimmed(["q", step, list(wordings), at, before])
        case Committed(step, state):
            return ["c", step, state]
        case Intent(step, slot, count, at, worst):
            return _trimmed(["i", step, slot, count, at, _charge_fields(worst)])
        case Drafted(step, usage, at, charge):
            return _trimmed(["d", step, usage.input_tokens, usage.output_tokens, at, _charge_fields(charge)])
        case Probed(step, finding, charge, slot):
            return ["p", step, finding, _charge_fields(charge), slot]
        case Voter(number, name):
            return ["v", number, name]
        case Served(voter, model):
            return ["s", voter, model]
        case Failed(step, slot, count, reason, at, kind, charge):
            cause = None if kind is FailureKind.TRANSIENT else kind.value
            return _trimmed(["f", step, slot, count, reason, at, cause, _charge_fields(charge)])
        case Cancelled(step, slot, count, at, wrong_guess):
            return _trimmed(["x", step, slot, count, at, wrong_guess or None])
        case _:
            return _session_fields(entry)


def _session_fields(entry: Entry) -> list[Any]:
    match entry:
        case Refused(step, reason, at):
            return _trimmed(["refused", step, reason, at])
        case Shortlisted(step):
            return ["shortlisted", step]
        case Ruled(step, choice, time):
            return ["ruled", step, choice, time]
        case Redrawn(step, time, model):
            return ["redrawn", step, time, model]
        case Rejudged(step, judgements, time, at):
            each = [_trimmed([one.slot, one.choice, _flag_name(one.flag), one.reason]) for one in judgements]
            return _trimmed(["rejudged", step, time, each, at])
        case Accepted(time, changes, state, keep, parameters, identity):
            return _trimmed(["accepted", time, list(changes), state, keep, parameters, identity])
        case Inherited(step, choice, state):
            return ["inherited", step, choice, state]
        case Resumed(time, vote_cap, flag_cap, nonce, echo, min_replies):
            return ["resumed", time, vote_cap, flag_cap, *_trimmed(["", nonce, echo, min_replies])[1:]]
        case Paused(kind, reason, time, latency):
            return _trimmed(["paused", kind, reason, time, latency])
        case Finished(steps, time, latency):
            return _trimmed(["finished", steps, time, latency])
        case Allowed(limits, tariffs):
            prices = {name: [one.input, one.output, one.cached] for name, one in tariffs.items()}
            strict = [True] if limits.strict else []
            return ["allowed", limits.money, limits.tokens, limits.calls, limits.seconds, prices, *strict]
        case Opened():
            names = ["process", "parameters", "model", "policy", "seed", "start", "length", "software", "time"]
            names += [name for name in _OPTIONAL_OBJECTS if getattr(entry, name) is not None]
            return ["opened", entry.version, {name: getattr(entry, name) for name in names}]
    raise AssertionError(entry)


def _trimmed(fields: list[Any]) -> list[Any]:
    """The fields without the last ones that have nothing to say."""
    while fields[-1] is None:
        fields.pop()
    return fields


def _charge_fields(charge: Charge | None) -> list[Any] | None:
    return None if charge is None else [charge.input_tokens, charge.output_tokens, charge.money]


def _sample_fields(reply: Reply) -> list[Any]:
    cause = _flag_name(reply.flag)
    tokens = [reply.usage.input_tokens, reply.usage.output_tokens]
    fields = [reply.text, reply.choice, cause, *tokens, _FINISHES.index(reply.finish), reply.logprob, reply.voter]
    return _trimmed([*fields, reply.reply_id, reply.usage.cached_tokens or None, reply.reason])


def _flag_name(flag: FlagKind | None) -> str | None:
    return None if flag is None else flag.value


def _entry(kind: object, values: list[Any]) -> Entry:
    try:
        entry = _step_entry(kind, values) or _open_step_entry(kind, values) or _session_entry(kind, values)
    except (TypeError, ValueError, IndexError, RecursionError) as error:
        raise ValueError(f"not an entry: {error}") from None
    if entry is not None:
        return entry
    if isinstance(kind, str) and kind not in KINDS:
        raise JournalTooNew(_too_new(f"entry kind {kind!r}"))
    raise ValueError(f"not an entry: its fields are not those of kind {kind!r}")


def _step_entry(kind: object, values: list[Any]) -> Entry | None:
    match kind, values:
        case "r", [int(step), int(slot), (str() | None) as at, _, *_]:
            return _replies(step, slot, values[3:], at, None)
        case "rq", [int(step), int(slot), (str() | None) as at, str(question), _, *_]:
            return _replies(step, slot, values[4:], at, question)
        case "q", [int(step), [*wordings], *rest] if all(isinstance(one, str) for one in wordings):
            at, before = _padded(rest, 2)
            return QuestionText(step, tuple(wordings), _digest(at), None if before is None else _messages(before))
        case "c", [int(step), str(state)]:
            return Committed(step, state)
        case "i", [int(step), int(slot), int(count), *rest]:
            at, worst = _padded(rest, 2)
            return Intent(step, slot, count, _digest(at), _charge(worst))
        case "d", [int(step), int(read), int(written), *rest]:
            at, charge = _padded(rest, 2)
            return Drafted(step, Usage(read, written), _digest(at), _charge(charge))
        case "v", [int(number), str(name)]:
            return Voter(number, name)
        case "f", [int(step), int(slot), int(count), str(reason), *rest]:
            at, cause, charge = _padded(rest, 3)
            failure = FailureKind.TRANSIENT if cause is None else FailureKind(cause)
            return Failed(step, slot, count, reason, _digest(at), failure, _charge(charge))
        case "x", [int(step), int(slot), int(count), *rest]:
            at, wrong_guess = _padded(rest, 2)
            return Cancelled(step, slot, count, _digest(at), wrong_guess is True)
        case "p", [int(step), str(finding), [int(read), int(written), (int() | None) as money], int(slot)]:
            return Probed(step, finding, Charge(read, written, money), slot)
        case "s", [int(voter), str(model)]:
            return Served(voter, model)
    return None


def _open_step_entry(kind: object, values: list[Any]) -> Entry | None:
    match kind, values:
        case "shortlisted", [int(step)]:
            return Shortlisted(step)
        case "refused", [int(step), str(reason), *rest]:
            return Refused(step, reason, _digest(*_padded(rest, 1)))
        case "ruled", [int(step), str(choice), int() | float() as time]:
            return Ruled(step, choice, time)
        case "redrawn", [int(step), int() | float() as time, (str() | None) as model]:
            return Redrawn(step, time, model)
        case "rejudged", [int(step), int() | float() as time, [*each], *rest]:
            return Rejudged(step, tuple(map(_judgement, each)), time, _digest(*_padded(rest, 1)))
        case "inherited", [int(step), str(choice), str(state)]:
            return Inherited(step, choice, state)
    return None


def _session_entry(kind: object, values: list[Any]) -> Entry | None:
    match kind, values:
        case "resumed", [int() | float() as time, (int() | None) as vote_cap, (int() | None) as flag_cap, *rest]:
            match _padded(rest, 3):
                case [(bool() | None) as nonce, (bool() | None) as echo, (int() | None) as replies]:
                    return Resumed(time, vote_cap, flag_cap, nonce, echo, replies)
        case "paused", [str(cause), str(reason), int() | float() as time, *rest]:
            return Paused(cause, reason, time, _seconds(rest))
        case "finished", [int(steps), int() | float() as time, *rest]:
            return Finished(steps, time, _seconds(rest))
        case "accepted", [
            int() | float() as time,
            [*changes],
            str(state),
            bool(keep),
            dict(parameters),
            *rest,
        ] if all(isinstance(one, str) for one in changes):
            (identity,) = _padded(rest, 1)
            if isinstance(identity, dict | None):
                return Accepted(time, tuple(changes), state, keep, parameters, identity)
        case "allowed", [
            (int() | None) as money,
            (int() | None) as tokens,
            (int() | None) as calls,
            (int() | float() | None) as seconds,
            dict() as prices,
            *rest,
        ] if rest in ([], [True]):
            limits = SpendLimits(money, tokens, calls, seconds, strict=bool(rest))
            return Allowed(limits, {name: _tariff(one) for name, one in prices.items()})
        case "opened", [int(version), *rest]:
            if version > JOURNAL_VERSION:
                raise JournalTooNew(_too_new(f"version {version}"))
            return _opened(version, *rest)
    return None


def _replies(step: int, slot: int, samples: list[Any], at: str | None, question: str | None) -> Replies:
    return Replies(tuple(_reply(step, slot + offset, fields) for offset, fields in enumerate(samples)), at, question)


def _judgement(fields: Any) -> Judgement:
    slot, *rest = fields
    choice, cause, reason = _padded(rest, 3) if rest else (None, None, None)
    if type(slot) is not int or not isinstance(choice, str | None) or not isinstance(reason, str | None):
        raise ValueError("its fields are not those of a judgement")
    return Judgement(slot, choice, None if cause is None else FlagKind(cause), reason)


def _padded(fields: list[Any], count: int) -> list[Any]:
    """Last fields, with those that were left out."""
    if len(fields) > count or (fields and fields[-1] is None):
        raise ValueError("its last fields are not those of its kind")
    return fields + [None] * (count - len(fields))


def _digest(at: object) -> str | None:
    if at is None or isinstance(at, str):
        return at
    raise ValueError("its state is not a digest")


def _charge(fields: object) -> Charge | None:
    match fields:
        case None:
            return None
        case [int(read), int(written), (int() | None) as money]:
            return Charge(read, written, money)
    raise ValueError("its charge is not tokens and money")


def _tariff(fields: object) -> Tariff:
    match fields:
        case [int(read), int(written), int(cached)]:
            return Tariff(read, written, cached)
    raise ValueError("its prices are not prices")


def _messages(fields: Any) -> tuple[Message, ...]:
    if not all(isinstance(text, str) for role, content in fields for text in (role, content)):
        raise ValueError("its messages are no messages")
    return tuple(Message(role, content) for role, content in fields)


def _seconds(rest: list[Any]) -> float | None:
    match rest:
        case []:
            return None
        case [int() | float() as latency]:
            return latency
    raise ValueError("its last field is not a number of seconds")


def _opened(version: int, fields: Any) -> Opened:
    match fields:
        case {
            "process": str(),
            "parameters": dict(),
            "model": str(),
            "policy": dict(),
            "seed": int(),
            "start": str(),
            "length": int() | None,
            "software": str(),
            "time": int() | float(),
        } if all(isinstance(fields.get(name, {}), dict) for name in _OPTIONAL_OBJECTS):
            return Opened(**fields, version=version)
    raise ValueError("its fields are not those of an opening entry")


def _reply(step: int, slot: int, fields: Any) -> Reply:
    # a journal has millions of these: matching the fields as patterns took twice as long
    text, choice, cause, read, written, cut, logprob, voter, *rest = fields
    reply_id, cached, reason = _padded(rest, 3) if rest else _NO_FIELDS
    if not (
        type(text) in _REFERENCE_TYPES
        and (choice is None or type(choice) in _REFERENCE_TYPES)
        and (type(read), type(written), type(cut), type(voter)) == (int, int, int, int)
        and (logprob is None or type(logprob) in _NUMBER_TYPES)
        and (reply_id is None or type(reply_id) is str)
        and (cached is None or type(cached) is int)
        and (reason is None or type(reason) is str)
        and 0 <= cut < len(_FINISHES)
    ):
        raise ValueError("its fields are not those of a sample")
    flag = None if cause is None else FlagKind(cause)
    usage = Usage(read, written, cached or 0)
    return Reply(step, slot, text, choice, flag, usage, _FINISHES[cut], logprob, voter, reply_id, reason)


_NO_FIELDS = (None, None, None)
_OPTIONAL_OBJECTS = (
    "plan",
    "request",
    "identity",
    "origin",
)  # objects that the opening entry leaves out where it has none
_FINISHES = (Finish.STOP, Finish.LENGTH, Finish.REFUSED, Finish.OTHER)  # by their numbers in journals: append only
_REFERENCE_TYPES = frozenset({str, int})
_NUMBER_TYPES = frozenset({int, float})
_KINDS_OF_STEPS = "r rq q c i d p v s f x refused shortlisted ruled redrawn rejudged inherited"
KINDS = frozenset(f"{_KINDS_OF_STEPS} opened resumed paused finished allowed accepted".split())


def _too_new(what: str) -> str:
    return f"this journal uses {what}, which this version of unerring does not know; upgrade unerring to read it"
