"""Batch endpoints of the fault server, and the faults of batches."""

import json
from collections import Counter

import aiohttp
import pytest

from faults.asking import QUESTION, Client, asking
from faults.ledger import CHAT
from faults.server import serving
from faults.trials import ERRORS_ONLY, REJECTED, Trials
from tables import each


def request(name, **fields):
    """A line of an input file."""
    body = {"model": "noise", "messages": [{"role": "user", "content": QUESTION.prompt}], "seed": 1} | fields
    return {"custom_id": name, "method": "POST", "url": CHAT, "body": body}


LINES = [request(f"sample-{number}", seed=number) for number in range(10)]


async def submitted(client: Client, lines):
    """Upload a file and create a batch from it."""
    form = aiohttp.FormData()
    form.add_field("purpose", "batch")
    content = lines if isinstance(lines, bytes) else "\n".join(json.dumps(line) for line in lines).encode()
    form.add_field("file", content, filename="batch.jsonl", content_type="application/jsonl")
    file = await client.send("POST", "/files", data=form)
    assert file.body["object"] == "file"
    made = {"input_file_id": file.body["id"], "endpoint": CHAT, "completion_window": "24h", "metadata": {"run": "x"}}
    return await client.send("POST", "/batches", json=made)


async def ended(client: Client, batch_id):
    """Poll until the batch has ended; returns the statuses on the way, and the batch."""
    statuses = []
    while not statuses or statuses[-1] not in ("completed", "failed", "expired", "cancelled"):
        got = await client.send("GET", f"/batches/{batch_id}")
        statuses.append(got.body["status"] if got.status == 200 else got.status)
    return statuses, got.body


async def results(client: Client, batch, kind):
    """The lines of the output file or the error file; none if there is no such file."""
    if batch[f"{kind}_file_id"] is None:
        return []
    got = await client.send("GET", f"/files/{batch[f'{kind}_file_id']}/content")
    content = json.dumps(got.body).encode() if isinstance(got.body, dict) else got.body
    return [json.loads(line) for line in content.splitlines()]


def gone(trials, lines=LINES, cancel=False):
    """The course of a batch: statuses, the batch, output lines, error lines, the ledger."""
    with serving(batch=trials) as server:

        async def work(client):
            batch = (await submitted(client, lines)).body
            if cancel:
                assert (await client.send("POST", f"/batches/{batch['id']}/cancel")).body["status"] == "cancelling"
            statuses, batch = await ended(client, batch["id"])
            before = server.ledger.totals
            output = await results(client, batch, "output")
            return statuses, batch, output, await results(client, batch, "error"), before

        return *asking(server.url, work), server.ledger


def names(lines):
    return [line["custom_id"] for line in lines]


def test_a_batch_is_polled_to_its_end():
    """It proceeds with polls, its file has a reply for each line, and it costs half, once, on its download."""
    statuses, batch, output, errors, before, ledger = gone(Trials(polls=3))
    assert statuses == ["in_progress", "in_progress", "completed"]
    assert batch["request_counts"] == {"total": 10, "completed": 10, "failed": 0}
    assert batch["metadata"] == {"run": "x"}
    assert names(output) == names(LINES)
    assert not errors
    replies = [line["response"]["body"] for line in output]
    assert all(reply["choices"][0]["message"]["content"] for reply in replies)
    assert all(line["response"]["status_code"] == 200 and line["error"] is None for line in output)
    totals = ledger.totals
    assert totals.batch_lines == before.batch_orphans == 10
    assert totals.batch_orphans == totals.requests == 0
    assert totals.batch_delivered.input == sum(reply["usage"]["prompt_tokens"] for reply in replies)
    assert totals.batch_delivered.input == batch["usage"]["input_tokens"]
    assert totals.dollars(1, 1) == pytest.approx(batch["usage"]["total_tokens"] / 2e6)


def test_a_batch_may_expire_in_part():
    """Expired requests are in the error file and not billed; the rest is in the output file."""
    statuses, batch, output, errors, _, ledger = gone(Trials(expired=0.6))
    assert statuses[-1] == "expired"
    assert batch["expired_at"]
    assert (len(output), len(errors), ledger.totals.batch_lines) == (4, 6, 4)
    assert {line["error"]["code"] for line in errors} == {"batch_expired"}
    assert sorted(names(output) + names(errors)) == sorted(names(LINES))


def test_an_output_file_may_be_a_mess():
    """The output file may be shuffled, with duplicate and missing lines."""
    _, batch, output, errors, _, ledger = gone(Trials(shuffled=True, doubled=0.2, dropped=0.01))
    assert not errors
    assert Counter(Counter(names(output)).values()) == {1: 7, 2: 2}
    assert names(output) != sorted(names(output))
    assert batch["request_counts"]["completed"] == 10
    assert ledger.totals.batch_orphans == 1


def test_there_may_be_an_error_file_only():
    """If every request failed, the error file has a reply for each."""
    statuses, batch, output, errors, _, _ = gone(ERRORS_ONLY)
    assert statuses[-1] == "completed"
    assert batch["output_file_id"] is None
    assert not output
    assert {line["response"]["status_code"] for line in errors} == {400}


def test_a_batch_may_be_rejected():
    """If validation fails there is no file, the batch has the errors, and nothing is computed."""
    statuses, batch, *_, ledger = gone(REJECTED)
    assert statuses == ["failed"]
    assert batch["errors"]["data"][0]["code"] == "rejected"
    assert ledger.totals.batch_lines == 0


@each(
    ("lines", "code"),
    [
        ([*LINES, LINES[0]], "duplicate_custom_id"),
        (b"{not json\n", "invalid_json_line"),
        (b"", "empty_file"),
        ([{"custom_id": "a"}], "missing_required_parameter"),
        ([LINES[0] | {"url": "/v1/embeddings"}], "invalid_url"),
        ([request("a", model="gpt-x")], "model_not_found"),
        ([LINES[0], request("b", model="stubborn")], "mismatched_model"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_input_file_is_checked(lines, code):
    """A fault of the input fails the batch, with the number of the bad line."""
    statuses, batch, *_ = gone(Trials(), lines)
    assert statuses == ["failed"]
    assert batch["errors"]["data"][-1]["code"] == code


def test_polls_may_fail():
    """A poll that is answered with 500 changes nothing."""
    statuses, *_ = gone(Trials(polls=2, failing_polls=(1, 3)))
    assert statuses == [500, "completed"]
    statuses, *_ = gone(Trials(polls=2, failing_polls=(2, 3)))
    assert statuses == ["in_progress", 500, 500, "completed"]


def test_a_batch_may_be_cancelled():
    """Finished lines are in the output file, the others in the error file."""
    statuses, _, output, errors, _, ledger = gone(Trials(done_at_cancel=0.3), cancel=True)
    assert statuses == ["cancelled"]
    assert (len(output), len(errors), ledger.totals.batch_lines) == (3, 7, 3)
    assert {line["error"]["code"] for line in errors} == {"batch_cancelled"}


def test_a_batch_created_without_a_reply_is_in_the_list():
    """If the reply to its creation is lost, the batch is listed with its metadata."""
    with serving(batch=lambda number: Trials(created_unsaid=number == 1)) as server:

        async def work(client):
            made = [await submitted(client, LINES) for _ in range(3)]
            first = (await client.send("GET", "/batches?limit=2")).body
            return made, first, (await client.send("GET", f"/batches?limit=2&after={first['last_id']}")).body

        made, first, second = asking(server.url, work)
    assert [got.status for got in made] == [200, None, 200]
    assert first["has_more"]
    assert not second["has_more"]
    listed = [batch["id"] for batch in first["data"] + second["data"]]
    assert listed[::2] == [made[2].body["id"], made[0].body["id"]]
    assert first["data"][1]["metadata"] == {"run": "x"}
