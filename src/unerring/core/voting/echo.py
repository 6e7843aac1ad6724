"""Echoes: a token in the question that the answer must repeat, so that the answer to another question never votes.

A process may have put a token of its own in a question (`Subtask.echo`). Or the engine ends each request with a line
that asks for one (`Request.echo`); then it is another one for each call, and is taken off the answer before that is
read.
"""

import re
from hashlib import blake2b

from unerring.core.voting.redflag import FlagKind, RedFlag

LETTERS = (
    "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"  # of a token; without letters and digits that look alike: 0 and O, 1 and I
)
TOKEN_CHARS = 6  # of 32 letters each: 30 bits, so that another call's token fits by chance once in a thousand million
MAX_ECHO_CHARS = 64
# Marks that models put before and after a word on a line of its own.
_BEFORE = r"[ \t]*[*_`\"'(\[#<]{0,2}[ \t]*"  # three backticks end a fence, which is the answer's
_AFTER = r"[\s*_`\"')\].>,:;]*"


def echo_token(name: str) -> str:
    """The token of a call, by whatever names it."""
    number = int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "big")
    return "".join(LETTERS[number >> 5 * place & 31] for place in range(TOKEN_CHARS))


def echo_line(token: str) -> str:
    """The last lines of a prompt, which ask for an answer that repeats a token."""
    return f"\n\nAfter your whole answer, write this word on a line of its own, and nothing after it: {token}"


def without_echo(text: str, token: str) -> str:
    """An answer without the token at its end; raises `RedFlag` where it is not there."""
    found = re.search(rf"(?:\A|\n){_BEFORE}{token}{_AFTER}\Z|(?<!\S){token}{_AFTER}\Z", text)
    if found is None:
        # not for its form: only with its request is it known whose answer it is
        raise RedFlag(f"the answer does not end with the word of its own request, {token}", FlagKind.COPY)
    return text[: found.start()].rstrip()


def require_echo(text: str, token: str) -> None:
    """Raise `RedFlag` where a text does not hold a token as a whole word."""
    if re.search(rf"(?<!\w){re.escape(token)}(?!\w)", text) is None:
        raise RedFlag(f"the answer does not repeat {token!r}, which its question holds")
