"""What is built for users has every module: packaging leaves out what git ignores."""

import subprocess
from pathlib import Path

import pytest

import unerring

PACKAGE = Path(unerring.__file__).parent


def test_no_file_of_the_package_is_ignored_by_git():
    """No source file matches a pattern of .gitignore: the wheel would not have it, and no linter would read it."""
    names = [str(path) for path in PACKAGE.rglob("*") if path.suffix in {".py", ".css", ".json", ".typed"}]
    asked = subprocess.run(
        ["git", "check-ignore", "--no-index", "--stdin"],  # noqa: S607
        cwd=PACKAGE,
        input="\n".join(names),
        capture_output=True,
        text=True,
        check=False,
    )
    if asked.returncode > 1:
        pytest.skip("not a git checkout")
    assert asked.stdout.split() == []


def test_every_folder_of_the_package_is_a_regular_package():
    """A folder without `__init__.py` is left out by tools that read packages, such as the import linter."""
    folders = {path.parent for path in PACKAGE.rglob("*.py")}
    assert [folder.name for folder in folders if not (folder / "__init__.py").exists()] == []
