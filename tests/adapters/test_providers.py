"""The table of providers: an entry is all that it takes for a new one to be made, listed, completed and priced."""

import pytest

from doubling import Doubling, double
from unerring.adapters.function import FunctionSampler
from unerring.adapters.plugins import is_user_model, user_sampler
from unerring.adapters.prices import price_of
from unerring.adapters.providers import PROVIDERS, Provider, in_this_process
from unerring.api.models import require_model, sampler_for
from unerring.cli.option_values import complete_models
from unerring.core.checked_chain import CheckedChain
from unerring.core.planning.costs import Price
from unerring.errors import InputError

CHAIN = CheckedChain(Doubling())


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


def test_models_in_this_process_are_free_and_others_are_not(acme):
    """What sends nothing costs nothing; the price of a model elsewhere is known or unknown, never 0."""
    assert price_of("acme/large") == Price(0.0, 0.0, "runs in this process")
    for name in PROVIDERS:
        assert in_this_process(name) == (price_of(f"{name}/no-such-model") is not None)


@pytest.mark.parametrize(("name", "provider"), PROVIDERS.items(), ids=PROVIDERS)
def test_a_provider_is_written_with_its_name(name, provider):
    """Forms and completions begin with the name that specifications are recognized by."""
    assert provider.forms.startswith(name)
    assert all(one.partition("/")[0] == name for one in provider.beginnings)
