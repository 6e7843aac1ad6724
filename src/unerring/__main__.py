"""`python -m unerring`, and the console script."""

import sys


def main() -> None:
    """Run the command line and exit with its code."""
    from unerring.ui.cli import command_line

    sys.exit(command_line(sys.argv[1:]))


if __name__ == "__main__":
    main()
