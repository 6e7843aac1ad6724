"""Decorator for a test over a table of rows: it tries every row and names each one that fails."""

import inspect
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from functools import wraps
from typing import Any

import pytest

MAX_ROW_CHARS = 100


def each(names: str | tuple[str, ...], rows: Iterable[Any], ids: Any = None) -> Callable[[Any], Any]:
    """Run a test for every row of a table as one test. The arguments are those of `pytest.mark.parametrize`.

    A failing row does not keep the others from being tried: one AssertionError lists all that fail, each with its name
    and reason. Every row has a folder, an environment and a log of its own (`tmp_path`, `monkeypatch`, `caplog`).
    """
    wanted = tuple(name.strip() for name in names.split(",")) if isinstance(names, str) else names
    table = [tuple(row) if len(wanted) > 1 else (row,) for row in rows]
    assert table, "a table without a row tests nothing"
    titles = [_title(row, number, ids) for number, row in enumerate(table)] if callable(ids) or ids is None else [*ids]
    assert len(titles) == len(table)

    def over(test: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(test)
        assert set(wanted) <= set(signature.parameters)

        @wraps(test)
        def rowwise(*args: Any, **fixtures: Any) -> None:
            failed: list[str] = []
            first: BaseException | None = None
            for number, (title, row) in enumerate(zip(titles, table, strict=True)):
                with ExitStack() as stack:
                    given = _own(fixtures, number, stack)
                    try:
                        test(*args, **given, **dict(zip(wanted, row, strict=True)))
                    except (Exception, pytest.fail.Exception) as error:
                        failed.append(f"{title}: {type(error).__name__}: {error}")
                        first = first or error
            if failed:
                lines = "\n".join(failed)
                raise AssertionError(f"{len(failed)} of {len(table)} rows fail:\n{lines}") from first

        left = [one for name, one in signature.parameters.items() if name not in wanted]
        rowwise.__signature__ = signature.replace(parameters=left)  # type: ignore[attr-defined]
        return rowwise

    return over


def _title(row: tuple[Any, ...], number: int, ids: Callable[[Any], Any] | None) -> str:
    """The name of a row: what `ids` makes of each value, or the values themselves, cut to a line."""
    words = [str(ids(value)) if ids else repr(value) for value in row]
    return f"row {number} ({', '.join(words)[:MAX_ROW_CHARS]})"


def _own(fixtures: dict[str, Any], number: int, stack: ExitStack) -> dict[str, Any]:
    """The fixtures of one row, none of which another row has used."""
    own = dict(fixtures)
    if "tmp_path" in own:
        own["tmp_path"] = own["tmp_path"] / f"row-{number}"
        own["tmp_path"].mkdir()
    if "monkeypatch" in own:
        own["monkeypatch"] = stack.enter_context(own["monkeypatch"].context())
    if "caplog" in own:
        own["caplog"].clear()
    return own
