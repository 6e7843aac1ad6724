"""Replies of a chat endpoint for tests, and the samples that they are read as."""

import json

from unerring.adapters.chat.response import ExpectedReply, outcome
from unerring.adapters.http.spec import Secret
from unerring.errors import FailureKind, ProviderBusy

CANARY = "sk-canary-5d1f0c9a7e"
USAGE = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}
ID = "chatcmpl-0123456789abcdef"


def asked(n=1, limit=64, input_worst=300, stops=False, tools=False):
    return ExpectedReply(n, limit, input_worst, "m", "box", Secret(CANARY, "K"), 1e9, 0.25, stops=stops, tools=tools)


def choice(text="answer", finish="stop", **more):
    return {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish} | more


def reply(*choices, **fields):
    return {"id": ID, "model": "m-1", "choices": list(choices) or [choice()], "usage": USAGE} | fields


def read(value, n=1, headers=None, **kw):
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    return outcome(200, headers or {}, body, asked(n, **kw))


def one(value, **kw):
    samples = read(value, **kw)
    assert isinstance(samples, list), samples
    (sample,) = samples
    return sample


def unknown(value, **kw):
    failed = read(value, **kw)
    assert isinstance(failed, ProviderBusy)
    assert failed.kind is FailureKind.UNKNOWN
    return failed
