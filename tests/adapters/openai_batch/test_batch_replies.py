"""The files of a batch become samples or failures of the calls that wait."""

import asyncio
import json

from batch_provider import Provider, answer, kinds, outcomes, prompt_of, refusal, reply, settings, told, trying, untold

from tables import each
from unerring.core.voting.sample import Usage
from unerring.errors import FailureKind, ProviderBusy, ProviderDown


def test_lines_that_cannot_be_read_fail_their_own_requests_alone():
    """An output file cut in the middle of a line makes what is missing of unknown outcome, and keeps the rest."""

    def results(asked):
        lines = [json.dumps(answer(line)).encode() + b"\n" for line in asked]
        return [lines[0], lines[1][:90]], []

    got = trying(Provider(results=results), lambda sampler: outcomes(sampler, [0, 1, 2]))
    assert kinds(got) == [["p0"], FailureKind.UNKNOWN, FailureKind.UNKNOWN]


def test_replies_in_files_are_read_as_those_of_the_chat_endpoint():
    """By its status and words, a request in the error file is a refused question or a rate limit; an empty
    reply is of unknown outcome, with what it was billed."""
    bodies = [
        (refusal("filtered", "content_filter"), 400),
        (refusal("slowly", "rate_limit_exceeded"), 429),
        (refusal("too long", "context_length_exceeded"), 400),
        ({}, 0),
    ]

    def results(asked):
        failed = [told(line, *each) for line, each in zip(asked, bodies, strict=False)]
        return [told(asked[4], reply("x") | {"choices": []})], failed

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
    """Tokens that a result does not tell of are those of the longest prompt, once, and of the longest answers."""

    def results(asked):
        bare = [told(line, reply("x", n=2)) for line in asked]
        for line in bare:
            del line["response"]["body"]["usage"]
        return bare, []

    async def work(sampler):
        return await sampler.sample("p" * 10, settings(), 2)

    samples = trying(Provider(results=results), work)
    assert [sample.usage for sample in samples] == [Usage(10 + 256, 64), Usage(0, 64)]


def test_a_parameter_that_is_refused_is_left_out_from_then_on():
    """Where a model takes no max_tokens, all of a batch fail in passing, and the next one words it otherwise."""
    words = refusal("Use 'max_completion_tokens' instead.", "unsupported_parameter", "max_tokens")

    def results(asked):
        refused = [line for line in asked if "max_tokens" in line["body"]]
        return [answer(line) for line in asked if line not in refused], [told(line, words, 400) for line in refused]

    async def work(sampler):
        return await outcomes(sampler, [0, 1]), await outcomes(sampler, [0, 1])

    failed, got = trying(Provider(results=results), work)
    assert [(type(one), one.retry_after) for one in failed] == [(ProviderBusy, 0.0)] * 2
    assert got == [["p0"], ["p1"]]


def test_where_n_is_ignored_samples_are_asked_for_one_by_one_in_one_batch():
    """A server that gives one choice of three is asked for the others, and later for three requests at once."""
    provider = Provider(results=lambda asked: ([told(line, reply(prompt_of(line))) for line in asked], []))

    async def work(sampler):
        return await outcomes(sampler, [0], n=3), await outcomes(sampler, [1], n=3)

    assert trying(provider, work) == ([["p0"]], [["p1"] * 3])
    assert [len(sent) for sent in provider.sent] == [1, 3]


@each(
    ("fates", "first", "then"),
    [
        ("aea", ["p0"], ["p0"] * 2),
        ("eaa", FailureKind.TRANSIENT, ["p0"] * 3),
        ("aua", FailureKind.UNKNOWN, ["p0"] * 3),
    ],
)
def test_of_samples_asked_for_one_by_one_none_that_came_is_bought_again(fates, first, then):
    """Those before the first failure are handed out, those behind it kept until asked for; where a failure may have
    cost something, it is raised in any case. Only what failed is sent again.
    """

    def results(asked):
        if len(asked) < len(fates):
            return [answer(line) for line in asked], []
        fate = list(zip(asked, fates, strict=True))
        output = [answer(line) if its == "a" else b"{\n" for line, its in fate if its != "e"]
        return output, [untold(line, "batch_expired") for line, its in fate if its == "e"]

    provider = Provider(results=results)

    async def work(sampler):
        (before,) = await outcomes(sampler, [0], n=3)
        got = 0 if isinstance(before, Exception) else len(before)
        rest = await sampler.sample("p0", settings(0, got), 3 - got)
        return kinds([before])[0], [sample.text for sample in rest]

    assert trying(provider, work, ",n=1") == (first, then)
    assert [len(sent) for sent in provider.sent] == [3, 1]
