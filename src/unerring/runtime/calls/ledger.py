"""Record a run's entries in live state and journal, and reserve the worst case of each call before it is sent."""

import asyncio
import logging
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from unerring.core.journal.decided_step import DecidedStep
from unerring.core.journal.entries import Cancelled, Entry, Failed, Intent, Replies, Served, Voter
from unerring.core.journal.spend import PICODOLLARS_PER_DOLLAR, Account, Charge, Overbilling, dollars_text, in_dollars
from unerring.core.journal.state import RunState
from unerring.core.voting.sample import Usage
from unerring.core.voting.sample_check import checked_usage
from unerring.errors import BudgetSpent, FailureKind, ModelChanged, ProviderError
from unerring.runtime.calls.retry import CallRequest
from unerring.runtime.calls.token_counts import min_input_tokens, worst_case
from unerring.runtime.config import RunConfig, StopRequest, interrupting
from unerring.runtime.protocols import Journal, Sampler

log = logging.getLogger("unerring")


_NOTHING = Charge()


class Ledger:
    """The live state and the journal of a run; every entry goes to both."""

    def __init__(self, state: RunState, journal: Journal, config: RunConfig | None = None) -> None:
        self.state = state
        self.journal = journal
        self.config = config or RunConfig()
        self._voters = {voter.name: number for number, voter in state.voters.items()}
        self._overbilled = len(state.account.overbilled)  # those that were logged
        self._overbilling: Overbilling | None = None
        self._failure: BaseException | None = None  # of the entry that could not be recorded
        self._short: set[asyncio.Future[None]] = set()  # calls that wait for budget
        self._share = self.config.share
        self._lock: AbstractContextManager[Any] = nullcontext() if self._share is None else self._share.budget.lock
        clock = self.config.clock
        self._member = None if self._share is None else self._share.join(state.account, clock.time, self._wake)

    def close(self) -> None:
        """End the session: other runs with the same budget no longer wait for its calls."""
        if self._member is not None:
            self._member.budget.leave(self._member)
            self._member = None

    def _wake(self) -> None:
        """Wake calls that wait for budget."""
        for waiting in self._short:
            if not waiting.done():
                waiting.set_result(None)

    def record(self, entry: Entry) -> DecidedStep | None:
        """Fold an entry into the state and append it to the journal.

        Where either fails, state and journal may differ: each later entry is then refused with the same error, since
        it could refer to what was not written. The journal ends before the entry that failed, and can be resumed.
        """
        if self._failure is not None:
            raise self._failure
        try:
            if self._share is None:
                decided = self.state.apply(entry)
            else:
                with self._lock:
                    decided = self.state.apply(entry)
            self.journal.append(entry)
        except BaseException as error:
            self._failure = error
            raise
        if not isinstance(entry, Intent):
            if self._short:
                self._wake()
            if self._member is not None and isinstance(entry, Replies | Failed | Cancelled):
                self._member.budget.settled(self._member)
        if len(self.state.account.overbilled) > self._overbilled:
            self._warn_of_overbilling()
        return decided

    def _warn_of_overbilling(self) -> None:
        overbilled = self.state.account.overbilled
        for one in overbilled[self._overbilled :]:
            log.warning("%s", one.sentence)
            self._overbilling = self._overbilling or one
        self._overbilled = len(overbilled)

    def require_fair_bills(self) -> None:
        """Raise `BudgetSpent` where limits are strict and a call of this session was billed above its worst case."""
        if self._overbilling is not None and self.state.account.limits.strict:
            raise BudgetSpent(
                f"the budget is strict, and {self._overbilling.sentence}. Resuming continues with that reserved"
            )

    def voter(self, name: str) -> int:
        """The number of a voter, which is recorded at its first sample."""
        if name not in self._voters:
            number = len(self._voters)
            self.record(Voter(number, name))
            self._voters[name] = number
        return self._voters[name]

    def served(self, voter: int, model: str) -> None:
        """Record the model that a provider says has answered; raises `ModelChanged` where a change stops the run."""
        known = self.state.served.get(voter, [])
        if model in known:
            return
        self.record(Served(voter, model))
        if known:
            name = self.state.voters[voter].name
            message = f"{name} is now answered by {model}, not by {known[0]} as when the run began"
            if self.config.guards.same_model:
                raise ModelChanged(message)
            log.warning("%s", message)

    def worst(self, asked: CallRequest) -> Charge | None:
        """The most that a call can cost; None where the sampler does not say."""
        worst = worst_case(asked.sampler, asked.prompt, asked.settings, asked.n)
        if worst is None:
            return None
        most = self.price(asked.sampler, worst)
        multiple = self.state.account.multiple(asked.sampler.name)
        return most if multiple == 1 else most.times(multiple)

    def price(self, sampler: Sampler, usage: Usage) -> Charge:
        """The charge for a sampler's tokens."""
        return self.state.account.price(sampler.name, usage)

    def reserve(self, intent: Intent) -> bool:
        """Record the intent of a call if the budget has room for it; returns whether it has."""
        with self._lock:
            if self._lacking(intent.worst or _NOTHING)[1] is not None:
                return False
            self.record(intent)
            return True

    def _lacking(self, worst: Charge) -> tuple[Account, str | None]:
        """The account that has no room for a call (the run's, or that of its shared budget), and the limit, if any."""
        account = self.state.account
        lacking = account.lacks(worst)
        if lacking is None and self._share is not None:
            whole = self._share.whole
            return whole, whole.lacks(worst)
        return account, lacking

    async def wait_for_budget(self, worst: Charge, *stops: StopRequest) -> None:
        """Wait until the budget has room for a call; raises `BudgetSpent` where no other call can make room."""
        while True:
            account, lacking = self._lacking(worst)
            if lacking is None:
                return
            if lacking == "calls" or not account.has_calls_in_flight:
                raise BudgetSpent(
                    _spent_message(account, lacking, worst), larger=_larger_limit(account, lacking, worst)
                )
            waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._short.add(waiting)
            with interrupting(waiting, stops):
                try:
                    await waiting
                finally:
                    self._short.discard(waiting)

    def require_time(self) -> None:
        """Raise `BudgetSpent` where the run has taken all its hours."""
        most, ran = self.state.account.limits.seconds, self.state.account.ran(self.config.clock.time())
        if most is not None and self._share is not None and self._share.limits.seconds is not None:
            ran = max(ran, self._share.whole.seconds)
        if most is not None and ran >= most:
            said = f"the budget of {most / 3600:g} hours is spent"
            raise BudgetSpent(said, larger=("hours", 2 * max(most, ran) / 3600))


class CallTries:
    """The accounting of one call and its retries. `at` is as in `Intent.at`."""

    def __init__(self, ledger: Ledger, call: tuple[int, int, int], at: str | None, *stops: StopRequest) -> None:
        """`call` is the step, the first sample and the count, as in entries."""
        self._ledger = ledger
        self._call = call
        self._at = at
        self._stops = stops
        self._asked: CallRequest | None = None
        self._sent = False

    async def begin(self, asked: CallRequest) -> None:
        """Make the intent durable; the call is not to be sent before."""
        self._ledger.require_time()
        self._ledger.require_fair_bills()
        if not asked.sampler.paid:
            return
        ledger = self._ledger
        worst = ledger.worst(asked)
        while not ledger.reserve(Intent(*self._call, self._at, worst)):
            await ledger.wait_for_budget(worst or _NOTHING, *self._stops)
            worst = ledger.worst(asked)  # calls that were settled meanwhile may have raised it
        self._asked, self._sent = asked, False
        await ledger.journal.commit()
        self._sent = True

    def failed(self, error: ProviderError) -> None:
        """Record that a try failed, and what it cost."""
        if self._asked is None:
            return
        asked, charge = self._asked, None
        usage = _billed(error)
        if usage is not None and usage.input_tokens >= min_input_tokens(asked.prompt, asked.settings):
            charge = self._ledger.price(asked.sampler, usage)
        self._ledger.record(Failed(*self._call, str(error), self._at, error.kind, charge))
        self._asked = None

    def cancelled(self) -> None:
        """Record that a try was abandoned: if it was sent, its outcome is unknown."""
        if self._asked is None:
            return
        if self._sent:
            guessed = any(stop.abandons and stop.reason is not None for stop in self._stops)
            self._ledger.record(Cancelled(*self._call, self._at, guessed))
        else:
            why = "given up before it was sent"
            self._ledger.record(Failed(*self._call, why, self._at, FailureKind.UNSENT))
        self._asked = None


def _billed(error: ProviderError) -> Usage | None:
    """The tokens that a failure was billed for; None where it does not say, or says no possible number."""
    try:
        return None if error.tokens is None else checked_usage(Usage(*error.tokens))
    except TypeError:  # not two values, or not whole numbers from 0: a user's own code may raise such a failure
        return None


def _larger_limit(account: Account, limit: str, worst: Charge) -> tuple[str, float] | None:
    """Suggest a larger value for the limit: about twice as large, with room for the next call."""
    limits = account.limits
    spent = account.spent  # may be above a limit that was lowered
    if limit == "calls":
        most = max(limits.calls or 0, account.calls)
        return "calls", max(2 * most, most + 10)
    if limit == "tokens":
        return "tokens", 2 * max(limits.tokens or 0, spent.tokens) + worst.tokens
    if worst.money is None or account.settled.money is None or account.unknown.money is None:
        return None
    cents = -(-100 * (2 * max(limits.money or 0, spent.money or 0) + worst.money) // PICODOLLARS_PER_DOLLAR)
    return "usd", cents / 100


def _spent_message(account: Account, limit: str, worst: Charge) -> str:
    """The message of a run that stops at a limit of its budget."""
    limits, known, unknown = account.limits, account.settled, account.unknown
    if limit == "calls":
        made = f": {account.calls:,} were made" if account.calls > (limits.calls or 0) else ""
        return f"the budget of {limits.calls:,} calls is spent{made}"
    if limit == "tokens":
        return (
            f"the budget of {limits.tokens:,} tokens is spent: {known.tokens:,} for calls that came back, "
            f"{unknown.tokens:,} for calls whose outcome is unknown, and the next could take {worst.tokens:,}"
        )
    if worst.money is None or known.money is None or unknown.money is None:
        return "a budget in dollars needs the price of every model, and the price of one is unknown"

    def dollars(money: int) -> str:
        return dollars_text(in_dollars(money))

    return (
        f"the budget of {dollars(limits.money or 0)} is spent: {dollars(known.money)} for calls that came back, "
        f"{dollars(unknown.money)} for calls whose outcome is unknown, and the next could cost {dollars(worst.money)}"
    )
