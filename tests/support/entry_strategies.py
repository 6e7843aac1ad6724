"""Hypothesis strategies for journal entries of every kind."""

from typing import Any

from hypothesis import strategies as st

from unerring.core.journal.entries import (
    DRAFT_SLOT,
    PROBE_SLOT,
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
from unerring.errors import FailureKind

NATURALS = st.integers(0, 2**63)
TIMES = st.floats(0, 1e12)


def plain_json(texts: st.SearchStrategy[str]) -> st.SearchStrategy[Any]:
    """JSON data that is neither a list nor an object."""
    return st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts


def objects(texts: st.SearchStrategy[str]) -> st.SearchStrategy[dict[str, Any]]:
    """JSON objects, nested ones too."""
    values = st.recursive(
        plain_json(texts),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
        max_leaves=8,
    )
    return st.dictionaries(texts, values, max_size=4)


def strategies(texts: st.SearchStrategy[str]) -> dict[type, st.SearchStrategy[Entry]]:
    """Kind of entry -> strategy for such entries, with these texts in every field that takes one."""
    at = st.none() | texts
    caps = st.none() | NATURALS
    turns = st.lists(st.builds(Message, texts, texts), max_size=3).map(tuple)
    switches = st.none() | st.booleans()
    latencies = st.none() | TIMES
    usages = st.builds(Usage, NATURALS, NATURALS)
    charges = st.builds(Charge, NATURALS, NATURALS, caps)
    limits = st.builds(SpendLimits, caps, caps, caps, st.none() | TIMES, st.booleans())
    tariffs = st.dictionaries(texts, st.builds(Tariff, NATURALS, NATURALS, NATURALS), max_size=3)
    slots = NATURALS | st.sampled_from([DRAFT_SLOT, PROBE_SLOT])
    parameters = objects(texts)
    opened = st.builds(
        Opened,
        process=texts,
        parameters=parameters,
        model=texts,
        policy=parameters,
        seed=st.integers(),
        start=texts,
        length=caps,
        software=texts,
        time=TIMES,
        plan=st.none() | parameters,
        request=st.none() | parameters,
        identity=st.none() | parameters,
        origin=st.none() | parameters,
    )
    flags = st.none() | st.sampled_from(FlagKind)
    judgements = st.lists(st.builds(Judgement, NATURALS, st.none() | texts, flags, st.none() | texts), max_size=3)
    sentences = st.lists(texts, max_size=3).map(tuple)
    return {
        Opened: opened,
        Allowed: st.builds(Allowed, limits, tariffs),
        Intent: st.builds(Intent, NATURALS, slots, NATURALS, at, st.none() | charges),
        Replies: calls(texts),
        Drafted: st.builds(Drafted, NATURALS, usages, at, st.none() | charges),
        Probed: st.builds(Probed, NATURALS, texts, charges),
        Voter: st.builds(Voter, NATURALS, texts),
        Served: st.builds(Served, NATURALS, texts),
        Failed: st.builds(
            Failed, NATURALS, slots, NATURALS, texts, at, st.sampled_from(FailureKind), st.none() | charges
        ),
        Shortlisted: st.builds(Shortlisted, NATURALS),
        Ruled: st.builds(Ruled, NATURALS, texts, TIMES),
        QuestionText: st.builds(QuestionText, NATURALS, sentences, at, st.none() | turns),
        Refused: st.builds(Refused, NATURALS, texts, at),
        Rejudged: st.builds(Rejudged, NATURALS, judgements.map(tuple), TIMES, at),
        Accepted: st.builds(Accepted, TIMES, sentences, texts, st.booleans(), parameters, st.none() | parameters),
        Inherited: st.builds(Inherited, NATURALS, texts, texts),
        ActBegun: st.builds(ActBegun, NATURALS, texts, texts, st.booleans(), TIMES, at),
        ActEnded: st.builds(ActEnded, NATURALS, texts, texts, TIMES, st.booleans()),
        ActErred: st.builds(ActErred, NATURALS, texts, TIMES, at, st.booleans()),
        Conceded: st.builds(Conceded, NATURALS, texts, texts),
        Redrawn: st.builds(Redrawn, NATURALS, TIMES, st.none() | texts),
        Cancelled: st.builds(Cancelled, NATURALS, slots, NATURALS, at, st.booleans()),
        Committed: st.builds(Committed, NATURALS, texts),
        Resumed: st.builds(Resumed, TIMES, caps, caps, switches, switches, caps),
        Paused: st.builds(Paused, texts, texts, TIMES, latencies),
        Finished: st.builds(Finished, NATURALS, TIMES, latencies),
    }


def calls(texts: st.SearchStrategy[str]) -> st.SearchStrategy[Replies]:
    """The samples of one call, one to four, each with any fields that a sample can have."""
    said = st.fixed_dictionaries(
        {
            "text": texts | NATURALS,
            "choice": st.none() | texts | NATURALS,
            "flag": st.none() | st.sampled_from(FlagKind),
            "usage": st.builds(Usage, NATURALS, NATURALS, st.just(0) | NATURALS),
            "finish": st.sampled_from(Finish),
            "logprob": st.none() | st.floats(-1e300, 1e300),  # what `Sample.rounded_logprob` gives
            "voter": NATURALS,
            "reply_id": st.none() | texts,
            "reason": st.none() | texts,
        }
    )

    def call(step: int, first: int, samples: list[dict[str, Any]], at: str | None, question: str | None) -> Replies:
        return Replies(tuple(Reply(step, first + i, **sample) for i, sample in enumerate(samples)), at, question)

    optional = st.none() | texts
    return st.builds(call, NATURALS, NATURALS, st.lists(said, min_size=1, max_size=4), optional, optional)
