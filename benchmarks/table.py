"""The README's table of figures, made from the JSON files that the benchmarks wrote.

    python benchmarks/table.py FOLDER                      # print it
    python benchmarks/table.py FOLDER --write README.md    # put it between the two marker comments
    python benchmarks/table.py FOLDER --check README.md    # exit with 1 if it differs

FOLDER holds one file for each benchmark, as `--json FOLDER/NAME.json` writes it. A claim that does
not hold is marked in the table, never left out.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

BEGIN = "<!-- benchmarks: made by benchmarks/table.py -->"
END = "<!-- benchmarks: end -->"


def table(benchmarks: list[dict[str, Any]]) -> str:
    """The figures as a Markdown table, with the machine they were measured on below."""
    lines = ["| what | figure | must hold | command |", "|---|---|---|---|"]
    for one in benchmarks:
        command = f"`{one['command']}`"
        for row in one["rows"]:
            must = f"{row['must']}: **missed**" if row["holds"] is False else row["must"]
            lines.append(
                "| "
                + " | ".join(cell.replace("|", "\\|") for cell in (row["what"], row["figure"], must, command))
                + " |"
            )
            command = ""  # named once, at the first of its rows
    machines = sorted({f"{one['machine']}, {one['software']}" for one in benchmarks})
    return "\n".join([*lines, "", f"(Measured on {'; '.join(machines)}.)"])


def read(folder: Path) -> list[dict[str, Any]]:
    """The figures of the benchmarks, in the order of their files; raises `ValueError` for any other file."""
    benchmarks = []
    for file in sorted(folder.glob("*.json")):
        try:
            one = json.loads(file.read_text(encoding="utf-8"))
            benchmarks.append({name: one[name] for name in ("command", "machine", "software", "rows")})
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{file} is not what a benchmark wrote ({type(error).__name__}: {error})") from None
    if not benchmarks:
        raise ValueError(
            f"{folder} holds no figures; write some with: python benchmarks/NAME.py --json {folder}/NAME.json"
        )
    return benchmarks


def with_block(page: Path, block: str) -> str:
    """The page's text with the block between its markers replaced; raises `ValueError` where they are not there."""
    text = page.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{page} lacks the markers: a line {BEGIN} and, below it, a line {END}")
    return f"{before}{BEGIN}\n{block}\n{END}{after}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--write", type=Path, metavar="PAGE", help="replace the block in PAGE")
    where.add_argument("--check", type=Path, metavar="PAGE", help="exit with 1 if PAGE holds another block")
    args = parser.parse_args()
    try:
        block = table(read(args.folder))
        if args.write is not None:
            args.write.write_text(with_block(args.write, block), encoding="utf-8")
        elif args.check is not None:
            if with_block(args.check, block) != args.check.read_text(encoding="utf-8"):
                print(f"{args.check} holds other figures; run: {sys.argv[0]} {args.folder} --write {args.check}")
                return 1
        else:
            print(block)
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
