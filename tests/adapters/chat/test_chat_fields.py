"""Extra fields of a request may not have names of fields that unerring sets."""

from dataclasses import replace

import pytest

import unerring
from parked_runs import entries
from unerring import Hanoi, InputError, Options, Request
from unerring.adapters.chat.fields import require_free_fields
from unerring.adapters.sqlite.writer import SqliteJournal
from unerring.api.calibration.calibrating import PilotOptions
from unerring.core.journal.entries import Opened
from unerring.errors import StepLimit

OWNED = (
    *("model", "messages", "prompt", "n", "best_of", "seed", "stream", "stream_options", "temperature"),
    *("max_tokens", "max_completion_tokens", "logprobs", "stop", "response_format", "extra_body", "api_key"),
    *("N", "Stream"),
)


def test_reserved_fields_are_refused_by_name():
    """One line names the field, in any spelling; other fields are allowed."""
    for name in OWNED:
        with pytest.raises(InputError, match=f"^'{name}' cannot be among the further fields of a request: [^\n]+$"):
            require_free_fields(["top_p", name])
    require_free_fields(["top_p", "reasoning_effort"])


@pytest.mark.parametrize("options", [Options, PilotOptions])
def test_options_refuse_reserved_fields(options):
    """They are refused when the options are made, for any model."""
    with pytest.raises(InputError, match="'n' cannot be among"):
        options(request=Request(extra={"n": 5}))


def test_a_journal_with_reserved_fields_is_not_resumed(tmp_path):
    """A journal whose opening entry has such a field can be read, but not resumed."""
    with pytest.raises(StepLimit):
        unerring.run(Hanoi(3), "noise/p=1", tmp_path / "run.db", k=1, options=Options(max_steps=2))
    forged = SqliteJournal.create(tmp_path / "forged.db")
    opened, *_ = entries(tmp_path / "run.db", Opened)
    forged.append(replace(opened, request={"extra": {"n": 5}}))
    forged.close()
    assert unerring.report(tmp_path / "forged.db")["steps"] == 0
    with pytest.raises(InputError, match="'n' cannot be among"):
        unerring.resume(tmp_path / "forged.db")
