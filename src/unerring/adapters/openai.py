"""Sampler for a model behind an OpenAI-compatible chat endpoint: `openai/MODEL`, `openai/MODEL@URL`."""

import os
from collections.abc import Mapping

from unerring.adapters.chat.connection import ChatConnection
from unerring.adapters.chat.sampler import ChatSampler
from unerring.adapters.http.spec import parse_spec, proxy_for, secret_for
from unerring.adapters.trust.permission import GIVEN, Permission


class OpenAISampler(ChatSampler):
    """Asks one model at one address; made from a specification such as `openai/gpt-4.1-mini`.

    Raises `InputError` for a specification, a key or a proxy that cannot be used. It may be used from several event
    loops, one after the other; each has its own connections, closed with `aclose` or as the loop ends.
    """

    def __init__(self, spec: str, environ: Mapping[str, str] | None = None, permission: Permission = GIVEN) -> None:
        """Keys and proxies are read from `environ`: the environment, if it is None."""
        parsed = parse_spec(spec)
        environ = os.environ if environ is None else environ
        secret = secret_for(parsed, environ, permission)
        backend = ChatConnection(parsed, secret, proxy_for(parsed, environ))
        super().__init__(parsed, parsed.name, parsed.place, secret, backend)
