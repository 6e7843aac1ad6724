"""The batch sampler fulfils the contract for endpoints."""

from contextlib import ExitStack

import pytest

from faults.server import serving
from faults.trials import Trials
from unerring.adapters.openai_batch.sampler import BatchSampler
from unerring.runtime.protocols import BatchEndpoint
from unerring.testing import FakeClock
from unerring.testing.contracts import EndpointContract

KEY = "sk-canary-0123456789"


class TestBatchSampler(EndpointContract):
    secrets = (KEY,)
    server = None

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def provider(cls):
        """A provider for all tests of the class."""
        with ExitStack() as stack:
            cls.server = stack.enter_context(serving(batch=Trials(polls=1, shuffled=True)))
            yield

    @classmethod
    def make(cls):
        environ = {"UNERRING_API_KEY": KEY}
        return BatchSampler(f"openai-batch/noise@{cls.server.url}", "run 1", environ, FakeClock())

    @staticmethod
    def make_failing():
        environ = {"UNERRING_API_KEY": KEY}
        return BatchSampler("openai-batch/noise@http://127.0.0.1:9/v1", "run 1", environ, FakeClock())

    def test_it_answers_in_batches(self):
        """The runtime sees that calls are answered together, hours later, and how many fit into one batch."""
        sampler = self.make()
        assert isinstance(sampler, BatchEndpoint)
        assert sampler.batch_calls == sampler.spec.batch

    @classmethod
    def requests(cls):
        return cls.server.ledger.totals.batch_lines
