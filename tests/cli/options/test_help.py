"""`--help`: every command and option is explained, and where there are many, each is under a heading."""

import click
import pytest

from unerring.cli.command import HELP, OPTION_GROUPS, OTHER_OPTIONS, Command
from unerring.cli.main import commands


@pytest.mark.parametrize("name", sorted(commands.commands))
def test_the_help_of_every_command_has_usage_and_an_example(cli, name):
    """Each command's help has its usage, explains its argument or has an example, and exits with 0."""
    done = cli(name, "--help")
    assert (done.code, done.err) == (0, "")
    usage, _, rest = done.out.partition("\n\n")
    assert usage.startswith(f"Usage: unerring {name}")
    arguments = [word.strip("[]") for word in usage.split()[4:] if word.isupper()]  # in brackets if optional
    assert all(argument in rest for argument in arguments)
    assert arguments or f"unerring {name}" in rest or "Size of the puzzle" in rest
    assert max(map(len, done.out.splitlines())) <= 100


@pytest.mark.parametrize("name", sorted(commands.commands))
def test_every_option_is_explained(name):
    """Every option of every command has a help text."""
    options = [one for one in commands.commands[name].params if one.param_type_name == "option"]
    assert [one.name for one in options if not getattr(one, "help", None)] == []


def test_the_help_of_the_program_says_where_to_start(cli):
    """The program's help names every command, a first one to try, and the exit codes."""
    text = cli("--help").out
    assert all(f"  {name}" in text for name in commands.commands)
    assert "Start here:   unerring demo" in text
    assert "Exit codes: 0 done" in text


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
