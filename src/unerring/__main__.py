"""Entry point of the command line: `python -m unerring`, and the console script."""

import sys

STOPPED = 3  # the exit code of a run that can go on


def main() -> None:
    """Run the command line and exit with its code. Ctrl-C ends it with one line, also while modules are imported."""
    try:
        from unerring.cli.main import command_line

        code = command_line(sys.argv[1:])
    except KeyboardInterrupt:
        sys.stderr.write("unerring: stopped\n")
        code = STOPPED
    sys.exit(code)


if __name__ == "__main__":
    main()
