"""One budget for several runs of this process: their calls are held to it together, in threads too."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from unerring.core.journal.spend import Account, SpendLimits


@dataclass(frozen=True, slots=True, eq=False)
class BudgetMember:
    """A run under way that shares a budget: its account, its clock, and a function that wakes its waiting calls."""

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
        self.lock = threading.RLock()  # held too while an account is changed, and from a look at the budget to a call
        self._running: list[BudgetMember] = []
        self._ended = Account()  # of all runs that are not under way
        self._counted: dict[object, Account] = {}  # what a run has in that sum, by the run's key

    def __reduce__(self) -> tuple[type["SharedBudget"], tuple[()]]:
        """A copy shares with no run: another object, or another process, has a budget of its own."""
        return SharedBudget, ()

    def join(self, member: BudgetMember) -> None:
        """Count a run from now on.

        Its earlier sessions are in its account, and no longer counted apart. An account that has less in it than
        they took is that of another run, whose journal has the name of one that was deleted.
        """
        with self.lock:
            earlier = None if member.key is None else self._counted.pop(member.key, None)
            if earlier is not None and _contains(member.account, earlier):
                self._ended.include_ended(earlier, -1)
            self._running.append(member)

    def leave(self, member: BudgetMember) -> None:
        """A run's session is over: its calls are no longer waited for, and what it took stays counted."""
        with self.lock:
            self._running.remove(member)
            self.count(member.key, member.account)
        self.settled(member)

    def count(self, key: object | None, account: Account) -> None:
        """Count what a run took that is not under way, in sessions of other processes too."""
        with self.lock:
            kept = Account()
            kept.include_ended(account)
            self._ended.include_ended(kept)
            if key is not None:
                self._counted[key] = kept

    def settled(self, by: BudgetMember) -> None:
        """Have the calls of the other runs look again whether there is room for them."""
        with self.lock:
            others = [member for member in self._running if member is not by]
        for other in others:
            with suppress(RuntimeError):  # its loop is closed
                other.loop.call_soon_threadsafe(other.wake)

    def whole(self, limits: SpendLimits) -> Account:
        """What all runs took and may have taken, as one account."""
        with self.lock:
            whole = Account(limits=limits)
            whole.include_ended(self._ended)
            for member in self._running:
                whole.include(member.account, member.time())
            return whole


def _contains(account: Account, earlier: Account) -> bool:
    return account.calls >= earlier.calls and account.seconds >= earlier.seconds


@dataclass(frozen=True, slots=True)
class BudgetShare:
    """A run's part in a budget.

    budget: what all runs that share it took.
    key: the same for all sessions of a run; None for one that is never gone on with.
    limits: those of the budget.
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
