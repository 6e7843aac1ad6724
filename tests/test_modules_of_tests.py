"""A test does not see the modules that other tests wrote and imported."""

import importlib
import sys

import pytest


@pytest.mark.parametrize("folder", ["one", "two"])
def test_a_module_that_another_test_wrote_is_unknown(folder, tmp_path):
    """Each test imports its own file, though both have one name and neither cleans up."""
    (tmp_path / "of_a_test.py").write_text(f"folder = {folder!r}\n")
    sys.path.insert(0, str(tmp_path))
    assert importlib.import_module("of_a_test").folder == folder
    assert len([place for place in sys.path if "test_a_module_that_another" in place]) == 1
