"""The result files of a batch become samples or failures of the waiting calls."""

import asyncio
import json

from batch_provider import (
    Provider,
    answer,
    kinds,
    outcomes,
    prompt_of,
    refusal,
    reply,
    result_line,
    settings,
    trying,
    undone_line,
)

from tables import each
from unerring.core.voting.sample import Usage
from unerring.errors import FailureKind, ProviderBusy, ProviderDown


def test_lines_that_cannot_be_read_fail_their_own_requests_alone():
    """An output file cut within a line makes the missing requests' outcomes unknown, and the rest is used."""

    def results(asked):
        lines = [json.dumps(answer(line)).encode() + b"\n" for line in asked]
        return [lines[0], lines[1][:90]], []

    got = trying(Provider(results=results), lambda sampler: outcomes(sampler, [0, 1, 2]))
    assert kinds(got) == [["p0"], FailureKind.UNKNOWN, FailureKind.UNKNOWN]


def test_replies_in_files_are_read_as_those_of_the_chat_endpoint():
    """Status and message of a line in the error file give the same failure as on the chat endpoint.

    A reply without choices is of unknown outcome and charged what it was billed.
    """
    bodies = [
        (refusal("filtered", "content_filter"), 400),
        (refusal("slowly", "rate_limit_exceeded"), 429),
        (refusal("too long", "context_length_exceeded"), 400),
        ({}, 0),
    ]

    def results(asked):
        failed = [result_line(line, *each) for line, each in zip(asked, bodies, strict=False)]
        return [result_line(asked[4], reply("x") | {"choices": []})], failed

    async def work(sampler):
        calls = [sampler.sample(f"p{step}", settings(step), 1) for step in range(5)]
        return await asyncio.gather(*calls, return_exceptions=True)

    refused, limited, long, odd, empty = trying(Provider(results=results), work)
    assert (type(refused), refused.kind) == (ProviderDown, FailureKind.REFUSED)
    assert limited.kind is FailureKind.RATE_LIMITED
    assert (type(long), long.kind, long.status) == (ProviderDown, FailureKind.REFUSED, 400)
    assert (type(odd), odd.kind) == (ProviderBusy, FailureKind.TRANSIENT)
    assert (empty.kind, empty.tokens) == (FailureKind.UNKNOWN, (5, 3))


def test_a_reply_without_usage_is_charged_at_its_worst():
    """A result without usage is charged the longest prompt once, and the longest answers."""

    def results(asked):
        bare = [result_line(line, reply("x", n=2)) for line in asked]
        for line in bare:
            del line["response"]["body"]["usage"]
        return bare, []

    async def work(sampler):
        return await sampler.sample("p" * 10, settings(), 2)

    samples = trying(Provider(results=results), work)
    assert [sample.usage for sample in samples] == [Usage(10 + 256, 64), Usage(0, 64)]


def test_a_parameter_that_is_refused_is_left_out_from_then_on():
    """If a model refuses max_tokens, all requests of a batch fail as transient; the next batch uses the other name."""
    words = refusal("Use 'max_completion_tokens' instead.", "unsupported_parameter", "max_tokens")

    def results(asked):
        refused = [line for line in asked if "max_tokens" in line["body"]]
        return [answer(line) for line in asked if line not in refused], [
            result_line(line, words, 400) for line in refused
        ]

    async def work(sampler):
        return await outcomes(sampler, [0, 1]), await outcomes(sampler, [0, 1])

    failed, got = trying(Provider(results=results), work)
    assert [(type(one), one.retry_after) for one in failed] == [(ProviderBusy, 0.0)] * 2
    assert got == [["p0"], ["p1"]]


def test_where_n_is_ignored_samples_are_asked_for_one_by_one_in_one_batch():
    """If one of three choices comes back, the others are asked for, and later three single requests in one batch."""
    provider = Provider(results=lambda asked: ([result_line(line, reply(prompt_of(line))) for line in asked], []))

    async def work(sampler):
        return await outcomes(sampler, [0], n=3), await outcomes(sampler, [1], n=3)

    assert trying(provider, work) == ([["p0"]], [["p1"] * 3])
    assert [len(sent) for sent in provider.sent] == [1, 3]


@each(
    ("ends", "first", "then"),
    [
        ("aea", ["p0"], ["p0"] * 2),
        ("eaa", FailureKind.TRANSIENT, ["p0"] * 3),
        ("aua", FailureKind.UNKNOWN, ["p0"] * 3),
    ],
)
def test_single_requests_that_succeeded_are_not_sent_again(ends, first, then):
    """Of samples asked for by single requests, only those that failed are sent again.

    Those before the first failure are handed out, those behind it kept until asked for; where a failure may have cost
    something, it is raised in any case.
    """

    def results(asked):
        if len(asked) < len(ends):
            return [answer(line) for line in asked], []
        pairs = list(zip(asked, ends, strict=True))
        output = [answer(line) if end == "a" else b"{\n" for line, end in pairs if end != "e"]
        return output, [undone_line(line, "batch_expired") for line, end in pairs if end == "e"]

    provider = Provider(results=results)

    async def work(sampler):
        (before,) = await outcomes(sampler, [0], n=3)
        got = 0 if isinstance(before, Exception) else len(before)
        rest = await sampler.sample("p0", settings(0, got), 3 - got)
        return kinds([before])[0], [sample.text for sample in rest]

    assert trying(provider, work, ",n=1") == (first, then)
    assert [len(sent) for sent in provider.sent] == [3, 1]
