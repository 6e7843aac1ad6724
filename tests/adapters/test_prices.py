"""Prices come from a file or from the table of genai-prices, or are unknown, never 0 by default."""

import sys
from pathlib import Path

import pytest

from pilots import one_line
from tables import each
from unerring.adapters.prices import price_of, read_prices
from unerring.core.planning.costs import Price
from unerring.errors import InputError


def written(tmp_path, text):
    path = tmp_path / "prices.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.fixture
def without_table(monkeypatch):
    """The environment as if genai-prices were not installed."""
    monkeypatch.setitem(sys.modules, "genai_prices", None)


# --- known and unknown


@each("model", ["embedded", "embedded/a", "noise/p=0.9,v=1.0,c=0.0", "noise", "embedded/a + noise/p=0.9,v=1.0,c=0.0"])
def test_what_runs_in_this_process_is_free(model):
    """The shipped models, and ensembles of them, cost nothing, and the price says why."""
    price = price_of(model)
    assert (price.input, price.output) == (0.0, 0.0)
    assert price.source


@each("free", ["embedded/a", "noise/p=0.9,v=1.0,c=0.0"])
def test_a_free_model_does_not_make_another_free(free):
    """In an ensemble a free voter does not change the price of the other, nor make it known."""
    for model in (f"{free} + openai/gpt-4.1-mini", f"openai/gpt-4.1-mini + {free}"):
        price = price_of(model)
        assert price is None or price.output > 0.0


def test_models_that_take_turns_have_a_price_where_all_of_them_have_the_same(without_table):
    """If all voters have one price it is the ensemble's.

    Different prices are not averaged, since tokens differ too.
    """
    own = {"x/a": Price(1.0, 2.0), "x/b": Price(1.0, 2.0), "x/c": Price(1.0, 3.0)}
    assert price_of("x/a + x/b", own) == Price(1.0, 2.0)
    assert price_of("x/a + x/c", own) is None
    assert price_of("x/a + x/unknown", own) is None
    assert price_of("x/a + x/c", own | {"x/a + x/c": Price(9.0, 9.0)}) == Price(9.0, 9.0)


def test_a_price_is_found_in_the_table():
    """A known model has its list price in dollars per million tokens, with the table as its source."""
    pytest.importorskip("genai_prices")
    assert price_of("openai/gpt-4.1-mini") == Price(0.4, 1.6, "genai-prices")


def test_a_price_is_found_through_litellm_too():
    """`litellm/...` models are priced by their provider and name."""
    pytest.importorskip("genai_prices")
    price = price_of("litellm/gpt-4.1-mini")
    assert (price.input, price.output) == (0.4, 1.6)


@each(
    "model",
    [
        "openai/no-such-model-9",
        "unknown/gpt-4.1-mini",
        "openai/gpt-4.1-mini@http://127.0.0.1:8000/v1",
        "given",
        "a function",
        "openai/",
        "",
        "/",
        "openai/gpt-4.1-mini + openai/no-such-model-9",
    ],
)
def test_an_unknown_price_is_none(model):
    """A model that the table lacks, or a user's own endpoint, has the price None, not 0."""
    assert price_of(model) is None


def test_without_the_table_prices_are_unknown(without_table):
    """Without genai-prices no list price is known, and nothing fails."""
    assert price_of("openai/gpt-4.1-mini") is None
    assert price_of("embedded").input == 0.0


def test_a_users_price_takes_precedence(without_table):
    """A price given for a model holds, with or without the table, also if the model is free."""
    own = {"openai/gpt-4.1-mini": Price(0.1, 0.2), "embedded": Price(5.0, 6.0)}
    assert price_of("openai/gpt-4.1-mini", own) == Price(0.1, 0.2)
    assert price_of("embedded", own) == Price(5.0, 6.0)
    assert price_of("openai/gpt-4.1-nano", own) is None


# --- a file


def test_a_file_has_a_table_for_each_model(tmp_path):
    """Whole and fractional dollars and zero are read, and the file is the source."""
    text = '["openai/gpt-4.1-mini"]\ninput = 0.40\noutput = 1.60\n\n["local/llama"]\ninput = 0\noutput = 0\n'
    assert read_prices(written(tmp_path, text)) == {
        "openai/gpt-4.1-mini": Price(0.4, 1.6, "prices.toml"),
        "local/llama": Price(0.0, 0.0, "prices.toml"),
    }


def test_an_empty_file_has_no_prices(tmp_path):
    """A file without tables is accepted."""
    assert read_prices(written(tmp_path, "")) == {}


MALFORMED = {
    "not TOML": "input = = 3",
    "not closed": '["openai/gpt',
    "not text": b"\xff\xfe\x00",
    "no table": "gpt = 3",
    "a list": "gpt = [1, 2]",
    "no output": "[gpt]\ninput = 1.0\n",
    "no input": "[gpt]\noutput = 1.0\n",
    "words": '[gpt]\ninput = "cheap"\noutput = 1.0\n',
    "a negative price": "[gpt]\ninput = -1.0\noutput = 1.0\n",
    "infinite": "[gpt]\ninput = inf\noutput = 1.0\n",
    "not a number": "[gpt]\ninput = 1.0\noutput = nan\n",
    "true": "[gpt]\ninput = true\noutput = 1.0\n",
    "a date": "[gpt]\ninput = 2025-01-01\noutput = 1.0\n",
    "a misspelled part": "[gpt]\ninput = 1.0\nouput = 1.0\n",
    "twice": "[gpt]\ninput = 1.0\noutput = 1.0\n[gpt]\ninput = 1.0\noutput = 1.0\n",
    "a name unquoted, so that it is nested": "[openai.gpt-4]\ninput = 1.0\noutput = 1.0\n",
    "a huge number": "[gpt]\ninput = " + "9" * 400 + "\noutput = 1.0\n",
    "a number without end": "[gpt]\ninput = " + "9" * 5000 + "\noutput = 1.0\n",
}


@each("text", MALFORMED.values(), ids=MALFORMED)
def test_a_file_that_is_malformed_is_one_line(tmp_path, text):
    """A malformed price file is an InputError that names the file, in one line."""
    with pytest.raises(InputError) as raised:
        read_prices(written(tmp_path, text))
    assert len(one_line(raised.value)) < 400
    assert "price" in str(raised.value)


@each("path", ["no/such/file.toml", "."])
def test_a_file_that_cannot_be_read_is_one_line(tmp_path, monkeypatch, path):
    """A missing file or a folder is an InputError in one line."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as raised:
        read_prices(Path(path))
    assert one_line(raised.value).startswith(f"cannot read the prices {path}: ")
