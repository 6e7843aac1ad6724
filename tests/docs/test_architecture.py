"""ARCHITECTURE.md names places that exist; files, folders and names keep the sizes of CONTRIBUTING.md."""

import ast
import re
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "unerring"
MAX_LINES = 400
MAX_FILES = 15  # besides __init__.py


def test_every_place_that_the_map_names_exists():
    """Files and folders in backticks exist, as a path in the package or the repository, or by name."""
    names = re.findall(r"`([\w/-]+(?:\.py|\.md|/))`", (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8"))
    assert len(names) > 50
    anywhere = {path.name for path in SOURCE.rglob("*.py")}
    gone = [
        name for name in names if not (SOURCE / name).exists() and not (ROOT / name).exists() and name not in anywhere
    ]
    assert not gone, f"ARCHITECTURE.md names {', '.join(gone)}, which do not exist"


def test_files_and_folders_of_the_package_keep_their_sizes():
    """No file has more lines, and no folder more files, than CONTRIBUTING.md allows."""
    files = sorted(SOURCE.rglob("*.py"))
    long = [str(file) for file in files if len(file.read_text(encoding="utf-8").splitlines()) > MAX_LINES]
    assert not long, f"more than {MAX_LINES} lines, split them: {', '.join(long)}"
    counts = Counter(file.parent for file in files if file.name != "__init__.py")
    full = [str(folder) for folder, count in counts.items() if count > MAX_FILES]
    assert not full, f"more than {MAX_FILES} files, split them: {', '.join(full)}"


def test_a_name_of_a_public_class_occurs_once():
    """No two public classes have the same name."""
    trees = (ast.parse(file.read_text(encoding="utf-8")) for file in SOURCE.rglob("*.py"))
    names = Counter(node.name for tree in trees for node in tree.body if isinstance(node, ast.ClassDef))
    assert [name for name, count in names.items() if count > 1 and not name.startswith("_")] == []
