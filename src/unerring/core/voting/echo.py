"""Echoes: a token in the question that the answer must repeat, so that the answer to another question never votes.

A process may put a token of its own in a question (`Subtask.echo`). Or the engine ends each request with a line that
asks for one (`Request.echo`): a different token for each call, removed from the answer before parsing.
"""

import re
from hashlib import blake2b

from unerring.core.voting.redflag import FlagKind, RedFlag

LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"  # without those that look alike: 0 and O, 1 and I
TOKEN_CHARS = 6  # 30 bits: another call's token is the same once in a thousand million
MAX_ECHO_CHARS = 64
# The marks that models put around a word on a line of its own.
_BEFORE = r"[ \t]*[*_`\"'(\[#<]{0,2}[ \t]*"  # three backticks would end a fence of the answer
_AFTER = r"[\s*_`\"')\].>,:;]*"


def echo_token(name: str) -> str:
    """The token of a call, derived from the call's name."""
    number = int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "big")
    return "".join(LETTERS[number >> 5 * place & 31] for place in range(TOKEN_CHARS))


def echo_line(token: str) -> str:
    """The last lines of a prompt, which ask for an answer that repeats a token."""
    return f"\n\nAfter your whole answer, write this word on a line of its own, and nothing after it: {token}"


def without_echo(text: str, token: str) -> str:
    """The answer without the token at its end; raises `RedFlag` where it is missing."""
    found = re.search(rf"(?:\A|\n){_BEFORE}{token}{_AFTER}\Z|(?<!\S){token}{_AFTER}\Z", text)
    if found is None:
        # a copy, not malformed: without the token nothing shows whose answer it is
        raise RedFlag(f"the answer does not end with the word of its own request, {token}", FlagKind.COPY)
    return text[: found.start()].rstrip()


def require_echo(text: str, token: str) -> None:
    """Raise `RedFlag` where a text does not contain a token as a whole word."""
    if re.search(rf"(?<!\w){re.escape(token)}(?!\w)", text) is None:
        raise RedFlag(f"the answer does not repeat {token!r}, which its question holds")
