"""Specifications of models that are asked in batches."""

import pytest
from batch_provider import KEY

from tables import each
from unerring.adapters.openai_batch.sampler import BatchSampler
from unerring.adapters.openai_batch.spec import parse_batch_spec
from unerring.errors import InputError


@each(
    ("text", "name"),
    [
        ("openai-batch/m", "openai-batch/m"),
        ("openai-batch/m,batch=1000,gather=60,poll=15.0,window=24h", "openai-batch/m"),
        ("openai-batch/a/b@http://h:8000/v1/,batch=7", "openai-batch/a/b@http://h:8000/v1,batch=7"),
        ("openai-batch/m,poll=0.5,n=1,compact,gather=5", "openai-batch/m,compact,n=1,gather=5,poll=0.5"),
        ("openai-batch/m,window=7d,timeout=9", "openai-batch/m,timeout=9,window=7d"),
    ],
)
def test_a_specification_has_one_form(text, name):
    """However it is written, a batch model has one name, which is read back as the same model."""
    spec = parse_batch_spec(text)
    assert spec.name == name
    assert parse_batch_spec(name) == spec


@each(
    ("text", "words"),
    [
        ("openai/m", "openai-batch/MODEL"),
        ("openai-batch/", "name"),
        ("openai-batch/m,batch=0", "1 to 50000"),
        ("openai-batch/m,batch=50001", "1 to 50000"),
        ("openai-batch/m,batch=many", "1 to 50000"),
        ("openai-batch/m,poll=0", "seconds"),
        ("openai-batch/m,poll=nan", "seconds"),
        ("openai-batch/m,gather=1e9", "seconds"),
        ("openai-batch/m,window=day", "24h"),
        ("openai-batch/m,batch=1,batch=2", "twice"),
        ("openai-batch/m,speed=9", "'speed'.*poll=SECONDS"),
        ("openai-batch/m@ftp://h", "http"),
    ],
)
def test_a_wrong_specification_says_what_to_write(text, words):
    """A specification that cannot be read is refused in one line that says why."""
    with pytest.raises(InputError, match=words):
        parse_batch_spec(text)


def test_known_hosts_need_their_key():
    """Without the host's own key no sampler is made."""
    with pytest.raises(InputError, match="OPENAI_API_KEY"):
        BatchSampler("openai-batch/m", "run 1", {"UNERRING_API_KEY": KEY})
