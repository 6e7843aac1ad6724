"""Draw every figure from figures.json: `python benchmarks/paper/draw.py`. Nothing is measured here."""

from pathlib import Path

import draw_laws
import draw_votes
import matplotlib
import style
from findings import parser_for, read, store

# name of the file, who draws it, the section it shows
FIGURES = [
    ("success-length", draw_laws.success_length, "success"),
    ("success-k", draw_laws.success_k, "success"),
    ("subtasks", draw_laws.subtasks, "subtasks"),
    ("lengths", draw_laws.lengths, "lengths"),
    ("disks", draw_votes.disks, "disks"),
    ("rounds", draw_votes.rounds, "rounds"),
    ("collisions", draw_votes.collisions, "collisions"),
    ("answers", draw_votes.answers, "answers"),
    ("chains", draw_votes.chains, "chains"),
    ("hardest", draw_votes.hardest, "hardest"),
]


def draw(folder: Path, png: Path | None = None) -> None:
    """Draw all figures, as SVGs next to their figures.json, or as PNGs into another folder."""
    sections = read(folder)
    for name, drawn, section in FIGURES:
        with style.drawing():
            style.save(drawn(sections[section]), png or folder, name, png=png is not None)
    if png is None:
        store(folder, "drawing", {"command": "python benchmarks/paper/draw.py", "matplotlib": matplotlib.__version__})


def main() -> None:
    parser = parser_for(__doc__)
    parser.add_argument("--png", type=Path, metavar="FOLDER", help="write PNGs there instead, to look at")
    args = parser.parse_args()
    draw(args.folder, args.png)


if __name__ == "__main__":
    main()
