"""Replies of the fault server and its models without faults."""

from collections import Counter

import pytest

from faults.answers import is_stubborn, noise, scripted, stubborn, stubborn_answer
from faults.asking import CHAIN, QUESTION, asked_often, asked_once, asking
from faults.ledger import Tokens
from faults.server import serving
from unerring.core.voting.redflag import RedFlag

RIGHT = CHAIN.rehearse(QUESTION.compact).right


def test_a_reply_has_the_form_of_the_api():
    """A plain reply has id, times, model, fingerprint, choices and usage, and its prompt is billed once."""
    with serving() as server:
        got = asked_once(server.url, n=3, logprobs=True)
    body = got.body
    assert body["object"] == "chat.completion"
    assert body["model"] == "noise"
    assert body["system_fingerprint"]
    assert [choice["index"] for choice in body["choices"]] == [0, 1, 2]
    choice = body["choices"][0]
    assert choice["message"] == {"role": "assistant", "content": RIGHT, "refusal": None}
    assert choice["finish_reason"] == "stop"
    assert "".join(token["token"] for token in choice["logprobs"]["content"]) == RIGHT
    usage = body["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    [entry] = server.ledger.chats
    assert entry.billed == Tokens(usage["prompt_tokens"], usage["completion_tokens"])
    assert (entry.reply_id, entry.n, entry.seed, entry.delivered) == (body["id"], 3, 1, True)


def test_a_sample_follows_from_prompt_seed_and_index():
    """The noise model gives a repeated request the same samples, for the whole and the compact prompt alike."""
    with serving() as server:
        whole = asked_often(server.url, 2, seed=5, n=20)
        assert whole[0].texts == whole[1].texts
        assert whole[0].body["id"] != whole[1].body["id"]
        assert RIGHT in asked_once(server.url, QUESTION.compact).texts


def test_the_noise_errs_as_often_as_configured():
    """Of 2,000 samples 10 % are flagged and 20 % of the others wrong, within 5 standard deviations."""
    model = noise(0.8, 0.9)
    kinds = Counter()
    parse = QUESTION.parse
    for seed in range(2000):
        text = model(QUESTION.prompt, 1.0, seed, 0, None).text
        try:
            kinds["right" if parse(text) == parse(RIGHT) else "wrong"] += 1
        except RedFlag:
            kinds["flagged"] += 1
    assert abs(kinds["flagged"] - 200) < 5 * 13.5
    assert abs(kinds["wrong"] - 360) < 5 * 17.2


def test_a_stubborn_prompt_has_one_wrong_answer():
    """A stubborn model is right with probability r, and otherwise gives the same wrong answer to a prompt."""
    model = stubborn(r=0.4)
    texts = Counter(model(QUESTION.prompt, 1.0, seed, 0, None).text for seed in range(500))
    assert set(texts) == {RIGHT, stubborn_answer(QUESTION.prompt)}
    assert abs(texts[RIGHT] - 200) < 5 * 11
    prompts = [CHAIN.subtask(CHAIN.state_at(step)).prompt for step in range(CHAIN.length())]
    assert 0 < sum(is_stubborn(prompt, 0.5) for prompt in prompts) < len(prompts)


def test_unknown_prompts_get_random_letters():
    """A prompt that no model understands is answered with letters: by the seed, or at random without one."""
    prompt = "Write 32 random letters and nothing else."
    with serving() as server:
        seeded = [asked_once(server.url, prompt, seed=seed).texts[0] for seed in (1, 1, 2)]
        free = {asked_once(server.url, prompt, seed=None).texts[0] for _ in range(3)}
    assert seeded[0] == seeded[1] != seeded[2]
    assert len(free) == 3
    assert all(len(text) == 32 and text.isalpha() and text.islower() for text in [*seeded, *free])


def test_a_scripted_model_answers_in_order():
    """A list is answered from item by item, and then from its start again."""
    with serving(models={"list": scripted(["a", "b", "c"])}) as server:
        assert [asked_once(server.url, model="list", n=2).texts for _ in range(2)] == [["a", "b"], ["c", "a"]]
        assert asked_once(server.url).status == 404
        models = asking(server.url, lambda client: client.send("GET", "/models"))
    assert [model["id"] for model in models.body["data"]] == ["list"]


def test_an_answer_is_cut_at_max_tokens():
    """A longer answer than asked for ends with finish_reason length."""
    with serving() as server:
        got = asked_once(server.url, max_completion_tokens=3)
    assert got.body["choices"][0]["finish_reason"] == "length"
    assert got.body["usage"]["completion_tokens"] == 3
    assert RIGHT.startswith(got.texts[0])


def test_the_embedded_model_answers():
    """The embedded model answers both wordings over HTTP, and other prompts get letters."""
    pytest.importorskip("ctranslate2")
    with serving() as server:
        texts = [got.texts[0] for got in asked_often(server.url, 6, at_once=True, model="embedded")]
        compact = asked_once(server.url, QUESTION.compact, model="embedded", n=2)
        unknown = asked_once(server.url, "write 8 random letters", model="embedded")
    assert Counter(texts).most_common(1)[0][0] == RIGHT
    assert RIGHT in compact.texts
    assert len(unknown.texts[0]) == 8
