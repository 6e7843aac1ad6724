"""The table of providers: an entry is all that it takes for a new one to be made, listed, completed and priced."""

import re

import pytest
from click.testing import CliRunner

from doubling import Doubling, double
from unerring import Hanoi
from unerring.adapters.embedded.sampler import EmbeddedDrafter, EmbeddedSampler
from unerring.adapters.function import FunctionSampler
from unerring.adapters.litellm import LiteLLMSampler
from unerring.adapters.noise import NoisySampler
from unerring.adapters.openai import OpenAISampler
from unerring.adapters.openai_batch.sampler import BatchSampler
from unerring.adapters.plugins import is_user_model, user_sampler
from unerring.adapters.prices import price_of
from unerring.adapters.providers import PROVIDERS, Provider, in_this_process
from unerring.api.models import require_model, sampler_for
from unerring.cli.main import commands
from unerring.cli.option_values import complete_models
from unerring.core.checked_chain import CheckedChain
from unerring.core.planning.costs import Price
from unerring.errors import InputError

CHAIN = CheckedChain(Doubling())
HANOI = CheckedChain(Hanoi(disks=3))


@pytest.fixture
def acme(monkeypatch):
    """One more provider."""
    made = []

    def make(spec, context):
        made.append((spec, context.chain, context.seed))
        return FunctionSampler(double)

    monkeypatch.setitem(PROVIDERS, "acme", Provider("acme/MODEL", "a model of Acme's", ("acme/",), make, sends=False))
    return made


def test_a_new_entry_is_a_provider(acme):
    """Its samplers are made by its function, and no package may register its name."""
    with sampler_for("acme/large", CHAIN, 7) as sampler:
        assert isinstance(sampler, FunctionSampler)
    assert acme == [("acme/large", CHAIN, 7)]
    assert not is_user_model("acme/large")
    assert user_sampler("acme/large") is None


def test_a_new_entry_is_named_where_models_are_listed(acme):
    """Messages list its forms and correct its misspelled name; a shell completes it."""
    with pytest.raises(InputError, match=r"did you mean acme/large\?.*acme/MODEL"):
        require_model("acmee/large", CHAIN)
    assert "acme/" in complete_models(None, None, "ac")


def test_models_in_this_process_are_free(acme):
    """What sends nothing costs nothing."""
    assert price_of("acme/large") == Price(0.0, 0.0, "runs in this process")


SAMPLERS = {  # the class of each provider's samplers, and whether their calls are paid for
    "embedded": (EmbeddedSampler, False),
    "openai": (OpenAISampler, True),
    "openai-batch": (BatchSampler, True),
    "litellm": (LiteLLMSampler, True),
    "noise": (NoisySampler, False),
}
DRAFTERS = {"embedded/draft": EmbeddedDrafter}


def test_every_provider_that_ships_is_tested_here():
    """A new provider needs a line in the table above."""
    assert SAMPLERS.keys() == PROVIDERS.keys()


def written(forms):
    """The specifications that the forms of a provider stand for, with and without the optional parts."""
    for form in forms.split(", ") if " " in forms else [forms]:
        filled = form.replace("PROVIDER", "acme").replace("MODEL", "one")
        yield re.sub(r"\[.*?\]", "", filled)
        yield filled.replace("[@URL]", "@http://127.0.0.1:1/v1")


@pytest.mark.parametrize(("name", "provider"), PROVIDERS.items(), ids=PROVIDERS)
def test_what_is_offered_can_be_made(name, provider, library, monkeypatch):
    """Forms and whole completions make a sampler of the provider; it is paid for where it sends questions."""
    monkeypatch.setenv("OPENAI_API_KEY", "a-key")
    kind, paid = SAMPLERS[name]
    whole = [one for one in provider.beginnings if not one.endswith("/")]
    for spec in {*written(provider.forms), *whole}:
        with sampler_for(spec, HANOI, 0) as sampler:
            assert type(sampler) is DRAFTERS.get(spec, kind), spec
            assert sampler.name.startswith(name)
            assert (sampler.paid, provider.sends) == (paid, paid)
    assert in_this_process(name) is not paid


@pytest.mark.parametrize("name", PROVIDERS)
def test_every_beginning_of_the_name_is_completed_to_it(name):
    """A shell offers a specification of the provider after the first letters of its name."""
    offered = complete_models(None, None, name[:3])
    assert any(re.match(rf"{name}($|/)", one) for one in offered)


def test_the_help_of_run_has_every_form_with_what_it_is():
    """`unerring run --help` explains all providers."""
    shown = " ".join(CliRunner().invoke(commands, ["run", "--help"], terminal_width=100).output.split())
    for name, provider in PROVIDERS.items():
        assert f"{provider.forms}: {provider.about}." in shown, name
