"""Calls of the OpenAI sampler to the fault server."""

import asyncio

import pytest

from faults.faults import Rejection
from unerring.adapters.openai import OpenAISampler
from unerring.core.voting.sample import Settings
from unerring.errors import ProviderBusy, ProviderDown
from unerring.processes.hanoi import Hanoi

CANARY = "sk-canary-5d1f0c9a7e"
GAME = Hanoi(5)
PROMPT = GAME.subtask(GAME.state_at(3)).prompt


def sampler_of(server, options="", key=CANARY):
    return OpenAISampler(f"openai/noise@{server.url}{options}", {"UNERRING_API_KEY": key})


def settings(slot=0, step=3, limit=200, schema=None):
    return Settings(0.1, limit, 7, step, slot, schema)


def ask(sampler, n=1, slot=0):
    return asyncio.run(sampler.sample(PROMPT, settings(slot), n))


def failing(sampler, n=1):
    with pytest.raises((ProviderBusy, ProviderDown)) as raised:
        ask(sampler, n)
    return raised.value


def refusing(param, message="Unsupported parameter."):
    return Rejection(400, "unsupported_parameter", f"{message} '{param}' is not supported.")
