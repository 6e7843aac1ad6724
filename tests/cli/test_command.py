"""`--help` of the commands with many options: each option is under a heading, the most used ones first."""

import click
import pytest

from unerring.cli.command import HELP, OPTION_GROUPS, OTHER_OPTIONS, Command
from unerring.cli.main import commands


def test_options_are_under_headings_in_one_order(cli):
    """Every option of run, resume, solve and calibrate is listed once, and the headings have the same order."""
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


def options_of(name):
    """The parameters that `OPTION_GROUPS` may name, of a command's options."""
    command = commands.commands[name]
    listed = [one for one in command.get_params(click.Context(command)) if isinstance(one, click.Option)]
    return {HELP if "--help" in one.opts else one.name: one.opts[0] for one in listed}


@pytest.mark.parametrize("name", ["run", "resume", "fork", "solve", "calibrate", "plan", "demo"])
def test_every_option_is_in_a_group(name):
    """A new option of a command with many has a heading in `--help`."""
    named = [name for names in OPTION_GROUPS.values() for name in names]
    missing = [option for parameter, option in options_of(name).items() if parameter not in named]
    assert not missing, f"add the parameter of {', '.join(missing)} to OPTION_GROUPS in cli/command.py"


def test_groups_name_options_that_there_are():
    """An option that was removed or renamed leaves no name behind, and none is in two groups."""
    named = [name for names in OPTION_GROUPS.values() for name in names]
    assert sorted(named) == sorted(set(named))
    assert not set(named) - {parameter for name in commands.commands for parameter in options_of(name)}
