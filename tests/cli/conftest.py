"""Fixtures of the command line's tests: a command line in its own folder, and a user's module in that folder."""

import sys

import pytest
from command_runs import LEDGER, Done

from unerring.cli.main import command_line


@pytest.fixture
def cli(tmp_path, monkeypatch, capsys):
    """Run a command in this process, in its own folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def call(*arguments):
        capsys.readouterr()
        code = command_line([str(argument) for argument in arguments])
        return Done(code, *capsys.readouterr())

    return call


@pytest.fixture
def ledger(tmp_path):
    (tmp_path / "ledger.py").write_text(LEDGER)
