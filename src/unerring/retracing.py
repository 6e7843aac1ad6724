"""Taking up a run where its journal stands: the entries folded, and the chain advanced over what was committed."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from unerring.adapters.journal_reader import without_entries
from unerring.core.entries import Entry, Opened
from unerring.core.identities import Identities
from unerring.core.process import Chain, advanced, digest_at, start_text, started
from unerring.core.replay import RunState
from unerring.core.report import Series
from unerring.core.vote import Json
from unerring.errors import ChainChanged, InputError
from unerring.reading import folded
from unerring.registry import make_chain, process_name
from unerring.trust import permission_for


@dataclass(slots=True)
class Stand:
    """Where a run stands: its folded entries, and the chain's own state after the last committed step.

    `heard` has the names of the replies in the journal, the latest of them where there are many.
    """

    chain: Chain
    at: Json
    state: RunState = field(default_factory=RunState)
    series: Series = field(default_factory=Series)
    heard: Identities = field(default_factory=Identities)


def retraced(path: Path, entries: Iterable[Entry], chain: Chain | str | None, trust: bool = False) -> Stand:
    """Fold a journal's entries and advance the chain over every committed choice; `begun` says what `chain` is."""
    stand: Stand | None = None
    state = RunState()
    for entry, decided, choice in folded(path, entries, state):
        if stand is None:
            assert isinstance(entry, Opened)  # anything else cannot come first
            stand = begun(path, entry, chain, state, trust)
        elif decided is not None:
            stand.series.add(decided, state)
            stand.at = advanced(stand.chain, stand.at, choice, decided.step)
            if digest_at(stand.chain, stand.at, decided.step + 1) != state.last_digest:
                raise ChainChanged(
                    f"step {decided.step} now leads to another state than the one in {path}: the code of "
                    f"{process_name(stand.chain)} has changed since; resume with the code that started the run"
                )
        stand.heard.note(entry)
    if stand is None:
        raise InputError(without_entries(path))
    return stand


def chain_for(path: Path, opened: Opened, chain: Chain | str | None = None, trust: bool = False) -> Chain:
    """The chain that is given, or the one that a name or the journal's first entry makes.

    Raises `InputError` where it cannot be made, or needs code that only a journal of somebody else names.
    """
    if isinstance(chain, str):
        return make_chain(chain, opened.parameters)
    return chain or make_chain(opened.process, opened.parameters, permission_for(path, opened, trust))


def begun(path: Path, opened: Opened, chain: Chain | str | None, state: RunState, trust: bool = False) -> Stand:
    """The chain of a run, made from its opening entry where none is given, before its first step.

    A name of a process that is given in its place is made with the journal's parameters. With `trust` a journal that
    this user did not begin is taken at its word.

    Raises `InputError` where it cannot be made or is another one, and `ChainChanged` where it starts elsewhere.
    """
    chain = chain_for(path, opened, chain, trust)
    if process_name(chain) != opened.process:
        raise InputError(f"{path} holds a run of {opened.process}, not of {process_name(chain)}")
    stand = Stand(chain, started(chain), state)
    if start_text(chain, stand.at) != opened.start:
        raise ChainChanged(
            f"{opened.process} now starts from another state than the one in {path}: its code or its "
            "parameters have changed since; resume with those that started the run"
        )
    return stand
