"""The fault server itself: its scripts, its limits and its ledger, in a thread and in a process of its own."""

import asyncio
import socket
from collections import Counter

import pytest
from yarl import URL

from faults.answers import letters
from faults.asking import Got, asked_often, asked_once, asking, left
from faults.faults import Fault
from faults.limits import Latency, Rate
from faults.process import running
from faults.script import EVERYDAY, always, first_of, listed, shares, since, spanning, troubled, where
from faults.server import serving


def test_scripts_are_functions_of_the_turn():
    """Scripts give the same fault for the same turn at any time, and shares are as given."""
    question = None
    script = shares({Fault.RESET: 0.1, Fault.HANG: 0.3}, seed=3)
    faults = [script(turn, question) for turn in range(5000)]
    assert faults[::-1] == [script(turn, question) for turn in reversed(range(5000))]
    counts = Counter(faults)
    assert abs(counts[Fault.RESET] - 500) < 5 * 21.3
    assert abs(counts[Fault.HANG] - 1500) < 5 * 32.5
    assert {troubled(1.0)(turn, question) for turn in range(2000)} == set(EVERYDAY)
    later = first_of(since(5, Fault.SWAPPED), spanning(2, 3, Fault.RESET), listed(Fault.QUOTA, then=Fault.HANG))
    assert [fault and fault.name for fault in (later(turn, question) for turn in range(6))] == [
        "QUOTA", "HANG", "RESET", "RESET", "HANG", "SWAPPED",
    ]  # fmt: skip


def test_a_script_may_look_at_the_question():
    """A fault may be for certain prompts."""
    with serving(script=where(lambda question: "letters" in question.prompt, Fault.TOO_LONG)) as server:
        assert asked_once(server.url).status == 200
        assert asked_once(server.url, "write 8 letters").status == 400


def test_the_script_may_be_changed():
    """An outage begins and ends when the test says so."""
    with serving() as server:
        server.setup.script = always(Fault.UNAVAILABLE)
        assert asked_once(server.url).status == 503
        server.setup.script = listed()
        assert asked_once(server.url).status == 200


def test_bad_requests_are_refused():
    """A malformed chat request gets a 400, an unknown address a 404."""
    with serving() as server:

        async def work(client):
            where = "/chat/completions"
            return [
                await client.send("POST", where, data=b"{"),
                await client.send("POST", where, json={"model": "noise", "messages": []}),
                await client.send("POST", where, json={"model": "noise", "messages": "hello"}),
                await client.ask(n=0),
                await client.ask(stream=True),
                await client.send("GET", "/nothing"),
            ]

        assert [got.status for got in asking(server.url, work)] == [400] * 5 + [404]


def test_slots_are_limited():
    """Beyond its slots the server answers 503 at once, and the ledger has the most requests in flight."""

    async def waits(prompt, temperature, seed, index, max_tokens):
        while server.ledger.totals.requests < 20:
            await asyncio.sleep(0.005)
        return letters(prompt, temperature, seed, index, max_tokens)

    with serving(models={"noise": waits}, slots=8) as server:
        statuses = Counter(got.status for got in asked_often(server.url, 20, at_once=True))
    assert statuses == {200: 8, 503: 12}
    assert 8 <= server.ledger.totals.most_in_flight <= 20
    assert server.ledger.totals.faults == {"SLOTS": 12}


def test_slots_may_queue_in_silence():
    """With `queues` requests beyond the slots wait, none is refused, and no more than the slots are computed."""
    busy, most = 0, 0

    async def counts(prompt, temperature, seed, index, max_tokens):
        nonlocal busy, most
        busy += 1
        most = max(most, busy)
        await asyncio.sleep(0.005)
        busy -= 1
        return letters(prompt, temperature, seed, index, max_tokens)

    with serving(models={"noise": counts}, slots=4, queues=True) as server:
        statuses = Counter(got.status for got in asked_often(server.url, 20, at_once=True))
    assert (statuses, most) == ({200: 20}, 4)


def test_a_rate_limit_charges_rejected_requests():
    """A client that keeps asking gets nothing; the rejection says when a request will be taken."""
    with serving(rate=Rate(per_second=0.1, burst=3)) as server:
        got = asked_often(server.url, 8)
    assert [each.status for each in got] == [200] * 3 + [429] * 5
    waits = [int(each.headers["retry-after"]) for each in got[3:]]
    assert waits == sorted(waits)
    assert 10 <= waits[0] < waits[-1] <= 40


def test_latency_is_waited():
    """A reply takes its latency, with jitter that differs between requests."""
    with serving(latency=Latency(0.02, 0.03)) as server:
        asked_often(server.url, 4)
    took = [entry.ended - entry.arrived for entry in server.ledger.chats]
    assert min(took) >= 0.02
    assert len({round(each, 3) for each in took}) > 1


def test_a_client_that_leaves_makes_an_orphan():
    """A reply that is computed when its client leaves is billed and not delivered."""
    with serving(latency=Latency(30.0)) as server:
        got = asking(server.url, lambda client: left(client.ask(), server, computed=True))
    assert got.status is None
    assert server.ledger.totals.orphans == 1


def test_the_ledger_keeps_no_key():
    """The ledger has a digest of the key only, and one of the messages."""
    with serving() as server:
        asked_often(server.url, 2)
        over_http = asking(server.url, lambda client: client.send("GET", "/ledger"))
    entries = server.ledger.entries
    assert len({entry.authorization for entry in entries}) == len({entry.messages for entry in entries}) == 1
    assert "canary" not in str(over_http.body)
    assert over_http.body["totals"]["completed"] == 2
    assert [entry["seed"] for entry in over_http.body["entries"]] == [0, 1]


def test_a_connection_that_is_not_used_is_closed():
    """The server closes an idle connection."""
    with serving(idle=0.05) as server, socket.create_connection(("127.0.0.1", URL(server.root).port)) as idle:
        idle.settimeout(5.0)
        assert idle.recv(1) == b""


def test_the_ledger_settles():
    """`settled` waits until the last reply is entered, and no longer than given for a hanging one."""
    with serving(script=listed(None, Fault.HANG)) as server:
        assert asked_once(server.url).status == 200
        assert server.ledger.settled().completed == 1

        async def work(client):
            task = asyncio.ensure_future(client.ask())
            while server.ledger.totals.in_flight == 0:
                await asyncio.sleep(0.005)
            with pytest.raises(TimeoutError):
                server.ledger.settled(patience=0.01)
            task.cancel()

        asking(server.url, work)
        assert server.ledger.settled().unanswered == 1


def test_the_ledger_keeps_as_many_entries_as_configured():
    """Old entries are dropped, and the totals still count them."""
    with serving(keep=2) as server:
        asked_often(server.url, 5)
    assert [entry.number for entry in server.ledger.entries] == [3, 4]
    assert server.ledger.totals.requests == 5


def test_prompt_caching_is_billed():
    """Messages seen before are billed as read from the provider's prompt cache, in part."""
    with serving(prompt_cache=0.5) as server:
        got = asked_often(server.url, 2)
    cached = [each.body["usage"]["prompt_tokens_details"]["cached_tokens"] for each in got]
    assert cached == [0, got[0].body["usage"]["prompt_tokens"] // 2]
    assert server.ledger.totals.billed_delivered.cached == cached[1]
    tokens = server.ledger.totals.billed_delivered
    full = (tokens.input - tokens.cached) * 2 + tokens.output * 8 + tokens.cached * 0.5
    assert server.ledger.totals.dollars(2, 8, 0.5) == pytest.approx(full / 1e6)


def test_a_process_of_its_own_does_the_same():
    """The command line serves the same, keeps the ledger and ends with the block."""
    script = '["ERROR_500", null, "ORPHAN"]'
    with running("--script", script, "--model", "gpt=noise:p=1,v=1", "--model", 'list=scripted:["a"]') as server:
        got: list[Got] = asked_often(server.url, 4, model="gpt")
        assert asked_once(server.url, model="list").texts == ["a"]
        totals = server.ledger(entries=False)["totals"]
        assert len(server.ledger()["entries"]) == 5
    assert [each.status for each in got] == [500, 200, None, 200]
    assert (totals["requests"], totals["completed"], totals["orphans"]) == (5, 3, 1)
    assert server.process.wait() == 0
