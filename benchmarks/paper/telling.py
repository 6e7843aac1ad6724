"""One part of the page, and how it writes numbers."""

from dataclasses import dataclass
from math import floor, log10
from textwrap import fill

AGREES, PARTLY, DIFFERS = "agrees", "agrees in part", "differs"


@dataclass(frozen=True, slots=True)
class Part:
    """What the page says of one thing: the text, what the paper found, and how ours stands to that.

    `section` is the section of figures.json that it is about. `figures` are pairs of a file's name and what it shows,
    for those who cannot see it; `table` has its head first.
    """

    title: str
    text: str
    paper: str
    verdict: str
    section: str
    figures: tuple[tuple[str, str], ...] = ()
    table: tuple[tuple[str, ...], ...] = ()

    def markdown(self, number: int, command: str) -> str:
        """The part as a chapter of the page."""
        parts = [f"## {number}. {self.title}"]
        parts += [f"![{shows}]({name}.svg)" for name, shows in self.figures]
        parts.append(wrapped(self.text))
        if self.table:
            parts.append(rows(self.table))
        parts.append(wrapped(f"The paper: {self.paper}. Ours **{self.verdict}**."))
        parts.append(f"```\n{command}\n```")
        return "\n\n".join(parts)


def wrapped(text: str) -> str:
    return fill(text, 119, break_long_words=False, break_on_hyphens=False)


def rows(lines: tuple[tuple[str, ...], ...]) -> str:
    """A table; the first line is its head."""
    head, *rest = lines
    return "\n".join(f"| {' | '.join(line)} |" for line in [head, ("---",) * len(head), *rest])


def dollars(amount: float) -> str:
    return f"${amount / 1000:.1f}K"


def percent(share: float, digits: int = 0) -> str:
    return f"{100 * share:.{digits}f} %"


def small(value: float) -> str:
    """A small number with two digits, such as 0.00013."""
    return "0" if value == 0 else f"{value:.{max(0, 1 - floor(log10(abs(value))))}f}"


def listed(items: list[str]) -> str:
    """Items as a sentence has them: a, b and c."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"
