"""The LiteLLM sampler against a stand-in library: what it passes on, and how it reads replies."""

import asyncio
import logging
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace

import pytest
from litellm_library import ENVIRON, KEY, OTHER, SETTINGS, Reply, ask, chained, failure, http, named

import unerring.adapters.litellm as adapter
from unerring.adapters.litellm import LiteLLMSampler
from unerring.core.voting.sample import Finish, Message, Usage
from unerring.errors import InputError, ProviderBusy
from unerring.runtime.protocols import Endpoint


def test_it_is_an_endpoint(library):
    """It is paid for, and has an account and a worst case like other endpoints."""
    sampler = LiteLLMSampler("litellm/acme/one", ENVIRON)
    assert isinstance(sampler, Endpoint)
    assert (sampler.name, sampler.paid, sampler.compact) == ("litellm/acme/one", True, False)
    assert sampler.worst("What now?", SETTINGS, 3).output_tokens == 48


def test_its_options_are_those_of_other_endpoints(library):
    """Options are read, and are in its name in one form."""
    sampler = LiteLLMSampler("litellm/acme/one@HTTPS://Gate:443/v1/,compact,timeout=5.0,n=1", ENVIRON)
    assert sampler.name == "litellm/acme/one@https://gate/v1,compact,timeout=5,n=1"
    assert sampler.compact


@pytest.mark.parametrize(
    "spec", ["litellm/", "litellm/acme", "litellm/acme/", "litellm//one", "litellm/acme/one,fast"]
)
def test_a_bad_specification_is_refused_with_the_right_form(library, spec):
    """The message says how such a model is written."""
    with pytest.raises(InputError, match="litellm/PROVIDER/MODEL"):
        LiteLLMSampler(spec, ENVIRON)


def test_a_provider_that_the_library_does_not_know_is_refused(library):
    """A mistyped provider is refused before the run begins."""
    with pytest.raises(InputError, match="LiteLLM knows no provider 'acne'"):
        LiteLLMSampler("litellm/acne/one", ENVIRON)


def test_a_missing_key_is_refused_by_its_variable(library):
    """The message names the environment variable that the library reads."""
    library.missing = ["ACME_API_KEY"]
    with pytest.raises(InputError, match="environment variable ACME_API_KEY"):
        LiteLLMSampler("litellm/acme/one", {})


def test_a_users_own_server_needs_no_key(library):
    """With the user's own address a missing key is accepted."""
    library.missing = ["ACME_API_KEY"]
    assert ask(LiteLLMSampler("litellm/acme/one@http://127.0.0.1:1/v1", {}))
    assert library.asked[0]["api_base"] == "http://127.0.0.1:1/v1"


def test_without_the_library_the_extra_is_named(monkeypatch):
    """If LiteLLM is missing, the error names the extra to install."""
    monkeypatch.setitem(sys.modules, "litellm", None)
    monkeypatch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "")
    monkeypatch.setenv("LITELLM_MODE", "")
    adapter._library.cache_clear()
    with pytest.raises(InputError, match=r"pip install 'unerring\[litellm\]'"):
        LiteLLMSampler("litellm/acme/one", ENVIRON)


def test_the_module_loads_without_the_library():
    """Importing the adapter imports nothing of LiteLLM."""
    statement = "import sys; sys.modules['litellm'] = None; import unerring.adapters.litellm"
    subprocess.run([sys.executable, "-c", statement], check=True, timeout=60)


def test_the_library_downloads_nothing_when_imported(tmp_path, monkeypatch):
    """Before its import the environment is set to use the packaged prices and to read no .env file."""
    (tmp_path / "litellm.py").write_text(
        "import os\nseen = os.environ['LITELLM_LOCAL_MODEL_COST_MAP'], os.environ['LITELLM_MODE']\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "litellm", raising=False)
    monkeypatch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "")
    monkeypatch.setenv("LITELLM_MODE", "PRODUCTION")
    adapter._library.cache_clear()
    try:
        library = adapter._library()
    finally:
        adapter._library.cache_clear()
        sys.modules.pop("litellm", None)
        logging.getLogger("LiteLLM").setLevel(logging.NOTSET)
    assert library.seen == ("True", "PRODUCTION")
    assert (library.telemetry, library.suppress_debug_info) == (False, True)


def test_the_librarys_retries_and_caches_are_off(library):
    """Retries, caches and the library's own deadline are set for each call."""
    ask(LiteLLMSampler("litellm/acme/one,timeout=7", ENVIRON), n=2)
    [asked] = library.asked
    assert (asked["num_retries"], asked["max_retries"], asked["caching"], asked["timeout"]) == (0, 0, False, 7.0)
    assert asked["cache"] == {"no-cache": True, "no-store": True}
    assert (asked["model"], asked["messages"]) == ("acme/one", [{"role": "user", "content": "What now?"}])
    assert (asked["temperature"], asked["max_tokens"], asked["n"]) == (0.7, 16, 2)


def test_a_reply_becomes_samples_as_of_other_endpoints(library):
    """Texts, usage, id and served model are read from the reply."""
    library.outcome = Reply(2, system_fingerprint="fp")
    first, second = ask(LiteLLMSampler("litellm/acme/one", ENVIRON), n=2)
    assert (first.text, second.text) == ("answer 0", "answer 1")
    assert first.usage + second.usage == Usage(5, 8)
    assert (first.served, first.voter, first.finish) == ("acme-1 fp", "litellm/acme/one", Finish.STOP)
    assert first.reply_id not in {None, second.reply_id}


def test_usage_that_is_not_known_is_taken_at_its_worst(library):
    """The library says 0 tokens if the provider gave none: such a call is neither free nor a copy."""
    library.outcome = Reply(usage={"prompt_tokens": 0, "completion_tokens": 0})
    sampler = LiteLLMSampler("litellm/acme/one", ENVIRON)
    [sample] = ask(sampler)
    assert sample.usage == sampler.worst("What now?", SETTINGS, 1)
    assert not sample.cached


def test_a_cache_hit_header_of_a_proxy_is_read(library):
    """Headers of a proxy in between are passed on, and mark copies."""
    library.outcome = Reply(headers={"llm_provider-x-cache": "HIT", "llm_provider-content-encoding": "gzip"})
    [sample] = ask(LiteLLMSampler("litellm/acme/one", ENVIRON))
    assert sample.cached


def test_parameters_that_a_provider_does_not_take_are_not_sent(library, caplog):
    """Parameters that the library would drop are left out, with a warning for a temperature without effect."""
    library.taken = ["max_tokens"]
    ask(LiteLLMSampler("litellm/acme/one", ENVIRON), n=3)
    assert not {"temperature", "seed", "logprobs", "n"} & set(library.asked[0])
    assert "takes no temperature" in caplog.text


def test_a_provider_that_gives_one_of_several_is_asked_for_one(library):
    """After several replies with fewer samples than asked for, each call asks for one."""
    sampler = LiteLLMSampler("litellm/acme/one", ENVIRON)
    assert all(len(ask(sampler, 3)) == 1 for _ in range(6))
    wanted = [asked.get("n") for asked in library.asked]
    assert wanted[0] == 3
    assert wanted[-1] is None


def test_a_parameter_that_is_refused_is_left_out_from_then_on(library):
    """The call fails as transient, and the immediate retry goes without the parameter."""
    sampler = LiteLLMSampler("litellm/acme/one", ENVIRON)
    body = b'{"error": {"message": "Unsupported parameter: seed", "param": "seed"}}'
    library.outcome = chained(named("BadRequestError", status_code=400), http(400, body))
    with pytest.raises(ProviderBusy) as raised:
        ask(sampler)
    assert raised.value.retry_after == 0
    library.outcome = Reply()
    ask(sampler)
    assert "seed" not in library.asked[1]


def test_no_key_gets_into_messages_or_answers(library):
    """Keys of the environment are removed from replies and errors; a number that looks like one is not."""
    error = failure(library, ValueError(f"sent {KEY} and {OTHER} of 1234567890123456"))
    assert KEY not in str(error)
    assert OTHER not in str(error)
    assert "1234567890123456" in str(error)
    assert error.__cause__ is None
    assert error.__context__ is None
    library.outcome = Reply(choices=[{"message": {"content": f"your key is {KEY}"}}])
    [sample] = ask(LiteLLMSampler("litellm/acme/one", ENVIRON))
    assert sample.text == "your key is [key]"


def test_the_account_distinguishes_keys_and_shows_none(library):
    """Two keys of a provider have separate rate limiters."""
    one, other = (LiteLLMSampler("litellm/acme/one", {"ACME_API_KEY": key}).account for key in (KEY, OTHER))
    assert one != other
    assert KEY not in one + repr(LiteLLMSampler("litellm/acme/one", ENVIRON))


def test_connections_are_closed_by_their_last_sampler(library):
    """The library shares connections between samplers, so only the last one to close closes them."""

    async def two():
        first, second = LiteLLMSampler("litellm/acme/one", ENVIRON), LiteLLMSampler("litellm/acme/two", ENVIRON)
        for sampler in (first, second):
            await sampler.sample("What now?", SETTINGS, 1)
        await first.aclose()
        before = library.closed
        await second.aclose()
        return before, library.closed

    assert asyncio.run(two()) == (0, 1)


def test_stop_strings_and_extra_fields_are_passed_on(library):
    """They are passed on even if the library may not know that the provider takes them."""
    given = replace(SETTINGS, messages=(Message("system", "Be brief."),), stop=("\n",), extra='{"top_k":5}')
    asyncio.run(LiteLLMSampler("litellm/acme/one", ENVIRON).sample("What now?", given, 1))
    asked = library.asked[-1]
    assert asked["messages"] == given.conversation("What now?")
    assert (asked["stop"], asked["top_k"]) == (["\n"], 5)
    assert sorted(asked["allowed_openai_params"]) == ["stop", "top_k"]
    ask(LiteLLMSampler("litellm/acme/one", ENVIRON))
    assert "allowed_openai_params" not in library.asked[-1]


@pytest.mark.parametrize("name", ["timeout", "caching", "num_retries"])
def test_an_extra_field_that_the_library_uses_itself_is_refused(library, name):
    """A field that would change how the library asks and never reach the provider is refused by name."""
    given = replace(SETTINGS, extra=f'{{"{name}":1}}')
    with pytest.raises(InputError, match=name):
        asyncio.run(LiteLLMSampler("litellm/acme/one", ENVIRON).sample("What now?", given, 1))


def test_no_extra_field_sends_a_key_to_another_host(library):
    """Extra fields are kept in journals, so none, in any case, may set where the library sends a request."""
    taken = []
    names = ("base_url", "api_base", "API_BASE", "custom_llm_provider", "extra_headers", "headers", "fallbacks")
    for name in (*names, "model_list", "aws_bedrock_runtime_endpoint", "azure_endpoint", "api_version", "client"):
        given = replace(SETTINGS, extra=f'{{"{name}":"https://elsewhere"}}')
        with suppress(InputError):
            asyncio.run(LiteLLMSampler("litellm/acme/one", ENVIRON).sample("What now?", given, 1))
            taken.append(name)
    assert not taken
    given = replace(SETTINGS, extra='{"top_p":0.9,"reasoning_effort":"low","provider":{"order":["a"]},"user":"me"}')
    asyncio.run(LiteLLMSampler("litellm/acme/one", ENVIRON).sample("What now?", given, 1))


def test_a_finish_reason_is_the_providers_own(library):
    """The library maps errors and unknown words to `stop`; the provider's own word is read instead."""
    for word, finish in (("network_error", Finish.OTHER), ("ERROR", Finish.OTHER), ("end_turn", Finish.STOP)):
        fields = {"provider_specific_fields": {"native_finish_reason": word}}
        library.outcome = Reply(choices=[{"message": {"content": "a"}, "finish_reason": "stop"} | fields])
        [sample] = ask(LiteLLMSampler("litellm/acme/one", ENVIRON))
        assert (sample.finish, sample.reason) == (finish, word)
