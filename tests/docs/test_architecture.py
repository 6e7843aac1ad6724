"""ARCHITECTURE.md names places that exist; files, functions, folders and names keep the sizes of CONTRIBUTING.md."""

import ast
import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "unerring"
MAX_LINES = 400
MAX_FUNCTION_LINES = 60  # without its decorators
MAX_FILES = 15  # besides __init__.py


@pytest.fixture(scope="module")
def files():
    """The files of the package by path, as syntax trees."""
    found = {path: ast.parse(path.read_text(encoding="utf-8")) for path in sorted(SOURCE.rglob("*.py"))}
    assert len(found) > 100, f"{SOURCE} has no package"
    return found


def test_every_place_that_the_map_names_exists(files):
    """Files and folders in backticks exist: as a path in the package or the repository, or one file has the name."""
    names = re.findall(r"`([\w/-]+(?:\.py|\.md|/))`", (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8"))
    assert len(names) > 50
    count = Counter(path.name for path in files)
    wrong = [
        f"{name} ({count[name]} files of the package have this name)"
        for name in names
        if not (SOURCE / name).exists() and not (ROOT / name).exists() and count[name] != 1
    ]
    assert not wrong, f"ARCHITECTURE.md names {', '.join(wrong)}"


def test_files_folders_and_functions_of_the_package_keep_their_sizes(files):
    """No file and no function has more lines, and no folder more files, than CONTRIBUTING.md allows."""
    long = [str(path) for path in files if len(path.read_text(encoding="utf-8").splitlines()) > MAX_LINES]
    assert not long, f"more than {MAX_LINES} lines, split them: {', '.join(long)}"
    counts = Counter(path.parent for path in files if path.name != "__init__.py")
    full = [str(folder) for folder, count in counts.items() if count > MAX_FILES]
    assert not full, f"more than {MAX_FILES} files, split them: {', '.join(full)}"
    functions = [
        (f"{path}:{node.lineno} {node.name}", node.end_lineno - node.lineno + 1)
        for path, tree in files.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    long = [name for name, lines in functions if lines > MAX_FUNCTION_LINES]
    assert functions
    assert not long, f"more than {MAX_FUNCTION_LINES} lines, split them: {', '.join(long)}"


def test_a_name_of_a_public_class_occurs_once(files):
    """No two public classes have the same name."""
    names = Counter(node.name for tree in files.values() for node in tree.body if isinstance(node, ast.ClassDef))
    assert names
    assert [name for name, count in names.items() if count > 1 and not name.startswith("_")] == []


def test_each_decision_has_a_number_of_its_own():
    """The name of its file begins with it, and so does its title."""
    files = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))
    numbers = [file.name[:4] for file in files]
    assert len({*numbers}) == len(numbers)
    assert all(
        file.read_text(encoding="utf-8").startswith(f"# {number}") for file, number in zip(files, numbers, strict=True)
    )
