"""What type checkers say about chains: mypy checks this file, and an ignored error that is none is an error itself."""

from typing import Any, assert_type

import unerring
from unerring import Chain, RedFlag, Result, Subtask


class Plain:
    """A chain that does not inherit, with types of its own."""

    def start(self) -> dict[str, int]:
        return {"row": 0}

    def subtask(self, state: dict[str, int]) -> Subtask | None:
        return Subtask("?", int) if state["row"] < 3 else None

    def advance(self, state: dict[str, int], choice: int) -> dict[str, int]:
        return {"row": state["row"] + 1}


class Typed(Chain[dict[str, int], int]):
    """A chain that inherits, with an optional method."""

    name = "typed"
    version = 2

    def start(self) -> dict[str, int]:
        return {"row": 0}

    def subtask(self, state: dict[str, int]) -> Subtask | None:
        return None

    def advance(self, state: dict[str, int], choice: int) -> dict[str, int]:
        return state

    def check(self, state: dict[str, int], choice: int) -> RedFlag | None:
        return RedFlag("negative") if choice < 0 else super().check(state, choice)


class Untyped(Chain):
    """A bare `Chain` passes strict checks."""

    def start(self) -> list[str]:
        return []

    def subtask(self, state: list[str]) -> Subtask | None:
        return None

    def advance(self, state: list[str], choice: str) -> list[str]:
        return [*state, choice]


class Wrong(Chain[int, int]):
    """Optional methods are compared with the base class's."""

    def start(self) -> int:
        return 0

    def subtask(self, state: int) -> Subtask | None:
        return None

    def advance(self, state: int, choice: int) -> int:
        return state

    def length(self) -> str:  # type: ignore[override]
        return "3"


class Unfinished(Chain[int, int]):
    """A required method is missing."""

    def start(self) -> int:
        return 0

    def subtask(self, state: int) -> Subtask | None:
        return None


def both_kinds_of_chains_are_chains(inner: bool) -> Chain:
    chain: unerring.Chain = Plain()
    annotated: unerring.Chain[dict[str, int], int] = Plain()
    return chain if inner else annotated


def a_chain_without_a_method_is_none() -> None:
    Unfinished()  # type: ignore[abstract]
    unerring.run(object())  # type: ignore[arg-type]


def a_result_has_the_state_of_its_chain() -> None:
    assert_type(unerring.run(Typed()).state, dict[str, int])
    assert_type(unerring.run(Plain()), Result[dict[str, int]])
    assert_type(unerring.resume("run.db"), Result[Any])
    assert_type(unerring.run(Typed()).report.votes_per_step, float | None)
    result: Result = unerring.run(Untyped())
    assert_type(result.state, Any)
