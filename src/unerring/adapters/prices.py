"""Prices of models: from a file of your own, or from the table of `genai-prices` (`pip install 'unerring[prices]'`).

An unknown price is None, never 0. Models that run in this process are free.
"""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unerring.adapters.files.jsonl import read_text
from unerring.adapters.providers import in_this_process
from unerring.core.planning.costs import BATCH_PRICE_FACTOR, Price
from unerring.errors import InputError
from unerring.runtime.ensemble import RESERVE, SEPARATOR

BATCH_PROVIDER = "openai-batch"
_PRICED_TOKENS = 1000  # priced and scaled up: a million would be priced as one call with a very long prompt


def price_of(model: str, own: Mapping[str, Price] | None = None) -> Price | None:
    """The price of a model by its specification, such as `openai/gpt-4.1-mini`; None where it is not known.

    An ensemble has a price if all its models have the same one: they read and write different amounts, so that a mean
    of their prices would be wrong.
    """
    if own and model in own:
        return own[model]
    if SEPARATOR in model or RESERVE in model:
        first, *others = (price_of(one, own) for one in model.replace(RESERVE, SEPARATOR).split(SEPARATOR))
        return first if all(other == first for other in others) else None
    named, _, _ = model.partition(",")  # without its options
    if own and named in own:
        return own[named]
    provider, _, name = named.partition("/")
    if in_this_process(provider):
        return Price(0.0, 0.0, "runs in this process")
    if provider == BATCH_PROVIDER:
        whole = price_of(f"openai/{name}", own)
        return None if whole is None else _halved(whole)
    if provider == "litellm" and "/" in name:
        provider, _, name = name.partition("/")
    if not name or "@" in name:  # the user's own endpoint may have any price
        return None
    return _listed(provider, name)


def read_prices(path: Path) -> dict[str, Price]:
    """Read a price file: a TOML table for each model, with `input` and `output` in dollars per million tokens.

        ["openai/gpt-4.1-mini"]
        input = 0.40
        output = 1.60
        cached = 0.10    # of input from the provider's prompt cache; may be left out

    Raises `InputError` for a file that is not like that.
    """
    try:
        tables = tomllib.loads(read_text(path, "the prices"))
    except (ValueError, RecursionError) as error:  # also numbers with more digits than Python reads
        raise InputError(f"{path} is not TOML: {error}") from None
    return {model: _price(path, model, table) for model, table in tables.items()}


def _price(path: Path, model: str, table: Any) -> Price:
    if not isinstance(table, dict) or "input" not in table or "output" not in table:
        raise InputError(f"{path}: {model!r} needs input and output, dollars per million tokens")
    try:
        return Price(table["input"], table["output"], path.name, table.get("cached"))
    except InputError as error:
        raise InputError(f"{path}: {model!r}: {error}") from None


def _halved(price: Price) -> Price:
    """The price in a batch."""
    cached = None if price.cached is None else price.cached * BATCH_PRICE_FACTOR
    return Price(price.input * BATCH_PRICE_FACTOR, price.output * BATCH_PRICE_FACTOR, f"{price.source}, batch", cached)


def _listed(provider: str, name: str) -> Price | None:
    try:
        from genai_prices import Usage, calc_price
    except ImportError:
        return None
    tokens = Usage(input_tokens=_PRICED_TOKENS, output_tokens=_PRICED_TOKENS)
    try:
        price = calc_price(tokens, model_ref=name, provider_id=None if provider == "litellm" else provider)
    except LookupError:
        return None
    scale = 1e6 / _PRICED_TOKENS
    return Price(float(price.input_price) * scale, float(price.output_price) * scale, "genai-prices")
