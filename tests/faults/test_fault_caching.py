"""The caching proxies of the fault server: which requests get copies, and what distinguishes copies from samples."""

from faults.asking import asked_often
from faults.caching import CACHES, COALESCING, FREE, FRESH, HIT_HEADERS, IGNORES_SEED, MARKED, WHOLE_BODY
from faults.limits import Latency
from faults.server import serving
from tables import each

PROMPT = "write 32 random letters"


def asked(cache, count=4, at_once=False, latency=0.03, **fields):
    """Ask one question several times through a cache."""
    with serving(cache=cache, latency=Latency(latency)) as server:
        got = asked_often(server.url, count, at_once, prompt=PROMPT, **fields)
    return got, server.ledger


def test_there_are_six():
    """The six variants have names."""
    assert len(CACHES) == 6


def test_a_cache_of_whole_bodies_distinguishes_seeds():
    """Only a request with the same whole body gets a copy."""
    got, ledger = asked(WHOLE_BODY)
    assert len({each.texts[0] for each in got}) == 4
    got, ledger = asked(WHOLE_BODY, seed=7)
    assert len({each.body["id"] for each in got}) == 1
    assert ledger.totals.copies == 3


@each("cache", [IGNORES_SEED, MARKED, FRESH, FREE], ids=lambda cache: cache.name)
def test_a_cache_that_ignores_seeds_copies(cache):
    """Other seeds get the first one's text, at once and unbilled, with the marks of each variant."""
    got, ledger = asked(cache)
    entries = ledger.chats
    assert len({each.texts[0] for each in got}) == 1
    assert [entry.from_cache for entry in entries] == [False, True, True, True]
    assert [entry.computed for entry in entries] == [True, False, False, False]
    assert min(entry.ended - entry.arrived for entry in entries[1:]) < 0.03 <= entries[0].ended - entries[0].arrived
    assert len({each.body["id"] for each in got}) == (4 if cache.fresh else 1)
    assert [each.body["usage"]["total_tokens"] > 0 for each in got[1:]] == [not cache.free] * 3
    for name, value in HIT_HEADERS:
        assert [each.headers.get(name) for each in got] == (
            ["MISS", value, value, value] if cache is MARKED else [None] * 4
        )


def test_a_coalescing_cache_shares_replies_in_flight():
    """Simultaneous requests share one reply; successive ones do not."""
    got, ledger = asked(COALESCING, at_once=True, latency=0.3)
    assert len({each.texts[0] for each in got}) == 1
    assert len({each.body["id"] for each in got}) == 4
    assert ledger.totals.copies == 3
    assert ledger.totals.billed_delivered.output == got[0].body["usage"]["completion_tokens"]
    got, ledger = asked(COALESCING)
    assert len({each.texts[0] for each in got}) == 4
    assert ledger.totals.copies == 0


def test_a_cache_may_copy_a_share():
    """With hits at 0.3, 30 % of 200 requests that could be copies are, within 5 standard deviations."""
    got, ledger = asked(FRESH.at(0.3, seed=1), count=200, latency=0.0)
    assert abs(ledger.totals.copies - 60) < 5 * 6.5
    assert len({each.texts[0] for each in got}) == 200 - ledger.totals.copies
