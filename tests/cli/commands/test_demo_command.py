"""`unerring demo` says what it needs, ends in a verified run, and replaces no journal."""

import sys
from pathlib import Path

from command_runs import ran

import unerring
from unerring.cli import demo


def test_the_demonstration_without_its_extra_prints_only_what_to_install(cli, monkeypatch):
    """Where the inference engine is not installed, one line says how to install it; nothing is begun or shown."""
    monkeypatch.setitem(sys.modules, "unerring.adapters.embedded.engine", None)
    for words in (("demo", "--disks", "2"), ("run", "hanoi", "--set", "disks=2")):
        done = cli(*words)
        assert (done.code, done.out) == (2, "")
        assert "pip install 'unerring[embedded]', or '.[embedded]' in the repository" in done.line


def test_the_pages_that_use_the_embedded_model_say_how_to_install_it():
    """The README and the tutorial name its extra."""
    root = Path(__file__).parents[3]
    for page in ("README.md", "docs/tutorial.md"):
        assert "pip install '.[embedded]'" in (root / page).read_text(encoding="utf-8")


def test_the_demonstration_ends_in_a_verified_run(cli, tmp_path, monkeypatch):
    """`unerring demo` needs only the package, and ends with a run verified by the rules of the game."""
    monkeypatch.setattr(demo, "LARGE_PUZZLE_STEPS", 8)  # steps for which unaided chains are followed
    done = cli("demo", "--disks", "3")
    assert done.code == 0, done.err
    assert "7 steps right, zero errors" in done.out
    (journal,) = tmp_path.glob("*.db")
    assert unerring.verify(journal).problem is None


def test_the_demonstration_refuses_a_journal_that_exists(cli, monkeypatch):
    """A journal that already holds a run is refused before anything is shown or computed."""
    ran(cli)
    monkeypatch.setattr(demo, "LARGE_PUZZLE_STEPS", 1)
    done = cli("demo", "--disks", "2", "--journal", "run.db")
    assert (done.code, done.out) == (2, "")
    assert "run.db holds a run" in done.line
