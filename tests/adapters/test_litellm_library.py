"""The real LiteLLM against a real server with faults.

Slow, and skipped where the library is not installed: pip install 'unerring[litellm]'.
"""

import asyncio
import gc
from importlib.util import find_spec

import pytest

import unerring
from faults.answers import Embedded, noise
from faults.faults import Fault
from faults.script import always, listed, troubled
from faults.server import serving
from tables import each
from unerring.adapters.litellm import LiteLLMSampler
from unerring.core.voting.sample import Finish, Settings
from unerring.errors import FailureKind, ProviderError
from unerring.testing.contracts import EndpointContract

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("litellm") is None, reason="needs LiteLLM: pip install 'unerring[litellm]'"),
    pytest.mark.filterwarnings("ignore"),  # the library's own
]

KEY = "sk-0123456789abcdefXYZ"
SETTINGS = Settings(temperature=1.0, max_output_tokens=64, seed=3, step=0, slot=0)


@pytest.fixture(autouse=True)
def keys(monkeypatch):
    for name in ("OPENAI_API_KEY", "MISTRAL_API_KEY", "HOSTED_VLLM_API_KEY"):
        monkeypatch.setenv(name, KEY)


def at(server, provider="openai", model="noise", options=""):
    return LiteLLMSampler(f"litellm/{provider}/{model}@{server.url}{options}")


def ask(sampler, n=1):
    async def whole():
        try:
            return await sampler.sample("What are 8 random letters?", SETTINGS, n)
        finally:
            await sampler.aclose()

    return asyncio.run(whole())


class TestContract(EndpointContract):
    """The contract for endpoints, with a server of the class's own."""

    secrets = (KEY,)
    server = None

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def _serve(cls):
        with serving() as cls.server, pytest.MonkeyPatch.context() as patch:
            patch.setenv("OPENAI_API_KEY", KEY)
            yield

    @classmethod
    def make(cls):
        return at(cls.server, options=",compact")

    @staticmethod
    def make_failing():
        return LiteLLMSampler("litellm/openai/noise@http://127.0.0.1:9/v1")

    @classmethod
    def requests(cls):
        return cls.server.ledger.totals.requests

    def test_it_bears_a_loop_that_ends_without_closing_it(self, sampler):
        """If a loop ends without closing the sampler, the library leaves connections open.

        Python closes them with a warning.
        """
        super().test_it_bears_a_loop_that_ends_without_closing_it(sampler)

        async def once():
            await sampler.sample("", SETTINGS, 1)
            await sampler.aclose()

        asyncio.run(once())
        gc.collect()  # here, where warnings are let pass


BUSY = {
    Fault.RATE_LIMITED: FailureKind.RATE_LIMITED,
    Fault.RATE_LIMITED_61: FailureKind.RATE_LIMITED,
    Fault.ERROR_500: FailureKind.TRANSIENT,
    Fault.BAD_GATEWAY: FailureKind.TRANSIENT,
    Fault.UNAVAILABLE: FailureKind.OVERLOADED,
    Fault.OVERLOADED: FailureKind.OVERLOADED,
    Fault.RESET: FailureKind.UNKNOWN,
    Fault.ORPHAN: FailureKind.UNKNOWN,
    Fault.HANG: FailureKind.UNKNOWN,
    Fault.SILENCE: FailureKind.UNKNOWN,
    Fault.SPACES: FailureKind.UNKNOWN,
    Fault.RESET_MID_BODY: FailureKind.UNKNOWN,
    Fault.CUT_SHORT: FailureKind.UNKNOWN,
    Fault.CUT_OFF: FailureKind.UNKNOWN,
    Fault.EMPTY_CHOICES: FailureKind.UNKNOWN,
    Fault.NO_CHOICES: FailureKind.UNKNOWN,
    Fault.GARBAGE: FailureKind.UNKNOWN,
    Fault.HTML_PAGE: FailureKind.UNKNOWN,
    Fault.HUGE: FailureKind.UNKNOWN,
}
ENDLESS = {Fault.HANG, Fault.SILENCE, Fault.SPACES}  # no answer ever comes
DOWN = {
    Fault.QUOTA: FailureKind.QUOTA,
    Fault.PAYMENT: FailureKind.QUOTA,
    Fault.UNAUTHORIZED: FailureKind.DENIED,
    Fault.ECHO_401: FailureKind.DENIED,
    Fault.FORBIDDEN: FailureKind.DENIED,
    Fault.NO_SUCH_MODEL: FailureKind.INVALID,
    Fault.TOO_LONG: FailureKind.REFUSED,
    Fault.CONTENT_FILTER: FailureKind.REFUSED,
}


@each("provider", ["openai", "mistral", "hosted_vllm"])  # openai's own client, and LiteLLM's two
@each(("fault", "kind"), [*BUSY.items(), *DOWN.items()], ids=lambda given: given.name)
def test_each_failure_has_its_kind_and_is_one_request(provider, fault, kind):
    """A fault of a real server becomes its kind of failure, after exactly one request, without the key."""
    patience = 2 if fault in ENDLESS else 60  # seconds; the library's first call to a provider takes one of its own
    with serving(script=always(fault)) as server:
        with pytest.raises(ProviderError) as raised:
            ask(at(server, provider, options=f",timeout={patience}"))
        assert server.ledger.totals.requests == 1
    assert type(raised.value) is (unerring.ProviderDown if fault in DOWN else unerring.ProviderBusy)
    assert raised.value.kind is kind
    assert KEY not in str(raised.value)


def test_a_wait_that_a_provider_asks_for_is_kept():
    """The Retry-After of the reply is read."""
    with serving(script=always(Fault.RATE_LIMITED_61)) as server, pytest.raises(unerring.ProviderBusy) as raised:
        ask(at(server))
    assert raised.value.retry_after == 61


@each(
    ("fault", "finish"),
    [
        (Fault.REFUSAL, Finish.REFUSED),
        (Fault.FILTERED, Finish.REFUSED),
        (Fault.LENGTH, Finish.LENGTH),
    ],
)
def test_an_answer_that_may_not_vote_is_marked(fault, finish):
    """Refusals and cut answers are samples that are marked as such."""
    with serving(script=always(fault)) as server:
        assert ask(at(server))[0].finish is finish


def test_a_copy_keeps_the_identity_of_what_it_copies():
    """A reply delivered twice has the same ids twice, so the run sees that it is no second vote."""
    with serving(script=listed(None, Fault.DUPLICATE)) as server:
        first, second = (ask(at(server))[0] for _ in range(2))
    assert first.reply_id is not None
    assert first.reply_id == second.reply_id


def test_another_model_behind_the_name_shows():
    """The served model that the provider names is passed on."""
    with serving(script=always(Fault.SWAPPED)) as server:
        assert ask(at(server))[0].served == "noise-swapped fp_swapped"


def test_a_chain_is_right_through_the_library(tmp_path):
    """A run in which every tenth request fails ends without an error."""
    journal = tmp_path / "run.db"
    models = {"embedded": Embedded(), "noise": noise()}
    with serving(models=models, script=troubled(0.1, seed=4)) as server:
        sampler = at(server, model="embedded", options=",compact,timeout=2")
        result = unerring.run(unerring.Hanoi(4), sampler, journal, k=2)
    assert len(result.state["pegs"][2]) == 4
    assert unerring.verify(journal)
