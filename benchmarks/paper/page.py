"""Write docs/paper/README.md from figures.json: `python benchmarks/paper/page.py`. Nothing is measured here."""

from pathlib import Path

import page_laws
import page_votes
from findings import Section, parser_for, read
from telling import Part, rows, wrapped


def parts(sections: dict[str, Section]) -> list[Part]:
    """All parts of the page, in its order."""
    return [
        page_laws.costs(sections["costs"]),
        page_laws.success(sections["success"]),
        page_laws.subtasks(sections["subtasks"]),
        page_laws.lengths(sections["lengths"]),
        page_votes.disks(sections["disks"]),
        page_votes.rounds(sections["rounds"]),
        page_votes.collisions(sections["collisions"]),
        page_votes.answers(sections["answers"]),
        page_votes.chains(sections["chains"], sections["hardest"]),
    ]


def page(sections: dict[str, Section]) -> str:
    """The whole page."""
    all_parts = parts(sections)
    overview = [("", "the paper", "ours"), *((part.title, part.paper, part.verdict) for part in all_parts)]
    chapters = [part.markdown(i, sections[part.section]["command"]) for i, part in enumerate(all_parts, 1)]
    what = (
        "Meyerson et al., *Solving a Million-Step LLM Task with Zero Errors* "
        "([arXiv:2511.09030](https://arxiv.org/abs/2511.09030)), make claims about cost, length, errors and voting. "
        "Here they are measured again with the embedded model, which is small enough to ship in the package, and with "
        "noise of a known error rate. One command makes everything on this page again:"
    )
    how = (
        "Each figure has the command that measures it. Two more scripts, `draw.py` and `page.py`, then draw "
        "and write what is here from [figures.json](figures.json) alone. Samples follow from their seeds, so a "
        "machine gives the same figures each time; another processor or version of the engine may give a rare sample "
        f"differently. Measured with {sections['disks']['engine']}."
    )
    blocks = ["# The paper, reproduced", wrapped(what), "```\nmake paper\n```", wrapped(how), rows(tuple(overview))]
    return "\n\n".join([*blocks, *chapters]) + "\n"


def write(folder: Path) -> None:
    """Write the page next to its figures.json."""
    (folder / "README.md").write_text(page(read(folder)), encoding="utf-8")


def main() -> None:
    write(parser_for(__doc__).parse_args().folder)


if __name__ == "__main__":
    main()
