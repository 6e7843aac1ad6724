"""A tree of problems as text: each with its answer, and how the votes fell on the steps that asked about it."""

from collections.abc import Iterator, Mapping

from unerring.core.tree import Node
from unerring.core.vote import canonical
from unerring.ui.text import inert

LONGEST = 60  # characters of a problem


def tree_text(root: Node, tallies: Mapping[int, str], most: int = 60) -> str:
    """The tree in lines, the first `most` of them. `tallies` has the votes by the number of a step."""
    lines = [*_lines(root, tallies, "", "")]
    if len(lines) > most:
        lines[most:] = [f"... and {len(lines) - most:,} problems more (--tree N shows N)"]
    return "\n".join(lines)


def _lines(node: Node, tallies: Mapping[int, str], first: str, others: str) -> Iterator[str]:
    problem = " ".join(node.problem.split())
    problem = problem if len(problem) <= LONGEST else f"{problem[: LONGEST - 1]}…"
    answer = f" = {canonical(node.answer)}" if node.done else ""
    votes = ", ".join(tallies[step] for step in node.steps if step in tallies)
    yield inert(f"{first}{problem}{answer}") + (f"   ({votes})" if votes else "")
    for part in node.parts:
        last = part is node.parts[-1]
        yield from _lines(part, tallies, others + ("└─ " if last else "├─ "), others + ("   " if last else "│  "))
