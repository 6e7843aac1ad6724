"""Draw small changes to the code by a seed: the operators of cosmic-ray, and two more."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import parso
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.operators.operator import Operator
from cosmic_ray.plugins import get_operator

OTHER = {"min": "max", "max": "min"}


class SwapLeastAndMost(Operator):
    """`max` for `min`, and `min` for `max`."""

    def mutation_positions(self, node):
        if node.type == "name" and node.value in OTHER and self._called(node):
            yield node.start_pos, node.end_pos

    def _called(self, node):
        following = node.get_next_sibling()
        return following is not None and following.type == "trailer" and following.children[0].value == "("

    def mutate(self, node, index):
        return parso.parse(node.prefix + OTHER[node.value])

    @classmethod
    def examples(cls):
        return ()


class LeaveOut(Operator):
    """A statement that is a call, awaited or not, and a `raise` are left out."""

    def mutation_positions(self, node):
        if node.type == "simple_stmt" and self._does_something(node.children[0]):
            yield node.start_pos, node.end_pos

    def _does_something(self, statement):
        return statement.type in {"atom_expr", "raise_stmt"} or (statement.type == "await_expr")

    def mutate(self, node, index):
        return parso.parse(f"{node.children[0].get_first_leaf().prefix}pass\n")

    @classmethod
    def examples(cls):
        return ()


def _comparisons() -> list[str]:
    pairs = (
        "Lt_LtE",
        "LtE_Lt",
        "Gt_GtE",
        "GtE_Gt",
        "Eq_NotEq",
        "NotEq_Eq",
        "Is_IsNot",
        "IsNot_Is",
        "Lt_Gt",
        "GtE_LtE",
    )
    return [f"core/ReplaceComparisonOperator_{pair}" for pair in pairs]


# By kind, each of which is drawn equally often: there are far more numbers than all else together.
KINDS: dict[str, Sequence[str | type[Operator]]] = {
    "comparison": _comparisons(),
    "number": ["core/NumberReplacer"],
    "logic": ["core/ReplaceAndWithOr", "core/ReplaceOrWithAnd", "core/ReplaceUnaryOperator_Delete_Not"],
    "condition": ["core/AddNot"],
    "truth": ["core/ReplaceTrueWithFalse", "core/ReplaceFalseWithTrue"],
    "arithmetic": [f"core/ReplaceBinaryOperator_{pair}" for pair in ("Add_Sub", "Sub_Add", "Mul_Div", "Div_Mul")],
    "loop": ["core/ReplaceBreakWithContinue", "core/ReplaceContinueWithBreak", "core/ZeroIterationForLoop"],
    "least and most": [SwapLeastAndMost],
    "left out": [LeaveOut],
}


@dataclass(frozen=True)
class Mutant:
    """One small change: the file, relative to the repository, the operator, and the number of the changed place."""

    path: Path
    operator: str | type[Operator]
    occurrence: int
    line: int

    def applied(self, code: str) -> str:
        """The file's code with the change in it."""
        mutated: str | None = mutate_code(code, _made(self.operator), self.occurrence)
        assert mutated is not None, self
        return mutated

    def described(self, code: str) -> str:
        """The place of the change, and the line before and after."""
        before, after = code.splitlines(), self.applied(code).splitlines()
        changed = next((pair for pair in zip(before, after, strict=False) if pair[0] != pair[1]), ("", ""))
        return f"{self.path}:{self.line}: {changed[0].strip()}  ->  {changed[1].strip()}"


def _made(operator: str | type[Operator]) -> Operator:
    made: Operator = (get_operator(operator) if isinstance(operator, str) else operator)()
    return made


def _of_a_decorator(node) -> bool:
    """Whether a place is in a decorator: whether a class has slots has no visible effect."""
    while node is not None:
        if node.type == "decorator":
            return True
        node = node.parent
    return False


def _mutants(root: Path, path: Path, operators: Sequence[str | type[Operator]]) -> Iterator[Mutant]:
    nodes = [*ast_nodes(get_ast((root / path).read_text(encoding="utf-8")))]
    for operator in operators:
        made = _made(operator)
        places = [(node, start) for node in nodes for start, _ in made.mutation_positions(node)]
        for occurrence, (node, (line, _)) in enumerate(places):
            if not _of_a_decorator(node):
                yield Mutant(path, operator, occurrence, line)


def drawn(root: Path, paths: Sequence[Path], count: int, seed: int) -> list[Mutant]:
    """So many mutants of these files, of each kind in turn; the same ones for the same code and seed."""
    chance, left = Random(seed), {}
    for kind, operators in KINDS.items():
        every = [mutant for path in paths for mutant in _mutants(root, path, operators)]
        chance.shuffle(every)
        left[kind] = every
    found: list[Mutant] = []
    while len(found) < count and any(left.values()):
        for mutants in left.values():
            if mutants and len(found) < count:
                found.append(mutants.pop())
    return found
