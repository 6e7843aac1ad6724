"""One budget for several runs of this process: all their calls are counted together, also across threads."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from unerring.core.journal.spend import Account, SpendLimits


@dataclass(frozen=True, slots=True, eq=False)
class BudgetMember:
    """A run in progress that shares a budget.

    budget: the shared budget.
    key: as in `BudgetShare`.
    account: what the run has spent and reserved.
    time: its clock, seconds since 1970.
    loop: the event loop that it runs on.
    wake: wakes its calls that wait for budget.
    """

    budget: "SharedBudget"
    key: object | None
    account: Account
    time: Callable[[], float]
    loop: asyncio.AbstractEventLoop
    wake: Callable[[], None]


class SharedBudget:
    """The accounts of all runs that were given the same budget. Methods may be called from any thread.

    What a run has spent stays counted after its end. A run that is resumed counts once, with all its sessions.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()  # also held from the check of the budget to the intent
        self._running: list[BudgetMember] = []
        self._ended = Account()  # of all runs that are not running
        self._counted: dict[object, Account] = {}  # by a run's key: its part of `_ended`

    def __reduce__(self) -> tuple[type["SharedBudget"], tuple[()]]:
        """Make copies empty: another object or process has a budget of its own."""
        return SharedBudget, ()

    def join(self, member: BudgetMember) -> None:
        """Count a run from now on.

        Its account includes its earlier sessions, which are no longer counted apart. An account with less than these
        is that of another run, whose journal has the name of a deleted one.
        """
        with self.lock:
            earlier = None if member.key is None else self._counted.pop(member.key, None)
            own = member.account
            if earlier is not None and own.calls >= earlier.calls and own.seconds >= earlier.seconds:
                self._ended.include_ended(earlier, -1)
            self._running.append(member)

    def leave(self, member: BudgetMember) -> None:
        """End a run's session: others no longer wait for its calls, and what it spent stays counted."""
        with self.lock:
            self._running.remove(member)
            self.count(member.key, member.account)
        self.settled(member)

    def count(self, key: object | None, account: Account) -> None:
        """Count what a run that is not running has spent, also in sessions of other processes."""
        with self.lock:
            kept = Account()
            kept.include_ended(account)
            self._ended.include_ended(kept)
            if key is not None:
                self._counted[key] = kept

    def settled(self, by: BudgetMember) -> None:
        """Have waiting calls of the other runs check the budget again."""
        with self.lock:
            others = [member for member in self._running if member is not by]
        for other in others:
            with suppress(RuntimeError):  # its loop is closed
                other.loop.call_soon_threadsafe(other.wake)

    def whole(self, limits: SpendLimits) -> Account:
        """What all runs have spent and reserved, as one account."""
        with self.lock:
            whole = Account(limits=limits)
            whole.include_ended(self._ended)
            for member in self._running:
                whole.include(member.account, member.time())
            return whole


@dataclass(frozen=True, slots=True)
class BudgetShare:
    """A run's share of a budget.

    budget: what all runs with this budget have spent.
    key: the same for all sessions of a run; None for a run that is never resumed.
    limits: the limits of the budget.
    """

    budget: SharedBudget
    key: object | None
    limits: SpendLimits

    def join(self, account: Account, time: Callable[[], float], wake: Callable[[], None]) -> BudgetMember:
        """Count the run. Call it on the run's event loop."""
        member = BudgetMember(self.budget, self.key, account, time, asyncio.get_running_loop(), wake)
        self.budget.join(member)
        return member

    @property
    def whole(self) -> Account:
        """The account of all runs that share the budget."""
        return self.budget.whole(self.limits)
