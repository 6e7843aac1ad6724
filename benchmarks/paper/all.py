"""The whole page, measured, drawn and written: `python benchmarks/paper/all.py` (ten minutes on two cores)."""

from chains import chains
from costs import costs
from disks import disks
from draw import draw
from findings import fill, measuring_parser
from lengths import lengths
from page import write
from steps import steps
from subtasks import subtasks
from success import success


def main() -> None:
    args = measuring_parser(__doc__).parse_args()
    for work in (costs, success, subtasks, lengths, disks, steps, chains):
        fill(work, args.folder, args.quick)
    draw(args.folder)
    write(args.folder)


if __name__ == "__main__":
    main()
