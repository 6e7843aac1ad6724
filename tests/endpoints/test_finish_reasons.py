"""Answers that a provider ended for an unusual reason never vote, whatever the rest of the reply is."""

from random import Random

import unerring
from doubling import Doubling
from faults.answers import Answer
from faults.server import serving
from unerring import Options
from unerring.core.voting.redflag import FlagKind
from unerring.runtime.config import Guards

REASONS = ("model_context_window_exceeded", "repetition", "network_error", "content-filter", "tool_calls")


def mostly_broken_off(prompt, temperature, seed, index, limit):
    """Doubles numbers; two thirds of the answers end early, at a wrong number that is the same each time."""
    right, chance = 2 * int(prompt.strip(".").split()[1]), Random(seed + index)
    if chance.random() < 2 / 3:
        return Answer(str(right)[:-1] or "1", 20, 2, chance.choice(REASONS))
    return Answer(str(right), 20, 2)


def test_answers_that_were_broken_off_never_vote(tmp_path):
    """With two thirds of the samples cut at the same wrong answer, every step is decided correctly."""
    path = tmp_path / "run.db"
    with serving(models={"m": mostly_broken_off}) as server:
        options = Options(guards=Guards(copies=1.0, probe=False))
        result = unerring.run(Doubling(8), f"openai/m@{server.url}", path, k=2, options=options)
    assert result.state["value"] == 256
    flags = result.report["flags"]
    assert flags[FlagKind.BROKEN_OFF.value] > 4
    assert flags[FlagKind.REFUSED.value] > 0
    assert unerring.verify(path).problem is None
