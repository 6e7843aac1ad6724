"""`--help` of the commands with many options: each option under a heading, the most used ones first."""

import click

from unerring.cli.command import OPTION_GROUPS, OTHER_OPTIONS, Command
from unerring.cli.main import commands


def test_options_stand_under_headings_in_one_order(cli):
    """Every option of run, resume, solve and calibrate is listed once, under a heading of the same order."""
    for name in ("run", "resume", "solve", "calibrate"):
        command = commands.commands[name]
        assert isinstance(command, Command)
        lines = cli(name, "--help").out.splitlines()
        found = [line[:-1] for line in lines if line.endswith(":") and line[:-1] in (*OPTION_GROUPS, OTHER_OPTIONS)]
        assert found == [heading for heading in (OTHER_OPTIONS, *OPTION_GROUPS) if heading in found]
        lines = lines[lines.index("What runs:") :]  # the words before them may begin a line with an option
        listed = [line.split()[0].rstrip(",") for line in lines if line.startswith("  -")]
        options = [one.opts[0] for one in command.get_params(click.Context(command)) if isinstance(one, click.Option)]
        assert sorted(listed) == sorted(options)
    assert cli("run", "--help").out.index("--model") < cli("run", "--help").out.index("--waste")
