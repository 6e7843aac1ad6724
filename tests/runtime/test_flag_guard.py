"""Runs whose samples are all flagged stop early, and say what to do."""

import asyncio

import pytest

import unerring
from chain_runs import K3, Words, resume, run
from faults.answers import Answer
from faults.server import serving
from rows import Rows
from unerring import Guards, Options
from unerring.adapters.sqlite.reader import JournalReader
from unerring.api.calibration.calibrating import PilotOptions, acalibrate
from unerring.core.journal.entries import Replies
from unerring.core.voting.flag_limit import MIN_FLAGS_WITHOUT_VOTE
from unerring.core.voting.redflag import RedFlag
from unerring.core.voting.sample import NOTE_REASONING, Finish, Sample, Usage
from unerring.errors import SamplesFlagged, StepUndecided
from virtual_time import Says


def total(path):
    """How many samples a journal holds."""
    return sum(len(entry.replies) for entry in JournalReader(path).entries() if isinstance(entry, Replies))


def fenced(prompt, temperature=0.0, seed=0, index=0, limit=0):
    return Answer(f"```json\n{2 * int(prompt.split()[-1].rstrip('.'))}\n```", 20, 8)


def test_three_hundred_rows_of_flags_cost_a_few_samples(tmp_path):
    """With all replies fenced, the run stops after the samples then in flight, and names the parser that reads it."""
    path = tmp_path / "run.db"
    with serving(models={"m": fenced}) as server:
        spec = f"openai/m@{server.url}"
        options = Options(guards=Guards(probe=False))
        with pytest.raises(SamplesFlagged, match=r"```json.*lenient_json.*`parse` lenient-json") as stop:
            unerring.run(Rows(300), spec, path, k=3, options=options)
        drawn = total(path)
        assert MIN_FLAGS_WITHOUT_VOTE <= drawn < 150  # as many as may be in flight by the time that is seen
        assert stop.value.journal == str(path)
        assert stop.value.larger == ("flagged", 1.0)
        with pytest.raises(SamplesFlagged):  # a resumed session counts again
            unerring.resume(path, Rows(300), options=options)
        assert total(path) - drawn < 150


def test_without_speculation_a_flagged_run_stops_alike_and_continues():
    """Without speculation 16 samples suffice; once the model is corrected the same journal continues to its end."""
    outcome = run(Words(2), Says(lambda prompt, step, slot: "!no"), K3)
    assert isinstance(outcome.error, SamplesFlagged)
    assert outcome.state.samples < MIN_FLAGS_WITHOUT_VOTE + 3
    assert "malformed on purpose" in str(outcome.error)
    corrected = resume(Words(2), Says(lambda prompt, step, slot: "yes"), list(outcome.journal.entries()))
    assert corrected.at == ["yes", "yes"]


def test_a_setting_lets_a_run_continue_to_its_caps(tmp_path):
    """With flagged=1 the step is undecided at its flag cap, and its message has the reason and a reply as well."""
    options = Options(guards=Guards(flagged=1.0), speculate="off")
    with pytest.raises(StepUndecided, match=r"0 votes.*60 flagged samples: .*not JSON.*one reply: .*lenient_json"):
        unerring.run(Rows(1), lambda prompt: fenced(prompt).text, tmp_path / "run.db", k=3, options=options)


def test_what_a_reply_has_instead_of_an_answer_is_reported_and_kept(tmp_path):
    """For an empty text with reasoning, cut off at its limit, the flag's reason in the journal says both."""
    thoughts = Sample("", Usage(9, 750), Finish.LENGTH, note=NOTE_REASONING)

    async def thinking(prompt, settings):
        return thoughts

    path = tmp_path / "run.db"
    with pytest.raises(SamplesFlagged, match=r"750 tokens; .*reasoning.*text is empty; .*`max_output_tokens` 3000"):
        unerring.run(Rows(300), thinking, path, k=3)
    replies = [entry.replies[0] for entry in JournalReader(path).entries() if isinstance(entry, Replies)]
    assert all(NOTE_REASONING in reply.reason and "after 750 tokens" in reply.reason for reply in replies)


def test_a_check_that_rejects_all_is_named():
    """The reason of the process's own check is shown."""

    class Checked(Words):
        def check(self, state, choice):
            return RedFlag("not among the labels")

    outcome = run(Checked(2), Says(lambda prompt, step, slot: "yes"), K3)
    assert isinstance(outcome.error, SamplesFlagged)
    assert "not among the labels" in str(outcome.error)


def test_an_ensemble_with_an_always_flagged_member_ends_and_names_it(tmp_path):
    """If one of three models gives only flags, the other two decide every step, and a line names the third."""
    lines = []

    class Watching:
        def decided(self, decided, state):
            pass

        def notice(self, line):
            lines.append(line)

    async def answer(prompt, settings):
        return "2"

    async def dead(prompt, settings):
        return "I am sorry"

    async def other(prompt, settings):
        return "2"

    options = Options(observer=Watching())
    result = unerring.run(Rows(60), [answer, dead, other], tmp_path / "run.db", k=3, options=options)
    assert result.state["sum"] == 120
    assert len(lines) == 1
    assert "dead" in lines[0]
    assert "decides nothing" in lines[0]


def test_a_calibration_stops_alike(tmp_path):
    """A pilot of a model that is always flagged stops after a few samples, and the same call continues it."""
    asked = []

    async def flagged(prompt, settings):
        asked.append(prompt)
        return "no"

    for _ in range(2):
        with pytest.raises(SamplesFlagged, match="JSON"):
            asyncio.run(acalibrate(Rows(300), flagged, 2000, options=PilotOptions(in_flight=8)))
    assert len(asked) < 4 * MIN_FLAGS_WITHOUT_VOTE
