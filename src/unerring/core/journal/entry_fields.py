"""Entries as lists of JSON values, the kind first: what `unerring.core.journal.codec` writes as bytes.

Trailing fields that are None are left out, so that a field can be added to a kind without a change of older entries.
"""

from typing import Any

from unerring.core.journal.entries import (
    JOURNAL_VERSION,
    Allowed,
    Cancelled,
    Committed,
    Drafted,
    Entry,
    Failed,
    Finished,
    Inherited,
    Intent,
    Opened,
    Paused,
    Probed,
    QuestionText,
    Refused,
    Replies,
    Reply,
    Resumed,
    Served,
    Shortlisted,
    Voter,
)
from unerring.core.journal.function_entries import ActBegun, ActEnded, ActErred, Conceded
from unerring.core.journal.review_entries import Accepted, Judgement, Redrawn, Rejudged, Ruled
from unerring.core.journal.spend import Charge, SpendLimits, Tariff
from unerring.core.voting.redflag import FlagKind
from unerring.core.voting.sample import Finish, Message, Usage
from unerring.errors import FailureKind, JournalTooNew


def fields_of(entry: Entry) -> list[Any]:
    """The kind of an entry and its fields, as JSON values."""
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
            return _function_fields(entry) or _session_fields(entry)


def _function_fields(entry: Entry) -> list[Any] | None:
    """The same for kinds that only function processes have; None for others."""
    match entry:
        case ActBegun(step, name, key, once, time, arguments):
            return _trimmed(["act", step, name, key, once, time, arguments])
        case ActEnded(step, result, state, time, by_person):
            return _trimmed(["acted", step, result, state, time, by_person or None])
        case ActErred(step, reason, time, state, by_person):
            return _trimmed(["erred", step, reason, time, state, by_person or None])
        case Conceded(step, reason, state):
            return ["conceded", step, reason, state]
    return None


def _session_fields(entry: Entry) -> list[Any]:
    """The same for kinds of which a journal has few."""
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
    """The fields without the trailing ones that are None."""
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


def entry_of(kind: object, values: list[Any]) -> Entry:
    """The entry of a kind with these fields.

    Raises `JournalTooNew` for a kind or format that this version does not know, `ValueError` for other fields.
    """
    try:
        entry = (
            _step_entry(kind, values)
            or _open_step_entry(kind, values)
            or _function_entry(kind, values)
            or _session_entry(kind, values)
        )
    except (TypeError, ValueError, IndexError, RecursionError) as error:
        raise ValueError(f"not an entry: {error}") from None
    if entry is not None:
        return entry
    if isinstance(kind, str) and kind not in KINDS:
        raise JournalTooNew(_too_new(f"entry kind {kind!r}"))
    raise ValueError(f"not an entry: its fields are not those of kind {kind!r}")


def _step_entry(kind: object, values: list[Any]) -> Entry | None:
    """Read the entries that nearly all of a journal consists of; None for other kinds."""
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
    """Read the entries about steps that votes did not decide, or that were inherited; None for other kinds."""
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


def _function_entry(kind: object, values: list[Any]) -> Entry | None:
    """Read the entries that only function processes have; None for other kinds."""
    match kind, values:
        case "act", [int(step), str(name), str(key), bool(once), int() | float() as time, *rest]:
            return ActBegun(step, name, key, once, time, _digest(*_padded(rest, 1)))
        case "acted", [int(step), str(result), str(state), int() | float() as time, *rest] if rest in ([], [True]):
            return ActEnded(step, result, state, time, bool(rest))
        case "erred", [int(step), str(reason), int() | float() as time, *rest]:
            at, by_person = _padded(rest, 2)
            return ActErred(step, reason, time, _digest(at), by_person is True)
        case "conceded", [int(step), str(reason), str(state)]:
            return Conceded(step, reason, state)
    return None


def _session_entry(kind: object, values: list[Any]) -> Entry | None:
    """Read the entries about the run as a whole; None for other kinds."""
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
    """The trailing fields, with None for those that were left out."""
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
    # not by patterns, which take twice as long: a journal has millions of these
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
_KINDS_OF_FUNCTIONS = "act acted erred conceded"
KINDS = frozenset(f"{_KINDS_OF_STEPS} {_KINDS_OF_FUNCTIONS} opened resumed paused finished allowed accepted".split())


def _too_new(what: str) -> str:
    return f"this journal uses {what}, which this version of unerring does not know; upgrade unerring to read it"
