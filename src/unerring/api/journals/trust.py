"""Decide whether a journal's code and hosts are trusted: those of runs that this user began here, others on request.

Reading another person's journal imports no code that it names, and sends no key to a host that it names.
"""

import logging
from collections.abc import Iterable
from pathlib import Path

from unerring.adapters.providers import in_this_process
from unerring.adapters.trust.known_journals import StateUnusable, is_known, remember
from unerring.adapters.trust.permission import GIVEN, Permission
from unerring.core.arguments import require_flag
from unerring.core.journal.entries import Opened
from unerring.processes import SHIPPED
from unerring.runtime.ensemble import RESERVE, SEPARATOR

log = logging.getLogger("unerring")


def permission_for(path: Path, opened: Opened, trust: bool = False, model: str | None = None) -> Permission:
    """What may be done for a journal's process and model; with `model`, for a model that it names later."""
    require_flag("trust", trust)
    if trust or is_known(opened, model):
        return GIVEN
    return Permission(journal=str(path))


def given_permission(hosts: Iterable[str]) -> Permission:
    """What may be done for what the user names; these hosts may be sent a key."""
    return GIVEN.allowing(hosts)


def note_begun(opened: Opened, model: str | None = None) -> None:
    """Remember that this user begins a run here, or names a model for it; logs a warning where that fails."""
    try:
        remember(opened, model)
    except StateUnusable as error:
        if _needs_to_be_known(opened.process, opened.model if model is None else model):
            log.warning("cannot remember that you began this run (%s): resume and verify will need `trust`", error)


def _needs_to_be_known(process: str, model: str) -> bool:
    providers = {one.partition("/")[0] for one in model.replace(RESERVE, SEPARATOR).split(SEPARATOR)}
    return process not in SHIPPED or not all(map(in_this_process, providers))
