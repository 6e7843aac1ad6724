"""Calls and ids of replies for the tests of copies."""

from unerring.core.voting.copies import SentCall
from unerring.core.voting.sample import Usage

SHORT = Usage(500, 2)  # a long prompt and a short answer, as "7"
WRITTEN = Usage(500, 300)  # an answer that takes longer to write than its prompt to read
ASKED = "What comes next? " * 100


def asked(question, i):
    """The call for sample number i of a question, asked for once sample i - 1 has been received."""
    return SentCall(f"{ASKED}{question}", later=i > 0)


FIRST, LATER = asked("q", 0), asked("q", 1)


def name(number):
    """A provider's id for a reply, of the usual length."""
    return f"chatcmpl-{number:016x}"
