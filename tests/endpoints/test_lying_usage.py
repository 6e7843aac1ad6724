"""Providers that report too few tokens: their bills stay within the budget."""

import asyncio

import pytest
from endpoint_runs import POLICY, PRICE, QuickClock

import unerring
from faults.answers import noise
from faults.faults import Fault
from faults.script import always
from faults.server import serving
from unerring import Hanoi, Options, Sample, Settings, Usage
from unerring.api.budget import Budget
from unerring.core.voting.sample import Message, min_tokens
from unerring.errors import Stopped
from unerring.runtime.calls.retry import CallRequest, receive
from unerring.runtime.config import Guards

DOLLARS = 0.02  # a chain of 8 disks costs about 0.07
LIES = (
    *(Fault.NO_USAGE, Fault.ZERO_USAGE, Fault.TINY_USAGE, Fault.USAGE_WITHOUT_INPUT, Fault.USAGE_WITHOUT_OUTPUT),
    Fault.USAGE_OF_ONE,
)


@pytest.mark.parametrize("options", ["", ",n=1"])
def test_no_lie_about_tokens_makes_a_provider_bill_more_than_the_budget(tmp_path, options):
    """Whatever usage a reply reports or omits, the provider's own bill is within --budget-usd."""
    exceeded = {}
    for lie in LIES:
        with serving(models={"m": noise(p=1.0)}, script=always(lie)) as server:
            spec = f"openai/m@{server.url}{options}"
            path = tmp_path / f"{lie.name}.db"
            given = Options(
                policy=POLICY,
                speculate="off",
                clock=QuickClock(),
                budget=Budget(usd=DOLLARS),
                prices={spec: PRICE},
                guards=Guards(copies=1.0, probe=False),
            )
            if lie is Fault.USAGE_OF_ONE and options:
                continue  # of one choice the count is right
            with pytest.raises(Stopped):
                unerring.run(Hanoi(8), spec, path, seed=4, options=given)
            billed = server.ledger.settled().dollars(0.40, 1.60)
        charged = unerring.report(path)["spend"]["dollars"]
        if not 0 < billed <= charged * (1 + 1e-9) <= DOLLARS:
            exceeded[lie.name] = billed, charged
    assert exceeded == {}


def test_a_text_has_a_token_for_eight_characters_at_least():
    """White space is not counted, since a run of it is one token; every non-blank text has at least one token."""
    assert [min_tokens(text) for text in ("", "   \n", "a", "a" * 8, "a" * 9, "a b " * 8)] == [0, 0, 1, 1, 2, 2]


class Own:
    """An endpoint of a user's own, with the usage that a test gives."""

    name, account, paid, compact = "own", "own", True, False

    def __init__(self, *samples):
        self.samples = samples

    def worst(self, prompt, settings, n):
        return Usage(1000, n * settings.max_output_tokens)

    async def sample(self, prompt, settings, n):
        return list(self.samples)


class Kept:
    """Keeps no account."""

    async def begin(self, asked):
        pass

    def failed(self, error):
        raise error

    def cancelled(self):
        pass


def test_a_users_own_endpoint_is_checked_against_its_texts_too():
    """Fewer tokens than the texts must have are charged at the worst case, and other counts as reported."""
    settings = Settings(0.1, 50, 0, 0, 0, messages=(Message("system", "x" * 800),))
    wrong = []
    for case, said, charged in [
        ("all right", [Usage(101, 3), Usage(0, 3)], [(101, 3), (0, 3)]),
        ("no input", [Usage(0, 3), Usage(0, 3)], [(1000, 3), (0, 3)]),
        ("little input", [Usage(100, 3), Usage(0, 3)], [(1000, 3), (0, 3)]),
        ("little output", [Usage(101, 1), Usage(0, 3)], [(101, 50), (0, 3)]),
        ("nothing", [Usage(), Usage()], [(1000, 50), (0, 50)]),
    ]:
        sampler = Own(*(Sample("sixteen letters.", usage) for usage in said))
        samples = asyncio.run(receive(CallRequest(sampler, "q", settings, 2), Kept()))
        found = [(one.usage.input_tokens, one.usage.output_tokens) for one in samples]
        if found != charged:
            wrong.append((case, found))
    assert wrong == []
