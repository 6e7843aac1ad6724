"""Bodies of chat requests, and parameters left out after a server refused them."""

import json
from dataclasses import replace

import pytest

from tables import each
from unerring.adapters.chat.request import MAX_KEPT_PARTS, RequestForm, refused_parameter
from unerring.adapters.http.errors import error_from_json
from unerring.adapters.http.spec import EndpointSpec
from unerring.core.voting.sample import Settings
from unerring.errors import ProviderDown

SETTINGS = Settings(temperature=0.1, max_output_tokens=750, seed=7, step=3, slot=2)
ALL = frozenset({"max_tokens", "temperature", "seed", "logprobs", "n"})


def fields(form, settings=SETTINGS, n=1, prompt="question"):
    return json.loads(form.body(prompt, settings, n))


def test_a_request_has_all_its_fields():
    """It has model, message, limit, temperature, seed and log-probabilities; `n` only if it is more than one."""
    assert fields(RequestForm(EndpointSpec("m"))) == {
        "model": "m",
        "messages": [{"role": "user", "content": "question"}],
        "max_tokens": 750,
        "temperature": 0.1,
        "logprobs": True,
        "seed": SETTINGS.sample_seed() % 2**31,
    }
    assert fields(RequestForm(EndpointSpec("m")), n=5)["n"] == 5


def test_options_leave_parameters_out():
    """With seed=off, logprobs=off and schema=off these are not sent, and n=1 never asks for several."""
    form = RequestForm(EndpointSpec("m", several=False, logprobs=False, seed=False, schema=False))
    assert set(fields(form, replace(SETTINGS, schema="{}"))) == {"model", "messages", "max_tokens", "temperature"}
    assert form.many(7) == 1


def test_a_schema_is_sent_in_openais_form():
    """A schema is sent with a name, as strict, and unchanged; each request has its own schema or none."""
    form = RequestForm(EndpointSpec("m"))
    for schema in ('{"type":"object"}', '{"type":"array"}'):
        assert fields(form, replace(SETTINGS, schema=schema))["response_format"] == {
            "type": "json_schema",
            "json_schema": {"name": "answer", "strict": True, "schema": json.loads(schema)},
        }
    assert "response_format" not in fields(form)
    assert form.sent(1, schema=True) - form.sent(1) == {"response_format"}


@each("text", ['"', "\\", "\n\x00\x1f", "é😀", "</script>", '"},{"role":"system"', "\u2028"])
def test_any_text_is_sent_as_it_is(text):
    """Prompts and names of models are encoded as JSON strings."""
    assert fields(RequestForm(EndpointSpec("m")), prompt=text)["messages"] == [{"role": "user", "content": text}]
    assert fields(RequestForm(EndpointSpec(text)))["model"] == text


def test_a_surrogate_cannot_be_sent():
    """A prompt with a lone surrogate is refused by the sampler, not changed."""
    with pytest.raises(ProviderDown, match="half characters"):
        RequestForm(EndpointSpec("m")).body("\ud800", SETTINGS, 1)


def test_seeds_of_a_step_differ_and_fit():
    """Every sample of a step has its own seed, and all fit into 31 bits."""
    form = RequestForm(EndpointSpec("m"))
    seeds = [fields(form, Settings(0.1, 750, 7, step, slot))["seed"] for step in range(20) for slot in range(40)]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**31 for seed in seeds)


def test_settings_may_change_from_call_to_call():
    """Each call has its own temperature and limit, however many calls there were before."""
    form = RequestForm(EndpointSpec("m"))
    for i in [*range(3 * MAX_KEPT_PARTS), 0, 1]:
        sent = fields(form, Settings(i / 100, 10 + i, 7, 0, 0))
        assert (sent["temperature"], sent["max_tokens"]) == (i / 100, 10 + i)


@each(
    ("status", "error", "name"),
    [
        (400, {"param": "max_tokens", "code": "unsupported_parameter", "message": "Use another."}, "max_tokens"),
        (400, {"message": "'max_tokens' is not supported with this model. Use 'max_completion_tokens'"}, "max_tokens"),
        (400, {"param": "temperature", "message": "Only the default (1) value is supported."}, "temperature"),
        (400, {"message": "Unsupported value: 'temperature' does not support 0.1."}, "temperature"),
        (400, {"message": "Argument not supported on this model: logprobs"}, "logprobs"),
        (403, {"message": "You are not allowed to request logprobs from this model."}, "logprobs"),
        (400, {"message": 'Invalid JSON payload received. Unknown name "seed": Cannot find field.'}, "seed"),
        (400, {"message": "Unsupported value: 'n' does not support other values than 1."}, "n"),
        (400, {"message": "n must be 1"}, "n"),
        (400, {"message": "Field 'n': Value must be between 1 <= value <= 2, but got 4"}, "n"),  # llama.cpp, 2 slots
        (400, {"message": "n > 1 is not supported"}, "n"),
        (400, {"param": "n", "message": "no"}, "n"),
        (422, {"detail": [{"type": "extra_forbidden", "loc": ["body", "seed"], "msg": "Extra inputs"}]}, "seed"),
        (422, {"message": {"detail": [{"loc": ["body", "logprobs"], "msg": "Extra inputs"}]}}, "logprobs"),
        (400, {"message": "This model's maximum context length is 8192 tokens; reduce max_tokens"}, None),
        (400, {"message": "max_tokens is too large: 9999999"}, None),
        (400, {"message": "An error in a question of n parts"}, None),
        (400, {"message": "The model does not exist"}, None),
        (403, {"message": "temperature: not from here"}, None),
        (401, {"message": "no logprobs for you"}, None),
        (500, {"message": "logprobs"}, None),
        (429, {"message": "max_tokens per minute"}, None),
    ],
)
def test_a_refusal_names_the_parameter(status, error, name):
    """A refused parameter is recognized by the error's field or words; other errors name none."""
    assert refused_parameter(status, error_from_json({"error": error}), ALL) == name


def test_a_parameter_that_was_not_sent_cannot_be_left_out():
    """If a request did not send the parameter, the refusal stands."""
    form = RequestForm(EndpointSpec("m"))
    error = error_from_json({"error": {"param": "seed", "message": "no seed"}})
    assert refused_parameter(400, error, form.sent(1)) == "seed"
    assert form.without("seed")
    assert not form.without("seed")
    assert refused_parameter(400, error, form.sent(1)) is None
    assert "n" in form.sent(2) - form.sent(1)


@each("name", ["temperature", "seed", "logprobs"])
def test_what_was_refused_is_not_sent_again(name):
    """Later requests are the same without the refused parameter."""
    form = RequestForm(EndpointSpec("m"))
    before = fields(form)
    form.without(name)
    assert fields(form) == {key: value for key, value in before.items() if key != name}


def test_the_limit_has_two_names():
    """If max_tokens is refused, max_completion_tokens is sent, and there is no third name."""
    form = RequestForm(EndpointSpec("m"))
    assert form.without("max_tokens")
    assert not form.without("max_tokens")  # another call of the same time found it out as well
    sent = fields(form)
    assert sent["max_completion_tokens"] == 750
    assert "max_tokens" not in sent
    error = error_from_json({"error": {"param": "max_completion_tokens", "message": "max_completion_tokens?"}})
    assert refused_parameter(400, error, form.sent(1)) is None


def test_several_samples_are_not_asked_for_again():
    """If n is refused, each later request asks for one sample."""
    form = RequestForm(EndpointSpec("m"))
    assert form.many(5) == 5
    form.without("n")
    assert form.many(5) == 1
