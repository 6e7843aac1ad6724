"""The stand-in for the LiteLLM library."""

import pytest
from litellm_library import Library

import unerring.adapters.litellm as adapter


@pytest.fixture
def library(monkeypatch):
    made = Library()
    monkeypatch.setattr(adapter, "_library", lambda: made)
    return made
