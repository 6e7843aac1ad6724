"""Trial calls on the command line: they are short, said on the screen, and left out where that is asked for."""

import pytest

from faults.answers import noise
from faults.server import serving

COMMANDS = {
    "run": ("run", "hanoi", "--set", "disks=2", "--k", "2", "--journal", "run.db"),
    "calibrate": ("calibrate", "hanoi", "--set", "disks=4", "--samples", "3", "--out", "cal.json"),
}


@pytest.fixture
def endpoint():
    """A model behind an endpoint, and the trials it was asked: the most tokens that each might have."""
    trials, model = [], noise(p=1.0)

    def answer(prompt, temperature, seed, index, limit):
        if "random lowercase letters" in prompt:
            trials.append(limit)
        return model(prompt, temperature, seed, index, limit)

    with serving(models={"m": answer}) as server:
        yield f"openai/m@{server.url}", trials


@pytest.mark.parametrize("command", COMMANDS)
def test_a_trial_is_short_and_said_on_the_screen(cli, endpoint, command):
    """Before the first step stderr says that the endpoint is tried out; no trial call may take more than 48 tokens."""
    spec, trials = endpoint
    done = cli(*COMMANDS[command], "--model", spec)
    assert done.code == 0, done.err
    assert (
        f"trying the endpoint {spec} out: 3 to 5 short calls; where these show nothing, mostly 6 and at most 32 more"
        in done.err
    )
    assert set(trials) == {48}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_trial_is_left_out_where_that_is_asked_for(cli, endpoint, command):
    """With --no-probe nothing but the process's own questions is asked, and nothing is said of a trial."""
    spec, trials = endpoint
    done = cli(*COMMANDS[command], "--model", spec, "--no-probe")
    assert done.code == 0, done.err
    assert "trying" not in done.err
    assert trials == []


def test_json_output_has_no_line_about_a_trial(cli, endpoint):
    """Where a program reads along, stderr stays empty."""
    done = cli(*COMMANDS["calibrate"], "--model", endpoint[0], "--json")
    assert (done.code, done.err) == (0, "")
