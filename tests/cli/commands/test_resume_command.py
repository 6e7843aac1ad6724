"""Every setting of `run` can be changed by `resume` or is refused there with the reason; defaults in help are true."""

import click
import pytest
from command_runs import NOISE

import unerring
from faults.answers import echoing, noise
from faults.server import serving
from unerring import InputError, Options, Policy, Target
from unerring.cli.journals import fork
from unerring.cli.run import NOT_OF_RESUME, resume, run
from unerring.errors import StepLimit

BEGUN = ("run", "hanoi", "--set", "disks=3", *NOISE, "--journal", "run.db", "--max-steps", "2")


def options_of(command):
    """The names of a command's options."""
    return {name for one in command.params for name in (*one.opts, *one.secondary_opts) if name.startswith("--")}


def test_every_option_of_run_is_one_of_resume_or_refused_there_with_a_reason(cli):
    """No option of `run` is forgotten in `resume`; a refused option leaves the journal unchanged."""
    lacking = options_of(run) - options_of(resume)
    assert lacking == set(NOT_OF_RESUME), "options of run are options of resume, or in NOT_OF_RESUME in cli/run.py"
    assert cli(*BEGUN).code == 3
    before = unerring.report("run.db")
    for name, why in NOT_OF_RESUME.items():
        for words in ((name, "1"), (f"{name}=1",)):
            done = cli("resume", "run.db", *words)
            assert done.code == 2
            assert done.line.startswith(f"unerring: No such option '{name}': {why}.")
            assert len(done.line) < 300
    assert unerring.report("run.db") == before
    assert "No such option '--modle' (Possible options" not in cli("resume", "run.db", "--sed", "1").err


@pytest.mark.parametrize("command", [fork, resume])
def test_no_default_of_run_is_claimed_where_the_settings_of_a_journal_hold(command):
    """In the help of `fork` and `resume` the default of a setting that journals keep is that of FILE."""
    kept = {*NOT_OF_RESUME, "--vote-cap", "--flag-cap", "--min-replies", "--nonce", "--echo"}
    context, claims = click.Context(command), {}
    for one in command.params:
        if kept & {*one.opts} and not one.help.startswith("With --"):
            claims[one.opts[0]] = one.get_help_record(context)[1]
    assert {"--vote-cap", "--flag-cap", "--min-replies"} <= set(claims)
    assert [name for name, text in claims.items() if "default" in text and "as in FILE" not in text] == []


def test_options_of_new_runs_are_refused_in_python_too(tmp_path):
    """Options that would change who answers or who wins are refused by name, never ignored."""
    path = tmp_path / "run.db"
    with pytest.raises(StepLimit):
        unerring.run(unerring.Hanoi(3), "noise/p=1", path, k=2, options=Options(max_steps=2))
    for given in (
        {"policy": Policy()},
        {"target": Target(0.5)},
        {"escalate": "noise/p=0.9"},
        {"escalate_after": 5},
    ):
        with pytest.raises(InputError, match=f"`{next(iter(given))}` is for new runs: a run keeps"):
            unerring.resume(path, options=Options(**given))


def test_echoes_and_replies_are_options_of_resume(cli, monkeypatch):
    """--echo, --no-echo and --min-replies hold from the resumed step on, and the report says so."""
    monkeypatch.setenv("UNERRING_API_KEY", "sk-none")
    with serving(models={"m": echoing(noise(p=1.0))}) as server:
        model = ("--k", "3", "--model", f"openai/m@{server.url}", "--min-replies", "1")
        stopped = ("--no-probe", "--max-steps", "2")
        assert cli("run", "hanoi", "--set", "disks=4", *model, "--journal", "run.db", *stopped).code == 3
        assert cli("resume", "run.db", "--echo", "--min-replies", "2", *stopped).code == 3
        shown = cli("report", "run.db").out
        assert "each answer must end with a word of its own request (echo)" in shown
        assert "a winner's votes come from at least 2 replies" in shown
        assert cli("resume", "run.db", "--no-echo", "--no-probe").code == 0
        assert "(echo)" not in cli("report", "run.db").out
