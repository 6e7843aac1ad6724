"""The endpoints that ship pass the contract of endpoints, against a real server on loopback."""

import pytest

from faults.server import serving
from unerring.adapters.openai import OpenAISampler
from unerring.testing.contracts import EndpointContract

KEY = "sk-0123456789abcdefXYZ"


class TestOpenAISampler(EndpointContract):
    secrets = (KEY,)
    server = None

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def _serve(cls):
        with serving() as cls.server:
            yield

    @classmethod
    def make(cls):
        return OpenAISampler(f"openai/noise@{cls.server.url},compact", {"UNERRING_API_KEY": KEY})

    @staticmethod
    def make_failing():
        return OpenAISampler("openai/noise@http://127.0.0.1:9/v1", {"UNERRING_API_KEY": KEY})

    @classmethod
    def requests(cls):
        return cls.server.ledger.totals.requests


class TestOneAnswerARequest(TestOpenAISampler):
    @classmethod
    def make(cls):
        return OpenAISampler(f"openai/noise@{cls.server.url},compact,n=1", {"UNERRING_API_KEY": KEY})
