"""What a server refuses or does not honour is left out of later calls: parameters, schemas and n."""

import asyncio
import logging

import pytest
from openai_calls import PROMPT, ask, failing, refusing, sampler_of, settings

from faults.faults import Fault
from faults.script import always, listed
from faults.server import serving
from tables import each
from unerring.adapters.chat.sampler import MAX_SHORT_REPLIES
from unerring.errors import FailureKind, ProviderBusy, ProviderDown
from unerring.processes.general import General


@each("param", ["max_tokens", "temperature", "seed", "logprobs"])
def test_a_refused_parameter_is_left_out_of_the_next_try(param, caplog):
    """The call fails once, for an immediate retry, and from then on the parameter is not sent.

    There is one warning where samples lose their temperature.
    """
    with serving(script=listed(refusing(param), refusing(param))) as server:
        sampler = sampler_of(server)

        async def twice():
            return await asyncio.gather(
                *(sampler.sample(PROMPT, settings(), 1) for _ in range(2)), return_exceptions=True
            )

        with caplog.at_level(logging.WARNING):
            for failed in asyncio.run(twice()):
                assert (type(failed), failed.kind, failed.retry_after) == (ProviderBusy, FailureKind.TRANSIENT, 0.0)
                assert param in str(failed)
            (sample,) = ask(sampler)
        entry = server.ledger.chats[-1]
        assert (entry.seed is None) == (param == "seed")
        assert (entry.temperature in {None, 1.0}) == (param == "temperature")
        assert (sample.logprob is None) == (param == "logprobs")
        assert [record.levelname for record in caplog.records] == ["WARNING"] * (param == "temperature")
        assert server.ledger.totals.requests == 3


SCHEMA = General().solve("2 + 2", None).schema_text(False)


@each(("options", "sent"), [("", ("thoughts", "answer")), (",schema=off", ())])
def test_a_schema_is_sent_where_the_step_has_one(options, sent):
    """A step's schema is sent unless switched off, and its tokens are reserved."""
    with serving() as server:
        sampler = sampler_of(server, options)
        for schema in (SCHEMA, None):
            asyncio.run(sampler.sample(PROMPT, settings(schema=schema), 1))
        assert [entry.schema_fields for entry in server.ledger.chats] == [sent, ()]
        worst, plain = (sampler.worst(PROMPT, settings(schema=schema), 1) for schema in (SCHEMA, None))
        assert worst.input_tokens > plain.input_tokens + len(SCHEMA)


def test_a_schema_that_is_refused_is_left_out_of_the_next_try():
    """A refused schema is left out, like any parameter that a request can do without."""
    with serving(script=listed(refusing("response_format"))) as server:
        sampler = sampler_of(server)
        asked = settings(schema=SCHEMA)
        with pytest.raises(ProviderBusy, match="takes no response_format"):
            asyncio.run(sampler.sample(PROMPT, asked, 1))
        assert len(asyncio.run(sampler.sample(PROMPT, asked, 1))) == 1
        assert [entry.schema_fields for entry in server.ledger.chats][-1] == ()


def test_the_same_refusal_again_is_final():
    """If a server refuses a parameter that is no longer sent, the failure is lasting."""
    with serving(script=always(refusing("seed"))) as server:
        sampler = sampler_of(server)
        assert type(failing(sampler)) is ProviderBusy
        failed = failing(sampler)
        assert (type(failed), failed.kind) == (ProviderDown, FailureKind.INVALID)


@each("fault", [Fault.N_IGNORED, Fault.N_REFUSED])
def test_a_server_without_n_is_asked_for_one_at_a_time(fault):
    """If n is ignored a few times in a row, the samples received are returned.

    If it is refused, the call is retried.
    """
    with serving(script=always(fault)) as server:
        sampler = sampler_of(server)
        many = MAX_SHORT_REPLIES if fault is Fault.N_IGNORED else 1
        for _ in range(many):
            if fault is Fault.N_IGNORED:
                assert len(ask(sampler, 4)) == 1
            else:
                failed = failing(sampler, 4)
                assert (failed.retry_after, "takes fewer samples a call" in str(failed)) == (0.0, True)
        assert len(ask(sampler, 4)) == 1
        assert [entry.n for entry in server.ledger.chats] == [4] * many + [1]
        assert sampler.worst(PROMPT, settings(), 4).output_tokens == 200


def test_one_short_reply_does_not_end_asking_for_several():
    """After one reply with too few samples, complete ones show that several may be asked for."""
    with serving(script=listed(*(Fault.N_IGNORED, None) * MAX_SHORT_REPLIES)) as server:
        sampler = sampler_of(server)
        assert [len(ask(sampler, 3)) for _ in range(2 * MAX_SHORT_REPLIES)] == [1, 3] * MAX_SHORT_REPLIES
        assert {entry.n for entry in server.ledger.chats} == {3}
