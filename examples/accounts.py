"""A ledger, applied entry by entry: what each account holds after a payment, and which payments are refused.

Every balance builds on the ones before, and an entry is refused if the payer holds too little: one wrong balance would
spoil all that follows. Amounts are whole cents. Code can do each of these steps, so the referee is complete: that is
what makes it a good chain to measure a model on.

    unerring run accounts:Ledger --set entries=entries.jsonl --model noise/p=0.95,v=0.95,c=0 --k 6 --journal l.db
"""

import re
from collections.abc import Iterable
from functools import partial
from typing import Any

from jsonl import read
from unerring import Chain, InputError, RedFlag, Rehearsal, Subtask

LARGEST = 10**12  # cents
NAME = re.compile(r"[a-z][a-z0-9_]{0,30}")
ASKED = re.compile(r"^(\w+) holds ([0-9.]+)\n(\w+) holds ([0-9.]+)\npay ([0-9.]+) from", re.MULTILINE)


class Ledger(Chain[dict[str, Any], dict[str, int]]):
    """The chain: one step for each payment of a file of JSON lines.

    `{"account": "bank", "cents": 250000}` opens an account; `{"from": "bank", "to": "rent", "cents": 85000}` is a
    payment. A state is `{"entry": number, "balances": cents by account}`. A choice is what the two accounts hold
    afterwards, `{"payer": cents, "payee": cents}`.
    """

    def __init__(self, entries: str = "entries.jsonl", sha256: str | None = None) -> None:
        self.path = entries
        rows, self.sha256 = read(entries, sha256)
        self.opening: dict[str, int] = {}
        self.payments: list[tuple[str, str, int]] = []
        for number, row in rows:
            self._add(row, f"{entries}, line {number}")

    def _add(self, row: dict[str, Any], where: str) -> None:
        cents = row.get("cents")
        if type(cents) is not int or not 0 <= cents <= LARGEST:
            raise InputError(f"{where}: cents must be a whole number from 0 to {LARGEST:,}")
        if "account" in row:
            name = row["account"]
            if not isinstance(name, str) or not NAME.fullmatch(name) or name in self.opening:
                raise InputError(f"{where}: an account has a name of its own, such as bank or rent_2")
            self.opening[name] = cents
            return
        payer, payee = names = row.get("from"), row.get("to")
        if payer == payee or not all(isinstance(name, str) and name in self.opening for name in names):
            raise InputError(f"{where}: from and to must be two accounts that were opened before")
        self.payments.append((str(payer), str(payee), cents))

    def parameters(self) -> dict[str, Any]:
        return {"entries": self.path, "sha256": self.sha256}

    def length(self) -> int:
        return len(self.payments)

    def start(self) -> dict[str, Any]:
        return {"entry": 0, "balances": self.opening}

    def subtask(self, state: dict[str, Any]) -> Subtask | None:
        if state["entry"] == len(self.payments):
            return None
        payer, payee, cents = self.payments[state["entry"]]
        prompt = full_prompt(payer, state["balances"][payer], payee, state["balances"][payee], cents)
        return Subtask(prompt, partial(parse, payer, payee))

    def check(self, state: dict[str, Any], choice: dict[str, int]) -> RedFlag | None:
        """Flag an answer by which money is made or lost: together the two accounts hold what they held before."""
        if choice["payer"] + choice["payee"] != sum(self._asked(state)[:2]):
            return RedFlag("the two balances do not hold together what they held before")
        return None

    def advance(self, state: dict[str, Any], choice: dict[str, int]) -> dict[str, Any]:
        payer, payee, _ = self.payments[state["entry"]]
        balances = state["balances"] | {payer: choice["payer"], payee: choice["payee"]}
        return {"entry": state["entry"] + 1, "balances": balances}

    def truth(self, state: dict[str, Any]) -> dict[str, int]:
        """The right choice from any state."""
        return _settled(*self._asked(state))

    def state_at(self, step: int) -> dict[str, Any]:
        """The state before a step, counted from 0."""
        state = self.start()
        for _ in range(step):
            state = self.advance(state, self.truth(state))
        return state

    def verify(self, choices: Iterable[dict[str, int]], finished: bool) -> str | None:
        """Do the accounts again, and name the first step that is not as they say; None if all are."""
        state = self.start()
        for step, choice in enumerate(choices):
            if step == len(self.payments):
                return f"step {step}: the ledger ends before it"
            right = self.truth(state)
            if choice != right:
                payer, payee, cents = self.payments[step]
                return f"step {step}: {amount(cents)} from {payer} to {payee} leaves {right}, not {choice}"
            state = self.advance(state, choice)
        if finished and state["entry"] < len(self.payments):
            return f"the run ends before entry {state['entry']} of {len(self.payments)}"
        return None

    def rehearse(self, prompt: str) -> Rehearsal:
        """For the noise sampler, from a question's words alone: the right answer, and the payment judged wrongly."""
        asked = ASKED.search(prompt)
        if asked is None:
            raise InputError("this is not a question about a ledger")
        held, had, cents = (int(asked[place].replace(".", "")) for place in (2, 4, 5))
        right = _settled(held, had, cents)
        # nothing is paid; all that there is is paid; a dollar too much arrives, which the check finds
        slips = ((held, had), (0, had + held), (right["payer"], right["payee"] + 100))
        wrong = [slip for slip in slips if slip != (right["payer"], right["payee"])]
        texts = [f"{asked[1]} = {amount(x)}\n{asked[3]} = {amount(y)}" for x, y in (right.values(), *wrong)]
        return Rehearsal(texts[0], tuple(texts[1:]))

    def _asked(self, state: dict[str, Any]) -> tuple[int, int, int]:
        """What payer and payee hold, and what is to be paid."""
        payer, payee, cents = self.payments[state["entry"]]
        return state["balances"][payer], state["balances"][payee], cents


def _settled(held: int, had: int, cents: int) -> dict[str, int]:
    moved = cents if cents <= held else 0
    return {"payer": held - moved, "payee": had + moved}


def amount(cents: int) -> str:
    """Cents as a decimal amount."""
    return f"{cents // 100}.{cents % 100:02}"


def full_prompt(payer: str, held: int, payee: str, had: int, cents: int) -> str:
    """The question, for any chat model: the two accounts, the payment and the rule."""
    return f"""You apply one entry to a ledger.

{payer} holds {amount(held)}
{payee} holds {amount(had)}
pay {amount(cents)} from {payer} to {payee}

If the payer holds at least that much, all of it moves from the payer to the payee. If the payer holds less, the
payment is refused: nothing moves. End your answer with exactly these two lines, filled in with what each account holds
afterwards (two decimals, nothing between thousands), and nothing after them:
{payer} = amount
{payee} = amount"""


def parse(payer: str, payee: str, text: str) -> Any:
    """The last two lines of an answer, as cents; flags any other form."""
    form = r"([0-9]{1,15}\.[0-9]{2})"
    found = re.search(rf"^{payer} = {form}\n{payee} = {form}\s*\Z", text, re.MULTILINE)
    if found is None:
        raise RedFlag("the answer does not end with the two balances")
    return {"payer": int(found[1].replace(".", "")), "payee": int(found[2].replace(".", ""))}
