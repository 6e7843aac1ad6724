"""Parsers that ship: what they read, and the reason for which they flag everything else."""

import pytest

from unerring import RedFlag, json_answer


def test_null_is_no_answer_to_json_answer():
    """A reply of null is flagged as such; null further inside an answer is the process's to judge."""
    with pytest.raises(RedFlag, match="the answer is null"):
        json_answer(" null\n")
    assert json_answer('{"found": null}') == {"found": None}
