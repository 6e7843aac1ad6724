"""Probe calls on the command line: they are short, are announced on stderr, and can be switched off."""

import pytest

from faults.answers import noise
from faults.server import serving

COMMANDS = {
    "run": ("run", "hanoi", "--set", "disks=2", "--k", "2", "--journal", "run.db"),
    "calibrate": ("calibrate", "hanoi", "--set", "disks=4", "--samples", "3", "--out", "cal.json"),
}


@pytest.fixture
def endpoint():
    """A model behind an endpoint, and the token limits of the probe calls that it received."""
    trials, model = [], noise(p=1.0)

    def answer(prompt, temperature, seed, index, limit):
        if "random lowercase letters" in prompt:
            trials.append(limit)
        return model(prompt, temperature, seed, index, limit)

    with serving(models={"m": answer}) as server:
        yield f"openai/m@{server.url}", trials


@pytest.mark.parametrize("command", COMMANDS)
def test_a_probe_is_short_and_announced(cli, endpoint, command):
    """Before the first step stderr says that the endpoint is probed; no probe call may take more than 48 tokens."""
    spec, trials = endpoint
    done = cli(*COMMANDS[command], "--model", spec)
    assert done.code == 0, done.err
    assert (
        f"trying the endpoint {spec} out: 3 to 5 short calls; where these show nothing, mostly 6 and at most 32 more"
        in done.err
    )
    assert set(trials) == {48}


@pytest.mark.parametrize("command", COMMANDS)
def test_no_probe_is_sent_with_no_probe(cli, endpoint, command):
    """With --no-probe only the process's own questions are sent, and no probe is mentioned."""
    spec, trials = endpoint
    done = cli(*COMMANDS[command], "--model", spec, "--no-probe")
    assert done.code == 0, done.err
    assert "trying" not in done.err
    assert trials == []


def test_with_json_no_probe_is_announced(cli, endpoint):
    """With --json stderr stays empty."""
    done = cli(*COMMANDS["calibrate"], "--model", endpoint[0], "--json")
    assert (done.code, done.err) == (0, "")
