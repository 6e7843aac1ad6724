"""The embedded model behind an endpoint: real answers of a real language model, over HTTP, and in batches."""

from contextlib import nullcontext

import pytest
from endpoint_runs import QuickClock, options

import unerring
from faults.answers import Embedded, noise
from faults.faults import Fault
from faults.script import since
from faults.server import serving
from faults.trials import Trials
from unerring import Hanoi
from unerring.adapters.embedded.catalog import EMBEDDED_POLICY
from unerring.api.calibration.calibrating import PilotOptions, calibrate
from unerring.errors import ModelChanged
from unerring.runtime.config import Guards, SystemClock


def test_a_chain_of_its_real_answers_is_solved(tmp_path):
    """Six disks through the endpoint, asked in the compact wording, are solved correctly."""
    with serving(models={"tiny": Embedded("embedded")}) as server:
        spec = f"openai/tiny@{server.url},compact"
        given = {"policy": EMBEDDED_POLICY, "guards": Guards(), "clock": SystemClock(), "speculate": "embedded/draft"}
        result = unerring.run(Hanoi(6), spec, tmp_path / "run.db", options=options(spec, **given))
    assert result.steps == 63
    assert unerring.verify(tmp_path / "run.db").problem is None
    assert result.report["spend"]["dollars"] > 0
    assert list(result.report["served"]) == [spec]


def test_a_pilot_in_batches_measures_what_one_by_one_measures():
    """A calibration by batches draws the same samples at half the price, although some requests fail."""
    found = {}
    troubled = Trials(polls=1, shuffled=True, expired=0.2, doubled=0.1)
    with serving(
        models={"tiny": Embedded("embedded")}, batch=lambda number: troubled if number < 3 else Trials(polls=1)
    ) as server:
        for provider in ("openai", "openai-batch"):
            how = ",gather=0.1,poll=0.02" if provider == "openai-batch" else ""
            spec = f"{provider}/tiny@{server.url},compact{how}"
            piloted = PilotOptions(policy=EMBEDDED_POLICY, in_flight=200, clock=QuickClock())
            found[provider] = calibrate(Hanoi(10), spec, samples=200, options=piloted)
        totals = server.ledger.settled()
    one, batched = (found[provider].voters[0] for provider in ("openai", "openai-batch"))
    assert (one.steps, one.votes, one.wrong, one.flags) == (batched.steps, batched.votes, batched.wrong, batched.flags)
    assert totals.batch_lines >= 200


@pytest.mark.parametrize("same_model", [False, True])
def test_another_model_under_the_same_name_is_reported_and_can_stop_a_run(tmp_path, same_model):
    """The served model is recorded; a change is noticed within a step, and can stop the run."""
    journal = tmp_path / "run.db"
    with serving(models={"m": noise(p=0.99)}, script=since(20, Fault.SWAPPED)) as server:
        spec = f"openai/m@{server.url}"
        given = options(spec, guards=Guards(same_model=same_model), speculate="off")
        with pytest.raises(ModelChanged, match="is now answered by") if same_model else nullcontext():
            unerring.run(Hanoi(5), spec, journal, options=given)
        requests = server.ledger.settled().requests
    report = unerring.report(journal)
    assert len(report["served"][spec]) == 2
    if same_model:
        assert report["stopped"]["kind"] == "model changed"
        assert requests <= 23
