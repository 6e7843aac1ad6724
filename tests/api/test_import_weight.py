"""Importing the package is light: nothing heavy is loaded before it is used."""

import subprocess
import sys

import pytest

HEAVY = {"ctranslate2", "numpy", "click", "rich"}


def loaded_by(statement):
    """The top-level names of all modules that a fresh interpreter imports for a statement."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", statement], capture_output=True, text=True, check=True, timeout=60
    )
    rows = [line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")]
    return {row.partition(".")[0] for row in rows}


@pytest.fixture(scope="module")
def loaded():
    return loaded_by("import unerring")


def test_importing_the_package_loads_nothing_heavy(loaded):
    """`import unerring` loads neither the engine nor numpy, nor what only the command line needs."""
    assert "unerring" in loaded
    assert not HEAVY & loaded


def test_importing_the_package_loads_the_standard_library_only(loaded):
    """Every module that it loads is Python's or its own."""
    # a distribution's .pth files run at every start of Python, whatever is imported; copy.py looks for Jython's org
    before = loaded_by("pass") | {"org"}
    assert loaded - before <= set(sys.stdlib_module_names) | {"unerring"}


def test_a_run_with_a_users_model_loads_nothing_heavy():
    """A run without the embedded model and without a terminal loads nothing heavy either."""
    statement = "import unerring; unerring.run(unerring.Hanoi(disks=2), 'noise/p=1', k=1)"
    assert not HEAVY & loaded_by(statement)
