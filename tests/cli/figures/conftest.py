"""A journal for the tests of reports."""

import pytest

import unerring


@pytest.fixture(scope="module")
def journal(tmp_path_factory):
    """A run of 63 steps with dissent, flags and two voters."""
    path = tmp_path_factory.mktemp("run") / "run.db"
    models = ["noise/p=0.8,v=0.8", "noise/p=0.9,v=0.9"]
    unerring.run(unerring.Hanoi(disks=6), models, path, k=3, seed=4)
    return path
