"""Places of the questions of a function process, as docs/journal.md describes them."""

import unerring
from unerring.core.functions.function_chain import FunctionChain
from unerring.core.functions.points import Given, GivenKind, digest_after


async def gathers():
    await unerring.gather(unerring.ask("a?", int), unerring.ask("b?", int))
    await unerring.gather(unerring.ask("c?", int), unerring.ask("d?", int))


def test_the_places_of_a_gather():
    """The first question has the place of a single one, null at the start; others have the digest and their number."""
    chain = FunctionChain(gathers, {})
    state, places = chain.start(), []
    for _ in range(4):
        places.append(chain.place(state))
        state = chain.advance(state, 1)
    given = Given(GivenKind.CHOICE, "1")
    digest = digest_after(digest_after("", given), given)
    assert places == [None, ["", 1], digest, [digest, 1]]
