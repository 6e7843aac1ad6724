"""Runs on an endpoint, killed with SIGKILL many times: nothing is paid for twice, and no budget is exceeded."""

import json
from random import Random

import pytest
from killing import acknowledged, assert_each_once, cli, life
from stretch import stretches

from faults.process import running
from unerring.api.journals import history as reading
from unerring.api.journals.verify import verify
from unerring.core.planning.costs import Price

PRICE = Price(0.40, 1.60)
STEPS = 2**5 - 1


def spent(totals):
    """Dollars that the server billed, whether or not the caller received the reply."""
    delivered, lost = totals["billed_delivered"], totals["billed_undelivered"]
    return sum(PRICE.input * one["input"] + PRICE.output * one["output"] for one in (delivered, lost)) / 1e6


def killed_and_resumed(folder, server, seed, budget=None, surely=0):
    """A run of five disks, killed at random moments until it is done or its budget is spent.

    Returns the number of kills. So many of them are certain, each in another part of the run.
    """
    journal, prices = folder / "run.db", folder / "prices.toml"
    spec = f"openai/m@{server.url},timeout=5"
    prices.write_text(f'["openai/m@{server.url}"]\ninput = {PRICE.input}\noutput = {PRICE.output}\n')
    limit = () if budget is None else ("--budget-usd", budget)
    puzzle = ("stretch:KeptHanoi", "--set", "disks=5")
    run = ("run", *puzzle, "--k", 2, "--model", spec, "--journal", journal, "--prices", prices)
    chance, kills, done = Random(seed), 0, False
    parts = iter(stretches(chance, surely, STEPS - 1) if surely else ())
    while not done:
        begun = acknowledged(journal)
        command = cli("resume", journal) if begun else cli(*run, "--seed", seed, *limit)
        part = next(parts, None)
        with life(command, journal, part) as process:
            if part is not None:
                process.some_moment(chance, 0.05)
            else:
                done = not process.reaches(begun + chance.randint(1, 60)) or process.over(chance.uniform(0.0, 0.02))
            ended = process.ended() if done else None
            process.kill()
            kills += not done
    return journal, kills, ended


@pytest.mark.parametrize("surely", [1, pytest.param(4, marks=pytest.mark.slow)])
def test_a_run_killed_again_and_again_buys_nothing_twice(tmp_path, surely):
    """Every request is on record, and few more are made than without kills."""
    with running("--model", "m=noise:p=0.99", "--latency", "0.01") as server:
        journal, kills, ended = killed_and_resumed(tmp_path, server, seed=3, surely=surely)
        assert ended.code == 0, ended.err
        totals = server.ledger(entries=False)["totals"]
    assert kills >= surely
    assert verify(journal).problem is None
    assert_each_once(journal)
    spend = reading.report(journal)["spend"]
    assert totals["requests"] <= spend["calls"]  # a call may be on record, and its process killed before it went out
    assert spend["dollars"] >= spent(totals)
    wanted = spend["calls"] - spend["unknown"]["calls"]
    assert totals["requests"] <= 1.005 * wanted + spend["unknown"]["calls"]


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2, 3))])
def test_no_kill_makes_a_run_exceed_its_budget(tmp_path, seed):
    """With failures, kills and a budget that is too small, the server's bill stays within it, to the last call."""
    budget = 0.012
    with running("--model", "m=noise:p=0.99", "--troubled", "0.15", "--latency", "0.005", "--seed", seed) as server:
        journal, _, ended = killed_and_resumed(tmp_path, server, seed, budget)
        assert ended.code == 3, ended.err
        assert "budget" in ended.err
        billed = spent(server.ledger(entries=False)["totals"])
    report = json.loads(json.dumps(reading.report(journal)))
    assert 0 < billed <= report["spend"]["dollars"] <= budget
