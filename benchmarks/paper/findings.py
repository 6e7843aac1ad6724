"""What the scripts of this folder share: options, the one JSON file of figures, and shares with exact intervals.

Every measuring script fills its own sections of that file and leaves the others alone; `draw.py` and `page.py` only
read it.
"""

import argparse
import json
import math
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from scipy.stats import binomtest

DOCS = Path(__file__).parents[2] / "docs" / "paper"
DIGITS = 6  # significant ones: what processors round differently should not show

Section = dict[str, Any]
Work = Callable[[bool], dict[str, Section]]  # takes whether to be quick, and returns sections by name


def parser_for(doc: str | None) -> argparse.ArgumentParser:
    """A parser with the option that every script of the folder has."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=DOCS, help="folder of figures.json and the page")
    return parser


def measuring_parser(doc: str | None) -> argparse.ArgumentParser:
    """The same for a script that measures."""
    parser = parser_for(doc)
    parser.add_argument("--quick", action="store_true", help="a few seconds, to see that it works: figures are coarse")
    return parser


def measure(doc: str | None, work: Work) -> None:
    """Run a measuring script."""
    args = measuring_parser(doc).parse_args()
    fill(work, args.folder, args.quick)


def fill(work: Work, folder: Path, quick: bool) -> None:
    """Measure some sections and store them, each with the command that does it."""
    started = time.monotonic()
    script = Path(work.__code__.co_filename).name
    command = f"python benchmarks/paper/{script}" + (" --quick" if quick else "")
    for name, section in work(quick).items():
        store(folder, name, {"command": command, **section})
    print(f"{script}: {time.monotonic() - started:.0f} s", file=sys.stderr)


def read(folder: Path) -> dict[str, Section]:
    """All sections measured so far."""
    file = folder / "figures.json"
    sections: dict[str, Section] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    return sections


def store(folder: Path, name: str, section: Section) -> None:
    """Replace one section of the file."""
    folder.mkdir(parents=True, exist_ok=True)
    sections = dict(sorted((read(folder) | {name: rounded(section)}).items()))
    text = json.dumps(sections, indent=1, ensure_ascii=False, allow_nan=False)
    (folder / "figures.json").write_text(text + "\n", encoding="utf-8")


def rounded(value: Any) -> Any:
    """The same data with numbers cut to `DIGITS` significant digits."""
    if isinstance(value, dict):
        return {str(key): rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(item) for item in value]
    if isinstance(value, float) and math.isfinite(value):
        return float(f"{value:.{DIGITS}g}")
    return value


def share(hits: int, trials: int) -> Section:
    """A share that was counted in independent trials, with its exact interval at 95 % (Clopper and Pearson, 1934)."""
    interval = binomtest(hits, trials).proportion_ci(0.95, "exact") if trials else None
    return {
        "hits": hits,
        "trials": trials,
        "rate": hits / trials if trials else None,
        "low": float(interval.low) if interval else None,
        "high": float(interval.high) if interval else None,
    }
