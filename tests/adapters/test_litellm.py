"""The LiteLLM sampler against a stand-in: what it passes to the library, and how it reads replies and exceptions."""

import asyncio
import logging
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from types import SimpleNamespace

import pytest

import unerring.adapters.litellm as adapter
from unerring.adapters.litellm import LiteLLMSampler, answered
from unerring.core.voting.sample import Finish, Message, Settings, Usage
from unerring.errors import FailureKind, InputError, ProviderBusy, ProviderDown
from unerring.runtime.protocols import Endpoint

KEY = "gsk-0123456789abcdefXYZ"
OTHER = "other-secret-4711-aBcDeF"
SETTINGS = Settings(temperature=0.7, max_output_tokens=16, seed=3, step=0, slot=0)
ENVIRON = {"ACME_API_KEY": KEY, "AWS_SECRET_ACCESS_KEY": OTHER, "MAX_TOKEN": "1234567890123456"}


class Reply:
    """A reply as the library gives it."""

    def __init__(self, count=1, headers=None, **fields):
        choices = [{"message": {"content": f"answer {i}"}, "finish_reason": "stop"} for i in range(count)]
        usage = {"prompt_tokens": 5, "completion_tokens": 4 * count}
        self.told = {"id": "chatcmpl-0123456789abcdef", "model": "acme-1", "choices": choices, "usage": usage} | fields
        self._hidden_params = {"additional_headers": headers or {}}

    def model_dump(self, **options):
        return self.told


class Library:
    """Stands in for the library: what it was asked is kept in `asked`."""

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


@pytest.fixture
def library(monkeypatch):
    made = Library()
    monkeypatch.setattr(adapter, "_library", lambda: made)
    return made


def ask(sampler, n=1):
    """The samples of one call, in a loop of its own."""

    async def whole():
        try:
            return await sampler.sample("What now?", SETTINGS, n)
        finally:
            await sampler.aclose()

    return asyncio.run(whole())


def failure(library, outcome):
    """What a call raises where the library raises something."""
    library.outcome = outcome
    with pytest.raises((ProviderBusy, ProviderDown)) as raised:
        ask(LiteLLMSampler("litellm/acme/one", ENVIRON))
    return raised.value


def named(name, *bases, **fields):
    """An exception of a type that is known by its name only."""
    return type(name, bases or (Exception,), fields)(f"litellm.{name}: it went wrong")


def behind(error, *causes):
    """An exception that was raised from others, the last of which came first."""
    top = error
    for cause in causes:
        error.__cause__ = cause
        error = cause
    return top


def http(status, body=b"", **headers):
    """An exception with a response of httpx in it."""
    named_alike = {name.replace("_", "-"): value for name, value in headers.items()}
    return named("HTTPStatusError", response=SimpleNamespace(status_code=status, content=body, headers=named_alike))


def test_it_is_an_endpoint(library):
    """It is paid for, and has an account and a worst case like other endpoints."""
    sampler = LiteLLMSampler("litellm/acme/one", ENVIRON)
    assert isinstance(sampler, Endpoint)
    assert (sampler.name, sampler.paid, sampler.compact) == ("litellm/acme/one", True, False)
    assert sampler.worst("What now?", SETTINGS, 3).output_tokens == 48


def test_its_options_are_those_of_other_endpoints(library):
    """Options are read, and stand in its name in one form."""
    sampler = LiteLLMSampler("litellm/acme/one@HTTPS://Gate:443/v1/,compact,timeout=5.0,n=1", ENVIRON)
    assert sampler.name == "litellm/acme/one@https://gate/v1,compact,timeout=5,n=1"
    assert sampler.compact


@pytest.mark.parametrize(
    "spec", ["litellm/", "litellm/acme", "litellm/acme/", "litellm//one", "litellm/acme/one,fast"]
)
def test_a_specification_that_is_none_is_refused_with_what_to_write(library, spec):
    """The message says how such a model is written."""
    with pytest.raises(InputError, match="litellm/PROVIDER/MODEL"):
        LiteLLMSampler(spec, ENVIRON)


def test_a_provider_that_the_library_does_not_know_is_refused(library):
    """A mistyped provider is noticed before the run begins."""
    with pytest.raises(InputError, match="LiteLLM knows no provider 'acne'"):
        LiteLLMSampler("litellm/acne/one", ENVIRON)


def test_a_missing_key_is_refused_by_its_variable(library):
    """The message names the variable that the library looks for."""
    library.missing = ["ACME_API_KEY"]
    with pytest.raises(InputError, match="environment variable ACME_API_KEY"):
        LiteLLMSampler("litellm/acme/one", {})


def test_a_server_of_ones_own_may_want_no_key(library):
    """With an address of one's own, a missing key is the server's business."""
    library.missing = ["ACME_API_KEY"]
    assert ask(LiteLLMSampler("litellm/acme/one@http://127.0.0.1:1/v1", {}))
    assert library.asked[0]["api_base"] == "http://127.0.0.1:1/v1"


def test_without_the_library_the_extra_is_named(monkeypatch):
    """Whoever has not installed it reads what to install."""
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


def test_nothing_is_fetched_as_the_library_is_imported(tmp_path, monkeypatch):
    """Before its import, the environment says to take prices from the package and to read no .env file."""
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


def test_the_library_is_told_to_ask_once_and_to_keep_nothing(library):
    """Retries, caches and the library's own deadline are set for each call."""
    ask(LiteLLMSampler("litellm/acme/one,timeout=7", ENVIRON), n=2)
    [asked] = library.asked
    assert (asked["num_retries"], asked["max_retries"], asked["caching"], asked["timeout"]) == (0, 0, False, 7.0)
    assert asked["cache"] == {"no-cache": True, "no-store": True}
    assert (asked["model"], asked["messages"]) == ("acme/one", [{"role": "user", "content": "What now?"}])
    assert (asked["temperature"], asked["max_tokens"], asked["n"]) == (0.7, 16, 2)


def test_a_reply_becomes_samples_as_of_other_endpoints(library):
    """Texts, usage, identity and who has answered are read from the reply."""
    library.outcome = Reply(2, system_fingerprint="fp")
    first, second = ask(LiteLLMSampler("litellm/acme/one", ENVIRON), n=2)
    assert (first.text, second.text) == ("answer 0", "answer 1")
    assert first.usage + second.usage == Usage(5, 8)
    assert (first.served, first.voter, first.finish) == ("acme-1 fp", "litellm/acme/one", Finish.STOP)
    assert first.reply_id not in {None, second.reply_id}


def test_usage_that_is_not_known_is_taken_at_its_worst(library):
    """The library says 0 tokens where the provider gave none: a call is never taken for free, nor for a copy."""
    library.outcome = Reply(usage={"prompt_tokens": 0, "completion_tokens": 0})
    sampler = LiteLLMSampler("litellm/acme/one", ENVIRON)
    [sample] = ask(sampler)
    assert sample.usage == sampler.worst("What now?", SETTINGS, 1)
    assert not sample.cached


def test_a_hit_of_a_cache_is_marked(library):
    """Headers of a proxy in between are handed on, and what they admit counts."""
    library.outcome = Reply(headers={"llm_provider-x-cache": "HIT", "llm_provider-content-encoding": "gzip"})
    [sample] = ask(LiteLLMSampler("litellm/acme/one", ENVIRON))
    assert sample.cached


def test_parameters_that_a_provider_does_not_take_are_not_sent(library, caplog):
    """What the library would drop in silence is left out, and a temperature that has no effect is warned of."""
    library.taken = ["max_tokens"]
    ask(LiteLLMSampler("litellm/acme/one", ENVIRON), n=3)
    assert not {"temperature", "seed", "logprobs", "n"} & set(library.asked[0])
    assert "takes no temperature" in caplog.text


def test_a_provider_that_gives_one_of_several_is_asked_for_one(library):
    """Once fewer came than were asked for again and again, each call asks for one."""
    sampler = LiteLLMSampler("litellm/acme/one", ENVIRON)
    assert all(len(ask(sampler, 3)) == 1 for _ in range(6))
    wanted = [asked.get("n") for asked in library.asked]
    assert wanted[0] == 3
    assert wanted[-1] is None


def test_a_parameter_that_is_refused_is_left_out_from_then_on(library):
    """The failure asks for another try at once, which goes without it."""
    sampler = LiteLLMSampler("litellm/acme/one", ENVIRON)
    body = b'{"error": {"message": "Unsupported parameter: seed", "param": "seed"}}'
    library.outcome = behind(named("BadRequestError", status_code=400), http(400, body))
    with pytest.raises(ProviderBusy) as raised:
        ask(sampler)
    assert raised.value.retry_after == 0
    library.outcome = Reply()
    ask(sampler)
    assert "seed" not in library.asked[1]


REFUSALS = [
    (429, b'{"error": {"message": "Slow down"}}', FailureKind.RATE_LIMITED, ProviderBusy),
    (429, b'{"error": {"message": "Pay", "code": "insufficient_quota"}}', FailureKind.QUOTA, ProviderDown),
    (402, b"{}", FailureKind.QUOTA, ProviderDown),
    (401, b"{}", FailureKind.DENIED, ProviderDown),
    (403, b"{}", FailureKind.DENIED, ProviderDown),
    (404, b'{"error": {"message": "no such model"}}', FailureKind.INVALID, ProviderDown),
    (500, b"oh", FailureKind.TRANSIENT, ProviderBusy),
    (503, b"<html>busy</html>", FailureKind.OVERLOADED, ProviderBusy),
    (529, b"{}", FailureKind.OVERLOADED, ProviderBusy),
]


@pytest.mark.parametrize(("status", "body", "kind", "raised"), REFUSALS)
def test_a_refusal_is_read_from_the_reply_behind_an_exception(library, status, body, kind, raised):
    """Whatever the library makes of it, status, words and headers of the reply itself decide."""
    made_up = SimpleNamespace(status_code=500, content=b"", headers={})
    top = named("InternalServerError", status_code=500, response=made_up)
    error = failure(library, behind(top, named("OpenAIError"), http(status, body, retry_after="7")))
    assert (type(error), error.kind) == (raised, kind)
    assert raised is ProviderDown or error.retry_after == 7


ALONE = [
    ("RateLimitError", 429, FailureKind.RATE_LIMITED),
    ("AuthenticationError", 401, FailureKind.DENIED),
    ("PaymentRequiredError", 402, FailureKind.QUOTA),
    ("NotFoundError", 404, FailureKind.INVALID),
    ("ServiceUnavailableError", 503, FailureKind.OVERLOADED),
    ("InternalServerError", 500, FailureKind.UNKNOWN),  # also a reply that the library could not read
    ("APIError", None, FailureKind.UNKNOWN),
]


@pytest.mark.parametrize(("name", "status", "kind"), ALONE)
def test_an_exception_without_a_reply_is_told_by_its_status(library, name, status, kind):
    """Some providers' libraries keep no reply: a status that can only be a refusal counts, and 500 cannot."""
    assert failure(library, named(name, status_code=status)).kind is kind


@pytest.mark.parametrize(
    ("causes", "kind"),
    [
        (("ConnectError", "ClientConnectorError", "ConnectionRefusedError"), FailureKind.TRANSIENT),
        (("ConnectTimeout",), FailureKind.TRANSIENT),
        (("ReadError", "ClientOSError"), FailureKind.UNKNOWN),
        (("RemoteProtocolError",), FailureKind.UNKNOWN),
        (("ReadTimeout",), FailureKind.UNKNOWN),
    ],
)
def test_a_broken_connection_may_be_billed_unless_nothing_was_sent(library, causes, kind):
    """What became of a request that was sent is not known; one that found nobody was never sent."""
    transport = type("TransportError", (Exception,), {})
    behind_it = [named(cause, transport) for cause in causes]
    assert failure(library, behind(named("InternalServerError", status_code=500), *behind_it)).kind is kind


def test_the_librarys_own_timeout_is_no_refusal(library):
    """It calls a timeout 408, which would say that nothing was computed."""
    base = type("APIConnectionError", (Exception,), {})
    assert failure(library, named("Timeout", base, status_code=408)).kind is FailureKind.UNKNOWN


def test_the_deadline_holds_whatever_the_library_does(library):
    """A call that gets no answer is given up after its timeout."""
    library.outcome = "silence"
    with pytest.raises(ProviderBusy, match=r"no answer within 0.01 seconds") as raised:
        ask(LiteLLMSampler("litellm/acme/one,timeout=0.01", ENVIRON))
    assert raised.value.kind is FailureKind.UNKNOWN


def test_a_question_that_is_refused_is_told_apart(library):
    """One that is filtered or too long is refused by itself, with the provider's reply or without."""
    for name in ("ContentPolicyViolationError", "ContextWindowExceededError"):
        library.outcome = named(name, status_code=400)
        with pytest.raises(ProviderDown) as raised:
            ask(LiteLLMSampler("litellm/acme/one", ENVIRON))
        assert (raised.value.kind, raised.value.status) == (FailureKind.REFUSED, 400)


def test_no_key_gets_into_messages_or_answers(library):
    """Keys of the environment are taken out of what comes back; a number that only looks like one is not."""
    error = failure(library, ValueError(f"sent {KEY} and {OTHER} of 1234567890123456"))
    assert KEY not in str(error)
    assert OTHER not in str(error)
    assert "1234567890123456" in str(error)
    assert error.__cause__ is None
    assert error.__context__ is None
    library.outcome = Reply(choices=[{"message": {"content": f"your key is {KEY}"}}])
    [sample] = ask(LiteLLMSampler("litellm/acme/one", ENVIRON))
    assert sample.text == "your key is [key]"


def test_the_account_tells_keys_apart_and_shows_none(library):
    """Two keys of a provider are paced apart."""
    one, other = (LiteLLMSampler("litellm/acme/one", {"ACME_API_KEY": key}).account for key in (KEY, OTHER))
    assert one != other
    assert KEY not in one + repr(LiteLLMSampler("litellm/acme/one", ENVIRON))


def test_a_chain_of_causes_without_end_is_given_up(library):
    """Exceptions that stand behind each other do not hold a call up."""
    one, other = ValueError("one"), ValueError("other")
    one.__cause__, other.__cause__ = other, one
    assert answered(one) is None


def test_connections_are_closed_by_the_last_who_uses_them(library):
    """The library keeps connections for all samplers: the first that is closed must not take them from the second."""

    async def two():
        first, second = LiteLLMSampler("litellm/acme/one", ENVIRON), LiteLLMSampler("litellm/acme/two", ENVIRON)
        for sampler in (first, second):
            await sampler.sample("What now?", SETTINGS, 1)
        await first.aclose()
        before = library.closed
        await second.aclose()
        return before, library.closed

    assert asyncio.run(two()) == (0, 1)


def test_what_a_user_asks_for_is_not_dropped_in_silence(library):
    """Stop strings and further fields are handed on though the library may not know that the provider takes them."""
    told = replace(SETTINGS, messages=(Message("system", "Be brief."),), stop=("\n",), extra='{"top_k":5}')
    asyncio.run(LiteLLMSampler("litellm/acme/one", ENVIRON).sample("What now?", told, 1))
    asked = library.asked[-1]
    assert asked["messages"] == told.conversation("What now?")
    assert (asked["stop"], asked["top_k"]) == (["\n"], 5)
    assert sorted(asked["allowed_openai_params"]) == ["stop", "top_k"]
    ask(LiteLLMSampler("litellm/acme/one", ENVIRON))
    assert "allowed_openai_params" not in library.asked[-1]


@pytest.mark.parametrize("name", ["timeout", "caching", "num_retries"])
def test_a_further_field_that_the_library_takes_for_itself_is_refused(library, name):
    """What would change how the library asks, and never reach the provider, is refused by name."""
    told = replace(SETTINGS, extra=f'{{"{name}":1}}')
    with pytest.raises(InputError, match=name):
        asyncio.run(LiteLLMSampler("litellm/acme/one", ENVIRON).sample("What now?", told, 1))


def test_a_further_field_leads_no_key_to_another_host(library):
    """A journal keeps these fields: none of them, in any case, may say where the library sends a request."""
    taken = []
    names = ("base_url", "api_base", "API_BASE", "custom_llm_provider", "extra_headers", "headers", "fallbacks")
    for name in (*names, "model_list", "aws_bedrock_runtime_endpoint", "azure_endpoint", "api_version", "client"):
        told = replace(SETTINGS, extra=f'{{"{name}":"https://elsewhere"}}')
        with suppress(InputError):
            asyncio.run(LiteLLMSampler("litellm/acme/one", ENVIRON).sample("What now?", told, 1))
            taken.append(name)
    assert not taken
    told = replace(SETTINGS, extra='{"top_p":0.9,"reasoning_effort":"low","provider":{"order":["a"]},"user":"me"}')
    asyncio.run(LiteLLMSampler("litellm/acme/one", ENVIRON).sample("What now?", told, 1))


def test_a_finish_reason_is_the_providers_own(library):
    """The library makes `stop` of errors and of words that it does not know, and keeps the word beside it."""
    for word, finish in (("network_error", Finish.OTHER), ("ERROR", Finish.OTHER), ("end_turn", Finish.STOP)):
        fields = {"provider_specific_fields": {"native_finish_reason": word}}
        library.outcome = Reply(choices=[{"message": {"content": "a"}, "finish_reason": "stop"} | fields])
        [sample] = ask(LiteLLMSampler("litellm/acme/one", ENVIRON))
        assert (sample.finish, sample.reason) == (finish, word)
