"""One budget for several runs of this process: their calls are held to it together, in threads too."""

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass

from unerring.core.account import Account, Charge, Limits


@dataclass(slots=True)
class _Member:
    """A run that shares the budget: its account, its clock, and what wakes its calls that wait."""

    account: Account
    time: Callable[[], float]
    loop: asyncio.AbstractEventLoop
    wake: Callable[[], None]
    running: bool = True


class SharedBudget:
    """The accounts of all runs that were given the same budget, by their journals.

    What a run has spent stays counted after its end. A run that is resumed counts once, with all its sessions.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._members: dict[object, _Member] = {}

    def __reduce__(self) -> tuple[type["SharedBudget"], tuple[()]]:
        """Share with nobody once it is copied: another object, or another process, has a budget of its own."""
        return SharedBudget, ()

    def join(self, key: object, member: _Member) -> None:
        """Count a run from now on."""
        with self.lock:
            self._members[key] = member

    def leave(self, key: object) -> None:
        """A run's session is over: its calls are no longer waited for, and what it took stays counted."""
        with self.lock:
            self._members[key].running = False
        self.settled(key)

    def settled(self, key: object) -> None:
        """Wake calls of other runs that wait for budget."""
        for other, member in list(self._members.items()):
            if other != key and member.running and not member.loop.is_closed():
                member.loop.call_soon_threadsafe(member.wake)

    def whole(self, limits: Limits) -> Account:
        """What all runs took and may have taken, as one account. Hold the lock while it is looked at and changed."""
        sums = Account(limits=limits)
        for number, member in enumerate(self._members.values()):
            account = member.account
            sums.calls += account.calls
            sums.seconds += account.ran(member.time()) if member.running else account.seconds
            sums.settle((number, 0, "settled"), account.settled)
            sums.settle((number, 0, "unknown"), account.unknown)
            if member.running and account.under_way:
                sums.begin((number, 0, "under way"), account.reserved)
                sums.calls -= 1
            else:
                sums.settle((number, 0, "reserved"), account.reserved)
        return sums


@dataclass(frozen=True, slots=True)
class Share:
    """A run's part in a budget: `key` is the same for all sessions of a run, `limits` are those of the budget."""

    budget: SharedBudget
    key: object
    limits: Limits

    def join(self, account: Account, time: Callable[[], float], wake: Callable[[], None]) -> None:
        """Count the run. Call it on the run's event loop."""
        self.budget.join(self.key, _Member(account, time, asyncio.get_running_loop(), wake))

    @property
    def whole(self) -> Account:
        """The account of all runs that share the budget."""
        return self.budget.whole(self.limits)

    def lacks(self, more: Charge) -> str | None:
        """The name of the limit that one more call of any of the runs might break, if any."""
        return self.whole.lacks(more)
