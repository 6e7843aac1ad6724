"""The decorator for tables of rows tries every row and names each one that fails."""

import pytest

from tables import each


def test_every_failing_row_is_named_and_no_other():
    """A row that fails, by an assertion, an error or a missing exception, does not keep the rest from being tried."""
    tried = []

    @each(("kind", "number"), [("right", 1), ("wrong", 2), ("error", 3), ("quiet", 4), ("right", 5)])
    def law(kind, number):
        tried.append(number)
        assert kind != "wrong"
        if kind == "error":
            raise KeyError(number)
        if kind == "quiet":
            with pytest.raises(ValueError, match="never"):
                pass

    with pytest.raises(AssertionError, match="3 of 5 rows fail") as failed:
        law()
    assert tried == [1, 2, 3, 4, 5]
    named = [line for line in str(failed.value).splitlines() if line.startswith("row")]
    assert [line.split(":")[0] for line in named] == ["row 1 ('wrong', 2)", "row 2 ('error', 3)", "row 3 ('quiet', 4)"]


def test_tables_of_two_laws_are_tried_in_every_pair():
    """Two tables at one test give every pair of their rows, as with `parametrize`."""
    pairs = []

    @each("first", "ab")
    @each("second", [1, 2], ids=str)
    def law(first, second):
        pairs.append((first, second))

    law()
    assert pairs == [("a", 1), ("a", 2), ("b", 1), ("b", 2)]


def test_rows_do_not_share_a_folder(tmp_path):
    """The files of one row are not there for the next."""

    @each("name", ["x", "y"])
    def law(tmp_path, name):
        assert list(tmp_path.iterdir()) == []
        (tmp_path / name).touch()

    law(tmp_path=tmp_path)


def test_a_table_without_rows_is_an_error():
    """An empty table would make a test pass that tries nothing."""
    with pytest.raises(AssertionError, match="tests nothing"):
        each("name", [])
