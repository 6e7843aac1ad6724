"""A tree of problems as text and as HTML: each problem with its answer and the tallies of its steps."""

from collections.abc import Iterator, Mapping
from html import escape
from pathlib import Path
from typing import Any

from unerring.api.journals import history as reading
from unerring.cli.text.report import printable
from unerring.core.tree import Tree, TreeNode, tree_so_far
from unerring.core.voting.canonical import canonical
from unerring.errors import InputError
from unerring.processes import SHIPPED, Solve

MAX_DRAWN_PROBLEM_CHARS = 60


def decided_tree(journal: Path, chain: Tree) -> tuple[TreeNode, dict[int, str]]:
    """The tree in a journal, and tallies by step; raises `InputError` if its choices make no tree."""
    decided = list(reading.History(journal).steps())
    tallies = {one.step: "-".join(map(str, one.tally)) for one in decided}
    try:
        return tree_so_far(chain, (one.value for one in decided)), tallies
    except (LookupError, TypeError, ValueError, AttributeError, AssertionError) as error:
        raise InputError(f"{journal} holds no valid tree of problems: {type(error).__name__}: {error}") from None


def tree_of(journal: Path, report: Mapping[str, Any]) -> str:
    """The tree in a journal as HTML elements that fold, two levels open; empty if its process splits no problems."""
    if SHIPPED.get(report["process"]) is not Solve:
        return ""
    root, tallies = decided_tree(journal, Solve(**report["parameters"]))
    return f'<section class="tree">\n<h2>Problems</h2>\n{"".join(_folds(root, tallies, 0))}</section>'


def tree_text(root: TreeNode, tallies: Mapping[int, str], most: int = 60) -> str:
    """The tree in lines: a heading, and the first `most` problems."""
    lines = ["problem = answer   (votes on each of its steps)", *_lines(root, tallies, "", "")]
    if (problems := len(lines) - 1) > most:
        lines[most + 1 :] = [f"... and {problems - most:,} more problems (--tree {problems} shows all)"]
    return "\n".join(lines)


def _lines(node: TreeNode, tallies: Mapping[int, str], first: str, others: str) -> Iterator[str]:
    yield f"{first}{_line(node, tallies)}"
    for part in node.parts:
        last = part is node.parts[-1]
        yield from _lines(part, tallies, others + ("└─ " if last else "├─ "), others + ("   " if last else "│  "))


def _folds(node: TreeNode, tallies: Mapping[int, str], depth: int) -> Iterator[str]:
    line = f"<bdi>{escape(_line(node, tallies))}</bdi>"
    if not node.parts:
        yield f"<p>{line}</p>\n"
        return
    yield f"<details{' open' if depth < 2 else ''}><summary>{line}</summary>\n"
    for part in node.parts:
        yield from _folds(part, tallies, depth + 1)
    yield "</details>\n"


def _line(node: TreeNode, tallies: Mapping[int, str]) -> str:
    problem = " ".join(node.problem.split())
    problem = problem if len(problem) <= MAX_DRAWN_PROBLEM_CHARS else f"{problem[: MAX_DRAWN_PROBLEM_CHARS - 1]}…"
    answer = f" = {canonical(node.answer)}" if node.done else ""
    votes = ", ".join(tallies[step] for step in node.steps if step in tallies)
    return printable(f"{problem}{answer}") + (f"   ({votes})" if votes else "")
