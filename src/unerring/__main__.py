"""Entry point of the command line: `python -m unerring`, and the console script."""

import os
import sys

STOPPED = 3  # the exit code of a run that can continue


def main() -> None:
    """Run the command line and exit with its code. Ctrl-C ends it with one line, also while modules are imported."""
    try:
        from unerring.cli.main import command_line
        from unerring.runtime.signals import left_work_behind

        code = command_line(sys.argv[1:])
        if left_work_behind():  # a model's code that does not end would keep the interpreter from ending
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    except KeyboardInterrupt:
        sys.stderr.write("unerring: stopped\n")
        code = STOPPED
    sys.exit(code)


if __name__ == "__main__":
    main()
