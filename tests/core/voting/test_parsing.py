"""The parsers that ship: what they read, and the reason with which they flag everything else."""

import pytest

from unerring import RedFlag, json_answer, lenient_json
from unerring.core.voting import parsing
from unerring.core.voting.parsing import PARSERS, parser_named
from unerring.errors import InputError


def flagged(parse, text):
    """The reason with which a parser flags a text, or the value that it reads."""
    try:
        return parse(text)
    except RedFlag as flag:
        return flag.reason


def test_null_is_no_answer_to_json_answer():
    """A reply of null is flagged; null within an answer is left to the process."""
    for parse in (json_answer, lenient_json):
        assert flagged(parse, " null\n") == "the answer is null"
        assert parse('{"found": null}') == {"found": None}


WRAPPED = [
    '{"a": 1}',
    ' \n{"a": 1}\n',
    '```json\n{"a": 1}\n```',
    '```\n{"a":\n 1}\n```\n',
    '```JSON \r\n{"a": 1}\r\n```',
    '<think>1? 2? {"a": 2}\n```x```</think>\n\n{"a": 1}',
    '<think></think>```json\n{"a": 1}```',
]


def test_lenient_json_reads_one_fence_and_one_block_of_thoughts():
    """It reads JSON in a fence around the whole reply, after leading thoughts, or both.

    Json_answer reads bare JSON.
    """
    assert {text: flagged(lenient_json, text) for text in WRAPPED if flagged(lenient_json, text) != {"a": 1}} == {}
    bare = [text for text in WRAPPED if flagged(json_answer, text) == {"a": 1}]
    assert bare == WRAPPED[:2]
    held = '{"a": "```json </think> ```", "b": ["<think>"]}'
    assert lenient_json(f"```json\n{held}\n```") == json_answer(held)


NEITHER = {
    'Sure: {"a": 1}': "the answer is not JSON",
    '{"a": 1} done': "the answer is not JSON",
    'Here:\n```json\n{"a": 1}\n```': "words before the fence",
    '```json\n{"a": 1}\n```\nHope it helps': "more after the fence",
    '```json\n{"a": 1}\n```\n```json\n{"a": 1}\n```': "the answer is not JSON",
    '```json\n{"a": 1}': "the fence does not end",
    '```python\n{"a": 1}\n```': "'python'",
    '```{"a": 1}```': "neither JSON nor the end of the line",
    '<think>{"a": 1}': "the <think> block does not end",
    '<think>1</think><think>2</think>{"a": 1}': "a second <think> block",
    'hm </think>{"a": 1}': "thoughts that did not begin",
    '<think>1</think>so {"a": 1}': "the answer is not JSON",
    '{"a": 1}<think>1</think>': "the answer is not JSON",
    "": "the answer is not JSON",
    "```json\nNaN\n```": "NaN is not JSON",
    '```json\n{"a": 1, "a": 2}\n```': "a key is given twice",
}


def test_lenient_json_tolerates_nothing_else():
    """Any other text in a reply is flagged, with a reason that names it."""
    wrong = {text: reason for text, why in NEITHER.items() if why not in (reason := str(flagged(lenient_json, text)))}
    assert wrong == {}


def test_parsers_go_by_names():
    """A process can take a parser's name as its parameter; an unknown name is refused in one line."""
    assert {name: parser_named(name)(' "a" ') for name in PARSERS} == {
        "json": "a",
        "lenient-json": "a",
        "text": '"a"',
    }
    assert flagged(PARSERS["text"], " \n") == "the answer is empty"
    for name in ("yaml", None, ["json"]):
        with pytest.raises(InputError, match="parse must be one of json, lenient-json, text"):
            parser_named(name)


def test_the_parsers_caches_are_bounded():
    """A process with a new example or field name at each step does not fill the memory."""
    for number in range(1000):
        parsing._example_texts(f'{{"answer": "example {number}"}}')
    assert parsing._example_texts.cache_info().currsize <= parsing.MAX_CACHE_ENTRIES
    assert parsing._label.cache_info().maxsize == parsing.MAX_CACHE_ENTRIES
