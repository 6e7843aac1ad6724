"""Each fault of the fault server does what its name says."""

import time
from collections import Counter
from email.utils import parsedate_to_datetime

from faults.answers import noise
from faults.asking import CHAIN, QUESTION, asking, left
from faults.breakages import COMPUTED, UNCOMPUTED, Measures
from faults.distortions import DISTORTIONS
from faults.faults import REJECTIONS, Fault, rate_limited
from faults.script import listed
from faults.server import serving
from tables import each

RIGHT = CHAIN.rehearse(QUESTION.compact).right
ENDLESS = (Fault.HANG, Fault.SPACES, Fault.ORPHAN_HANG, Fault.SILENCE, Fault.DRIP)


def met(fault, fields=None, **setup):
    """The outcome of one request with a fault, and its entry. A plain request on the same connection goes before."""
    setup = {"measures": Measures(pace=1.0, huge=1 << 20), "models": {"noise": noise(p=1.0)}} | setup
    with serving(script=listed(None, fault), **setup) as server:

        async def work(client):
            first = await client.ask(n=2)
            assert first.status == 200
            call = client.ask(**({"n": 2, "seed": 2} | (fields or {})))
            if fault in ENDLESS and server.setup.measures.pace:
                return first, await left(call, server, computed=fault in COMPUTED)
            return first, await call

        first, got = asking(server.url, work)
    assert not server.ledger.totals.in_flight
    return first, got, server.ledger.entries[1], server


def test_every_fault_is_one_kind_of_fault():
    """Each name is exactly one of a rejection, a breakage and a distortion."""
    tables = [*REJECTIONS, *UNCOMPUTED, *COMPUTED, *DISTORTIONS]
    assert Counter(tables) == Counter(Fault)


@each("fault", REJECTIONS, ids=lambda fault: fault.name)
def test_a_rejection_is_not_billed(fault):
    """An error reply has its status and costs nothing."""
    _, got, entry, server = met(fault)
    assert got.status == entry.status == REJECTIONS[fault].status
    assert entry.fault == fault.name
    assert not entry.computed
    assert server.ledger.totals.rejected == 1
    if not REJECTIONS[fault].html:
        assert got.body["error"]["code"] == REJECTIONS[fault].code
    assert ("canary" in str(got.body)) == fault.name.startswith("ECHO")


@each(
    ("fault", "retry_after"),
    [
        (Fault.RATE_LIMITED, None),
        (Fault.RATE_LIMITED_1, "1"),
        (Fault.RATE_LIMITED_61, "61"),
        (Fault.RATE_LIMITED_NEGATIVE, "-5"),
        (Fault.RATE_LIMITED_NAN, "NaN"),
        (rate_limited("3600"), "3600"),
    ],
    ids=str,
)
def test_a_rate_limit_says_when_to_come_back(fault, retry_after):
    """Retry-After is sent as scripted, or not at all."""
    _, got, _, _ = met(fault)
    assert got.headers.get("retry-after") == retry_after


def test_a_rate_limit_may_give_a_date():
    """The date is in the future."""
    _, got, _, _ = met(Fault.RATE_LIMITED_DATE)
    assert 0 < parsedate_to_datetime(got.headers["retry-after"]).timestamp() - time.time() <= 3


@each("fault", [*UNCOMPUTED, *COMPUTED], ids=lambda fault: fault.name)
def test_a_breakage_loses_the_reply(fault):
    """A breakage before the reply is computed costs nothing; a later one is billed, with an orphan in the ledger."""
    _, got, entry, server = met(fault)
    whole = fault in (Fault.GZIP_BOMB, Fault.HUGE)
    assert (got.status == 200) == (whole or fault is Fault.CUT_SHORT)
    assert entry.computed == (fault in COMPUTED)
    assert entry.delivered == whole
    silent = (Fault.RESET, Fault.HANG, Fault.ORPHAN, Fault.ORPHAN_HANG)
    assert entry.status == (0 if fault in silent else 200)
    totals = server.ledger.totals
    assert totals.orphans == (fault in COMPUTED and not whole)
    assert totals.billed_undelivered.input == (entry.billed.input if totals.orphans else 0)
    if whole:
        assert len(str(got.body)) >= 1 << 20 or got.body["choices"]


@each("fault", [Fault.RESET, Fault.ORPHAN, Fault.RESET_MID_BODY], ids=lambda fault: fault.name)
def test_a_reset_is_a_reset(fault):
    """The client's socket sees a reset, or the end of an incomplete body."""
    _, got, _, _ = met(fault)
    assert "reset" in str(got.body).lower() or "not completed" in str(got.body)


def test_a_drip_is_a_whole_reply_in_the_end():
    """A client that waits long enough gets the whole reply, byte by byte."""
    _, got, entry, _ = met(Fault.DRIP, measures=Measures(pace=0.0))
    assert got.texts == [RIGHT, RIGHT]
    assert entry.delivered


def test_a_cut_body_has_the_length_that_it_says_or_not():
    """CUT_SHORT has its content-length, CUT_OFF has less; neither is JSON."""
    _, short, _, _ = met(Fault.CUT_SHORT)
    assert int(short.headers["content-length"]) == len(short.body)
    _, off, _, _ = met(Fault.CUT_OFF)
    assert "not completed" in str(off.body)


DISTORTED = {
    Fault.EMPTY_CHOICES: lambda got: got.body["choices"] == [],
    Fault.NO_CHOICES: lambda got: "choices" not in got.body,
    Fault.NULL_CONTENT: lambda got: got.texts == [None, None],
    Fault.GARBAGE: lambda got: isinstance(got.body, bytes),
    Fault.REFUSAL: lambda got: got.body["choices"][0]["message"]["refusal"].startswith("I'm sorry"),
    Fault.FILTERED: lambda got: got.body["choices"][0]["finish_reason"] == "content_filter",
    Fault.LENGTH: lambda got: got.texts[0] == RIGHT and got.body["choices"][0]["finish_reason"] == "length",
    Fault.CUT_AT_FIELD: lambda got: got.texts[0] == RIGHT.split("\n")[0],
    Fault.HTML_TYPE: lambda got: got.texts[0] == RIGHT and got.headers["content-type"].startswith("text/html"),
    Fault.HTML_PAGE: lambda got: b"<html>" in got.body and got.headers["content-type"].startswith("text/html"),
    Fault.N_IGNORED: lambda got: len(got.texts) == 1,
    Fault.N_EQUAL: lambda got: len(got.texts) == 2 and len(set(got.texts)) == 1,
    Fault.N_EQUAL_INDEX: lambda got: [choice["index"] for choice in got.body["choices"]] == [0, 0],
    Fault.SWAPPED: lambda got: got.body["model"] == "noise-swapped" and got.body["system_fingerprint"] == "fp_swapped",
    Fault.NO_USAGE: lambda got: "usage" not in got.body,
    Fault.ZERO_USAGE: lambda got: got.body["usage"]["total_tokens"] == 0,
    Fault.TINY_USAGE: lambda got: got.body["usage"]["total_tokens"] == 2,
    Fault.USAGE_WITHOUT_INPUT: lambda got: got.body["usage"]["prompt_tokens"] == 0,
    Fault.USAGE_WITHOUT_OUTPUT: lambda got: got.body["usage"]["completion_tokens"] == 0,
    Fault.USAGE_OF_ONE: lambda got: got.body["usage"]["completion_tokens"] == -(-len(RIGHT) // 4),
}


@each("fault", DISTORTED, ids=lambda fault: fault.name)
def test_a_distorted_reply_is_billed(fault):
    """A distorted reply has status 200, its odd content, and its usual cost."""
    _, got, entry, _ = met(fault)
    assert got.status == 200
    assert DISTORTED[fault](got)
    assert entry.billed.output > 0
    assert entry.delivered == (fault not in (Fault.GARBAGE, Fault.HTML_PAGE))


def test_a_duplicate_is_the_reply_before():
    """The reply before it is sent again with its id, and not billed again."""
    first, got, entry, server = met(Fault.DUPLICATE)
    assert got.body == first.body
    assert not entry.computed
    assert server.ledger.totals.completed == 2


def test_n_is_refused_where_it_is_more_than_one():
    """N_REFUSED accepts a request for one answer."""
    _, got, _, _ = met(Fault.N_REFUSED, fields={"n": 1})
    assert got.status == 200
