"""A question that the provider refuses is parked for a person to decide, and the others are asked."""

import json
from random import random

import pytest
from endpoint_runs import QuickClock

import unerring
from doubling import Doubling
from faults.answers import Answer
from faults.faults import Fault, Rejection
from faults.script import since, where
from faults.server import serving
from rows import Rows
from unerring import Guards, InputError, Options
from unerring.adapters.sqlite.reader import JournalReader
from unerring.api.journals.review import decide, review
from unerring.cli.main import command_line
from unerring.core.journal.entries import Failed, Refused, Replies
from unerring.errors import ProviderGone, StepRefused

ODD = Rejection(422, "unprocessable", "Something about this request cannot be processed.")
PLAIN = Options(guards=Guards(probe=False), clock=QuickClock())


def doubling(prompt, *drawn):
    if not prompt.startswith("Double"):
        return Answer(f"{random():.16f}", 20, 8)
    return Answer(str(2 * int(prompt.strip(".").split()[1])), 20, 2)


def refusing(fault, *numbers):
    """A script by which these rows are refused."""
    asked = {f"Double {number}." for number in numbers}
    return where(lambda question: question.prompt in asked, fault)


def found(path, kind):
    return [entry for entry in JournalReader(path).entries() if isinstance(entry, kind)]


def run(server, path, chain=None, options=PLAIN):
    return unerring.run(chain or Rows(), f"openai/m@{server.url}", path, k=2, options=options)


@pytest.mark.parametrize("fault", [Fault.TOO_LONG, Fault.CONTENT_FILTER])
def test_rows_next_to_a_refused_one_are_answered_before_the_run_stops(tmp_path, fault):
    """All rows but the refused 3 and 7 get their votes before the run stops, and a person's answers continue it.

    Each refusal is one call and on record; the answers are checked, and with them the same journal continues to its
    end.
    """
    path = tmp_path / "run.db"
    with serving(models={"m": doubling}, script=refusing(fault, 3, 7)) as server:
        with pytest.raises(StepRefused, match=r"step 3 was refused by the provider: .*answered 400") as stop:
            run(server, path)
        assert (stop.value.step, stop.value.journal) == (3, str(path))
        refused = found(path, Refused)
        assert [entry.step for entry in refused] == [3, 7]
        answered = {entry.replies[0].step for entry in found(path, Replies)}
        assert answered == set(range(12)) - {3, 7}
        calls = server.ledger.totals.requests
        with pytest.raises(StepRefused):  # asked once more, and not the others
            unerring.resume(path, Rows(), options=PLAIN)
        assert server.ledger.totals.requests <= calls + 4
        parked = review(path, Rows()).parked
        assert (parked.step, parked.prompts) == (3, {1: "Double 3."})
        assert "answered 400" in parked.refused
        with pytest.raises(InputError, match="not even"):
            decide(path, answer=7, chain=Rows())
        assert decide(path, answer=6, chain=Rows()).choice == "6"
        with pytest.raises(StepRefused, match="step 7"):
            unerring.resume(path, Rows(), options=PLAIN)
        decide(path, answer=14, chain=Rows())
        assert unerring.resume(path, Rows(), options=PLAIN).state["sum"] == 132


def test_the_command_shows_what_the_provider_said_and_takes_an_answer(tmp_path, capsys):
    """`review` shows the question, the message and how to decide; `--answer` takes JSON only."""
    path = tmp_path / "run.db"
    with serving(models={"m": doubling}, script=refusing(Fault.TOO_LONG, 2)) as server:
        with pytest.raises(StepRefused):
            run(server, path, Doubling(3))
        assert command_line(["review", str(path), "--process", "doubling:Doubling"]) == 0
        shown = capsys.readouterr().out
        assert "refused by the provider" in shown
        assert "maximum context length" in shown
        assert "| Double 2." in shown
        assert "--answer" in shown
        assert command_line(["review", str(path), "--answer", "{", "--process", "doubling:Doubling"]) == 2
        assert "--answer is JSON" in capsys.readouterr().err
        words = ["review", str(path), "--answer", "4", "--json", "--process", "doubling:Doubling"]
        capsys.readouterr()
        assert command_line(words) == 0
        assert json.loads(capsys.readouterr().out)["choice"] == 4
        assert unerring.resume(path, Doubling(3), options=PLAIN).state["value"] == 8


def test_another_model_may_answer_a_refused_step(tmp_path):
    """The step is drawn from the model that a person names, and the others from the run's own."""
    path = tmp_path / "run.db"
    script = where(lambda question: question.model == "m" and "Double 2." in question.prompt, Fault.CONTENT_FILTER)
    with serving(models={"m": doubling, "other": doubling}, script=script) as server:
        with pytest.raises(StepRefused):
            run(server, path, Doubling(3))
        decide(path, model=f"openai/other@{server.url}", chain=Doubling(3))
        assert unerring.resume(path, Doubling(3), options=PLAIN).state["value"] == 8


def test_a_request_that_is_never_accepted_ends_the_run_and_parks_nothing(tmp_path):
    """A 422 without a specific code at the very first call is the configuration's fault, later the question's.

    Later means after other steps were answered, in the same session or a later one.
    """
    first, later, resumed = (tmp_path / f"{name}.db" for name in ("first", "later", "resumed"))
    with serving(models={"m": doubling}, script=since(0, ODD)) as server, pytest.raises(ProviderGone, match="422"):
        run(server, first, Doubling(3))
    assert found(first, Refused) == []
    assert len(found(first, Failed)) <= 2
    with serving(models={"m": doubling}, script=refusing(ODD, 2)) as server:
        with pytest.raises(StepRefused, match=r"step 1 .*422"):
            run(server, later, Doubling(3))
        with pytest.raises(unerring.Stopped):
            run(server, resumed, Doubling(3), Options(guards=Guards(probe=False), max_steps=1, speculate="off"))
        with pytest.raises(StepRefused, match=r"step 1 .*422"):
            unerring.resume(resumed, Doubling(3), options=PLAIN)
    script = since(6, Fault.NO_SUCH_MODEL)
    with serving(models={"m": doubling}, script=script) as server, pytest.raises(ProviderGone, match="404"):
        run(server, tmp_path / "gone.db", Doubling(9))


def test_of_several_models_those_that_answer_decide(tmp_path):
    """If one of three models refuses a question, its samples are flagged and the other two decide.

    If all refuse it, the step is parked.
    """
    path, parked = tmp_path / "run.db", tmp_path / "parked.db"
    script = where(lambda question: question.model == "a" and "Double 2." in question.prompt, Fault.TOO_LONG)
    with serving(models=dict.fromkeys("abc", doubling), script=script) as server:
        models = [f"openai/{name}@{server.url}" for name in "abc"]
        result = unerring.run(Doubling(3), models, path, k=2, options=PLAIN)
    assert result.state["value"] == 8
    reasons = [one.reason for entry in found(path, Replies) for one in entry.replies if one.flag is not None]
    assert reasons
    assert all("maximum context length" in reason for reason in reasons)
    with serving(models=dict.fromkeys("abc", doubling), script=refusing(Fault.TOO_LONG, 2)) as server:
        models = [f"openai/{name}@{server.url}" for name in "abc"]
        with pytest.raises(StepRefused, match="step 1"):
            unerring.run(Doubling(3), models, parked, k=2, options=PLAIN)
    assert len(found(parked, Failed)) < 12


def test_an_endpoint_that_refuses_the_probe_calls_is_run_all_the_same(tmp_path):
    """Neither a filter that refuses random letters nor a refused first question ends a run before it began."""
    filtering = where(lambda question: "Double" not in question.prompt, Fault.CONTENT_FILTER)
    with serving(models={"m": doubling}, script=filtering) as server:
        assert run(server, tmp_path / "run.db", Doubling(3), Options(clock=QuickClock())).state["value"] == 8
    script = refusing(Fault.TOO_LONG, 0)
    with serving(models={"m": doubling}, script=script) as server, pytest.raises(StepRefused, match="step 0"):
        run(server, tmp_path / "parked.db", Rows(3), Options(clock=QuickClock()))
