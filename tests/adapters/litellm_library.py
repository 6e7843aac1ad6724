"""A stand-in for the LiteLLM library, its replies and its exceptions."""

import asyncio
from types import SimpleNamespace

import pytest

from unerring.adapters.litellm import LiteLLMSampler
from unerring.core.voting.sample import Settings
from unerring.errors import ProviderBusy, ProviderDown

KEY = "gsk-0123456789abcdefXYZ"
OTHER = "other-secret-4711-aBcDeF"
SETTINGS = Settings(temperature=0.7, max_output_tokens=16, seed=3, step=0, slot=0)
ENVIRON = {"ACME_API_KEY": KEY, "AWS_SECRET_ACCESS_KEY": OTHER, "MAX_TOKEN": "1234567890123456"}


class Reply:
    """A reply as the library returns it."""

    def __init__(self, count=1, headers=None, **fields):
        choices = [{"message": {"content": f"answer {i}"}, "finish_reason": "stop"} for i in range(count)]
        usage = {"prompt_tokens": 5, "completion_tokens": 4 * count}
        self.data = {
            "id": "chatcmpl-0123456789abcdef",
            "model": "acme-1",
            "choices": choices,
            "usage": usage,
        } | fields
        self._hidden_params = {"additional_headers": headers or {}}

    def model_dump(self, **options):
        return self.data


class Library:
    """A stand-in for the library that keeps its calls in `asked`."""

    def __init__(self, outcome=None):
        self.outcome = Reply() if outcome is None else outcome
        self.asked = []
        self.closed = 0
        self.missing = []
        self.taken = ["temperature", "seed", "logprobs", "n", "max_tokens"]
        self.in_memory_llm_clients_cache = SimpleNamespace(flush_cache=lambda: None)

    async def acompletion(self, **asked):
        self.asked.append(asked)
        if isinstance(self.outcome, Exception):
            raise self.outcome
        if self.outcome == "silence":
            await asyncio.Event().wait()
        return self.outcome

    async def close_litellm_async_clients(self):
        self.closed += 1

    def get_llm_provider(self, model):
        if not model.startswith("acme/"):
            raise RuntimeError("LLM Provider NOT provided")

    def validate_environment(self, model):
        return {"missing_keys": self.missing}

    def get_supported_openai_params(self, model):
        return self.taken


def ask(sampler, n=1):
    """The samples of one call, in an event loop of its own."""

    async def whole():
        try:
            return await sampler.sample("What now?", SETTINGS, n)
        finally:
            await sampler.aclose()

    return asyncio.run(whole())


def failure(library, outcome):
    """The failure of a call for an exception of the library."""
    library.outcome = outcome
    with pytest.raises((ProviderBusy, ProviderDown)) as raised:
        ask(LiteLLMSampler("litellm/acme/one", ENVIRON))
    return raised.value


def named(name, *bases, **fields):
    """An exception of a type that is known by its name only."""
    return type(name, bases or (Exception,), fields)(f"litellm.{name}: it went wrong")


def chained(error, *causes):
    """An exception raised from others, the last of which came first."""
    top = error
    for cause in causes:
        error.__cause__ = cause
        error = cause
    return top


def http(status, body=b"", **headers):
    """An exception with a response of httpx in it."""
    named_alike = {name.replace("_", "-"): value for name, value in headers.items()}
    return named("HTTPStatusError", response=SimpleNamespace(status_code=status, content=body, headers=named_alike))
