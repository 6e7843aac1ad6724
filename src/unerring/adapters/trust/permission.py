"""What the name of a model or process may do (its specification): import code, and receive API keys.

A specification that the user gave has both. One that only another person's journal gives has neither: such a file is
data, and must not choose which code runs or where a key is sent.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from unerring.errors import InputError

ALLOWED_HOSTS_VARIABLE = "UNERRING_ALLOW_HOSTS"  # an environment variable: hosts with commas between them

_HOST = re.compile(r"([a-z0-9]([a-z0-9_.-]*[a-z0-9])?|\[[0-9a-f:.]+\])(:[0-9]{1,5})?|[0-9a-f]*:[0-9a-f:]*:[0-9a-f:.]*")
_LOOPBACK = re.compile(r"localhost|127(\.[0-9]+){3}|::1")

# Advice for a name whose code may not be imported.
_ADVICE = {
    "process": "give `chain`, or allow it with `trust`",
    "model": "allow it with `trust`, or give the model itself in Python",
}


class CodeNotAllowed(InputError):
    """Code that only another person's journal names; the message says what to give or allow instead."""


@dataclass(frozen=True, slots=True)
class Permission:
    """Whether a specification may import code and receive API keys.

    journal: the journal that the specification comes from, where this user did not begin it; None where the user gave
        the specification.
    hosts: host names, some with a port, that may receive a key anyway.
    sends: whether requests are sent at all; a sampler that is only described sends no key.
    """

    journal: str | None = None
    hosts: tuple[str, ...] = ()
    sends: bool = True

    def allowing(self, hosts: Iterable[str]) -> "Permission":
        """The same with further hosts that may receive a key. Raises `InputError` for an invalid host name."""
        return replace(self, hosts=self.hosts + tuple(map(required_host, hosts)))

    def require_code(self, kind: str, name: str) -> None:
        """Raise `CodeNotAllowed` where this name of a process or a model may not import code."""
        if self.journal is not None:
            raise CodeNotAllowed(
                f"{_ADVICE[kind]}: {self.journal} was not begun by you on this machine, and its {kind} {name!r:.80} "
                "is not part of unerring"
            )

    def require_key_to(
        self, host: str, place: str, encrypted: bool, variable: str, environ: Mapping[str, str]
    ) -> None:
        """Raise `InputError` where the key in a variable may not be sent to a host; `place` also has its port."""
        listed = environ.get(ALLOWED_HOSTS_VARIABLE, "").lower().replace(",", " ").split()
        if not self.sends or {host, f"[{host}]", place} & {*self.hosts, *listed}:
            return
        if self.journal is not None:
            raise InputError(
                f"{self.journal} was not begun by you on this machine, and only it names the host {place}: the key in "
                f"{variable} is sent there with `allow_hosts` {place}, or `trust`; to send none, unset {variable}"
            )
        if not encrypted and not is_loopback(host):
            raise InputError(
                f"the key in {variable} would travel to {place} unencrypted: write https://, or allow it with "
                f"`allow_hosts` {place}; to send none, unset {variable}"
            )


GIVEN = Permission()
"""For a specification that the user gave."""


def is_loopback(host: str) -> bool:
    """Whether a host is this machine itself."""
    return _LOOPBACK.fullmatch(host) is not None


def required_host(text: str) -> str:
    """A host's name in lower case, with its port where one is given; raises `InputError` for anything else."""
    if not isinstance(text, str) or not _HOST.fullmatch(text.lower()):
        # the message does not repeat it: it may be an address with a password in it
        raise InputError("a host to allow is written as its name, or with a port: gpu-box, gpu-box:8000 or 10.0.0.5")
    return text.lower()
