"""Samples of a chat reply: their ids, their charged tokens, and whether they are copies."""

from openai_replies import CANARY, ID, USAGE, choice, one, read, reply, unknown

from tables import each
from unerring.core.voting.sample import Usage

# --- identity


def test_samples_of_one_reply_have_their_own_ids():
    """Each sample's id is made from the reply's id and its place, and is the same whenever the reply is received."""
    value = reply(choice(), choice(), choice())
    first = [sample.reply_id for sample in read(value, n=3)]
    assert len({*first}) == 3
    assert [sample.reply_id for sample in read(value, n=3)] == first
    assert one(reply(id="chatcmpl-another0id1")).reply_id not in first


@each(
    "name", [None, "", "chatcmpl-123", "chatcmpl", "chatcmpl-1700000000", "chatcmpl-1700000000000", "cmpl-local", 17]
)
def test_an_id_that_others_may_have_is_none(name):
    """Ids from a small range, as Ollama's, or from the time are not unique, so such replies count as having none."""
    assert one(reply(id=name)).reply_id is None


@each("name", [ID, "gen-1700000000-AbC3dEf6", "0f8fad5b-d9cb-469f-a165-70867728950e", "x" * 9 + "7"])
def test_an_id_that_is_the_replys_own_is_kept(name):
    """An id with a random part identifies its reply."""
    assert one(reply(id=name)).reply_id is not None


@each(
    ("fields", "served"),
    [
        ({}, "m-1"),
        ({"system_fingerprint": "fp"}, "m-1 fp"),
        ({"system_fingerprint": None}, "m-1"),
        ({"model": None}, None),
        ({"model": ""}, None),
        ({"model": 7}, None),
        ({"model": "a\nb\x1b[31m"}, "a b [31m"),
        ({"model": "x" * 1000}, "x" * 200),
        ({"model": CANARY}, "[key]"),
    ],
)
def test_the_served_model_and_its_fingerprint(fields, served):
    """The model and its fingerprint are one short line."""
    assert one(reply(**fields)).served == served


# --- what it is charged


@each(
    ("usage", "charged"),
    [
        (USAGE, Usage(100, 10, 0)),
        (USAGE | {"prompt_tokens_details": {"cached_tokens": 64}}, Usage(100, 10, 64)),
        (USAGE | {"prompt_tokens_details": {"cached_tokens": 640}}, Usage(300, 64, 0)),
        (USAGE | {"prompt_tokens_details": {"cached_tokens": 10**9}}, Usage(300, 64, 0)),
        (USAGE | {"prompt_tokens_details": {"cache_write_tokens": 10**9}}, Usage(300, 64, 0)),
        (USAGE | {"cache_read_input_tokens": 101}, Usage(300, 64, 0)),
        (USAGE | {"prompt_tokens_details": None}, Usage(100, 10, 0)),
        (USAGE | {"prompt_tokens_details": 7}, Usage(100, 10, 0)),
        (USAGE | {"prompt_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 40}}, Usage(110, 10, 0)),
        (USAGE | {"cache_read_input_tokens": 50, "cache_creation_input_tokens": 41}, Usage(111, 10, 50)),
        (USAGE | {"prompt_cache_hit_tokens": 32, "prompt_cache_miss_tokens": 68}, Usage(100, 10, 32)),
        (
            {
                "input_tokens": 10,
                "output_tokens": 5,
                "cache_read_input_tokens": 70,
                "cache_creation_input_tokens": 20,
            },
            Usage(105, 5, 70),
        ),
        ({"input_tokens": 10, "output_tokens": 5}, Usage(10, 5, 0)),
        ({"prompt_tokens": 100.0, "completion_tokens": 10.0}, Usage(100, 10, 0)),
        (None, Usage(300, 64, 0)),
        ({}, Usage(300, 64, 0)),
        (7, Usage(300, 64, 0)),
        ({"prompt_tokens": 100}, Usage(100, 64, 0)),
        ({"completion_tokens": 10}, Usage(300, 10, 0)),
        ({"prompt_tokens": -1, "completion_tokens": 10}, Usage(300, 10, 0)),
        ({"prompt_tokens": "100", "completion_tokens": True}, Usage(300, 64, 0)),
        ({"prompt_tokens": 10**30, "completion_tokens": 10**300}, Usage(300, 64, 0)),
        ({"prompt_tokens": float("nan"), "completion_tokens": float("inf")}, Usage(300, 64, 0)),
        ({"prompt_tokens": 1.5, "completion_tokens": None}, Usage(300, 64, 0)),
    ],
)
def test_a_sample_is_charged_what_the_reply_says_or_the_worst(usage, charged):
    """Every form of usage is read; a missing or invalid count is charged at its worst case, never at 0."""
    assert one(reply(usage=usage)).usage == charged


@each("n", [2, 3, 7])
@each("written", [28, 29, 997])
@each("lengths", [None, "given"])
def test_charges_of_several_samples_add_up(n, written, lengths):
    """The prompt is charged once, and the output's shares add up exactly, in proportion where lengths are known."""
    each = [None if lengths is None else {"content": [{"logprob": -1.0}] * (i + 1)} for i in range(n)]
    usage = {"prompt_tokens": 100, "completion_tokens": written, "prompt_tokens_details": {"cached_tokens": 9}}
    samples = read(reply(*(choice(logprobs=logprobs) for logprobs in each), usage=usage), n=n)
    assert sum((sample.usage for sample in samples), Usage()) == Usage(100, written, 9)
    assert samples[0].usage.input_tokens == 100
    shares = [sample.usage.output_tokens for sample in samples]
    weights = [1] * n if lengths is None else range(1, n + 1)
    assert all(abs(share - written * weight / sum(weights)) < 1 for share, weight in zip(shares, weights, strict=True))


def test_token_counts_that_are_exact_are_kept():
    """If log-probabilities cover all the tokens, each sample is charged its own count."""
    each = [choice(logprobs={"content": [{"logprob": -1.0}] * count}) for count in (3, 9, 4)]
    samples = read(reply(*each, usage={"prompt_tokens": 1, "completion_tokens": 16}), n=3)
    assert [sample.usage.output_tokens for sample in samples] == [3, 9, 4]


def test_several_samples_without_usage_are_charged_the_worst():
    """The longest prompt is charged once, and each sample at the output limit."""
    samples = read(reply(choice(), choice(), usage=None), n=2)
    assert [sample.usage for sample in samples] == [Usage(300, 64), Usage(0, 64)]


def counted(tokens):
    return {"content": [{"logprob": -1.0}] * tokens}


def test_what_several_samples_show_is_charged_where_the_count_is_less():
    """A server that counts one of several choices is charged what all of them show.

    Log-probabilities, limits and texts show it.
    """
    long = "word " * 40  # 160 characters that are no white space: 20 tokens at least
    failures = []
    for case, choices, said, charged in [
        ("log-probabilities", [choice(logprobs=counted(n)) for n in (30, 31, 29)], 30, [30, 31, 29]),
        ("cut off at the limit", [choice(finish="length")] * 3, 64, [64, 64, 64]),
        ("one of them cut off", [choice(finish="length"), choice(long)], 64, [64, 20]),
        ("texts", [choice(long)] * 3, 30, [20, 20, 20]),
        ("the count is more", [choice(logprobs=counted(n)) for n in (10, 10)], 50, [25, 25]),
        ("one alone", [choice(logprobs=counted(12))], 10, [12]),
        ("one alone, cut off", [choice(finish="length", logprobs=counted(9))], 10, [10]),
        ("no count, and text", [choice(), choice()], 0, [64, 64]),
        ("no count, and none", [choice(""), choice("")], 0, [0, 0]),
    ]:
        usage = {"prompt_tokens": 100, "completion_tokens": said}
        found = [sample.usage.output_tokens for sample in read(reply(*choices, usage=usage), n=len(choices))]
        if found != charged:
            failures.append((case, found))
    assert failures == []


def test_a_token_that_a_stop_sequence_hides_is_charged_in_each_of_several_samples():
    """Each whole answer of several choices is charged a token more than its log-probabilities show.

    llama.cpp counts one of several choices, its end included, and shows no log-probability of that end. So its answers
    of 1 and 17 tokens, with a usage of 2, have cost 2 and 18. One cut off at the limit has no end, and one that the
    model ended by itself shows it, as a token without text.
    """
    ended = counted(3)
    ended["content"][-1]["token"] = ""
    choices = [choice(logprobs=counted(1)), choice(logprobs=counted(17)), choice(logprobs=ended)]
    choices.append(choice(finish="length", logprobs=counted(24)))
    replied = reply(*choices, usage={"prompt_tokens": 49, "completion_tokens": 2})
    careful = replied | {"model": [1]}  # a field of the wrong type has it read by the careful reader
    for value, stops, charged in [
        (replied, True, [2, 18, 3, 24]),
        (careful, True, [2, 18, 3, 24]),
        (replied, False, [1, 17, 3, 24]),
    ]:
        found = [sample.usage.output_tokens for sample in read(value, n=4, stops=stops)]
        assert found == charged


def test_a_prompt_of_no_tokens_was_not_counted():
    """Usage 0/0 with a text is no usage: the worst case is charged, whether or not the sample is a copy."""
    sample = one(reply(usage={"prompt_tokens": 0, "completion_tokens": 0}))
    assert (sample.usage, sample.cached) == (Usage(300, 64), True)
    failed = unknown(reply(choices=[], usage={"prompt_tokens": 0, "completion_tokens": 0}))
    assert failed.tokens is None


def test_no_more_samples_than_were_asked_for():
    """Choices beyond n are not returned, but what they cost is charged."""
    samples = read(reply(choice("a"), choice("b"), choice("c")), n=2)
    assert [sample.text for sample in samples] == ["a", "b"]
    assert sum((sample.usage for sample in samples), Usage()) == Usage(100, 10)


# --- copies

HITS = [
    ("X-Cache", "HIT"),
    ("X-Cache", "Hit from cloudfront"),
    ("X-Cache", "RefreshHit from cloudfront"),
    ("X-Cache", "MISS, HIT"),
    ("X-Cache", "TCP_MEM_HIT from proxy"),
    ("X-Cache-Hits", "0, 3"),
    ("X-Cache-Status", "hit"),
    ("X-Proxy-Cache", "HIT"),
    ("CF-Cache-Status", "HIT"),
    ("CF-Cache-Status", "STALE"),
    ("cf-aig-cache-status", "HIT"),
    ("Helicone-Cache", "HIT"),
    ("X-OpenRouter-Cache-Status", "HIT"),
    ("x-portkey-cache-status", "SEMANTIC HIT"),
    ("X-AI-Cache-Status", "HIT-L1"),
    ("x-vercel-cache", "HIT"),
    ("x-litellm-cache-key", "0123abcd"),
    ("x-litellm-cache-hit", "True"),
    ("Cache-Status", "ExampleCache; hit; ttl=30"),
    ("Age", "17"),
]
NO_HITS = [
    ("X-Cache", "MISS"),
    ("X-Cache", "Miss from cloudfront"),
    ("X-Cache", "Error from cloudfront"),
    ("X-Cache-Hits", "0"),
    ("X-Cache-Hits", "0, 0"),
    ("CF-Cache-Status", "DYNAMIC"),
    ("CF-Cache-Status", "BYPASS"),
    ("cf-aig-cache-status", "MISS"),
    ("x-portkey-cache-status", "SEMANTIC MISS"),
    ("x-portkey-cache-status", "DISABLED"),
    ("x-litellm-cache-key", "None"),
    ("x-litellm-cache-hit", "False"),
    ("Cache-Status", "ExampleCache; fwd=miss; stored"),
    ("Cache-Control", "no-cache, hit"),
    ("fireworks-cached-prompt-tokens", "12"),
    ("x-prompt-cache", "HIT"),
    ("Age", "0"),
    ("Age", "-1"),
    ("Age", "old"),
    ("x-request-id", "hit"),
    ("x-white-hit", "HIT"),
]


@each(("name", "value"), HITS)
def test_a_cache_hit_header_marks_copies(name, value):
    """Each gateway's header for a cache hit marks the samples, in upper or lower case."""
    assert one(reply(), headers={name: value}).cached
    assert one(reply(), headers={name.lower(): value.lower(), "date": "x"}).cached


@each(("name", "value"), NO_HITS)
def test_a_miss_is_no_copy(name, value):
    """Headers for misses, for prompt caches and for other things mark nothing."""
    assert not one(reply(), headers={name: value}).cached


def test_a_text_with_zero_usage_is_a_copy():
    """A text with a usage of zero came from a cache, as on OpenRouter; an empty text with zero usage did not."""
    free = {"prompt_tokens": 0, "completion_tokens": 0}
    assert one(reply(usage=free)).cached
    assert not one(reply(choice(""), usage=free)).cached
    assert not one(reply(usage={"prompt_tokens": 5, "completion_tokens": 0})).cached
    assert not one(reply(usage=None)).cached
