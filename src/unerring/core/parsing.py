"""A parser for answers that are JSON, hardened against whatever a model may write."""

import json
from typing import NoReturn

from unerring.core.redflag import RedFlag
from unerring.core.vote import Json


def json_answer(text: str) -> Json:
    """Read an answer that is JSON and nothing else; use it as a subtask's `parse`.

    Raises `RedFlag` for any other text, for NaN and infinities, and for absurd nesting or numbers.
    """
    try:
        value: Json = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise RedFlag(f"the answer is not JSON: {error}") from None
    return value


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
