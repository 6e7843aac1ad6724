"""The public names, which `unerring` offers as its own and imports when the first of them is used."""

from unerring.api import Options, Result, aresume, arun, resume, run
from unerring.core.parsing import json_answer, lenient_json
from unerring.core.planning.costs import Price
from unerring.core.policy import Policy
from unerring.core.process import Chain, Rehearsal, Subtask
from unerring.core.race import AheadBy, FirstTo, Majority
from unerring.core.redflag import FlagRules, RedFlag
from unerring.core.request import Request
from unerring.core.sample import Finish, Sample, Settings, Usage
from unerring.core.steps import Step, StepSample
from unerring.errors import (
    BudgetSpent,
    ChainChanged,
    InputError,
    Interrupted,
    JournalBusy,
    JournalDamaged,
    JournalError,
    ProviderBusy,
    ProviderDown,
    StepUndecided,
    Stopped,
    UnerringError,
)
from unerring.forking import fork
from unerring.planning import Target
from unerring.processes.hanoi import Hanoi
from unerring.reading import report, steps, verify
from unerring.rejudging import rejudge
from unerring.runtime.limits import Guards, Patience
from unerring.spending import Budget

__all__ = [
    "AheadBy",
    "Budget",
    "BudgetSpent",
    "Chain",
    "ChainChanged",
    "Finish",
    "FirstTo",
    "FlagRules",
    "Guards",
    "Hanoi",
    "InputError",
    "Interrupted",
    "JournalBusy",
    "JournalDamaged",
    "JournalError",
    "Majority",
    "Options",
    "Patience",
    "Policy",
    "Price",
    "ProviderBusy",
    "ProviderDown",
    "RedFlag",
    "Rehearsal",
    "Request",
    "Result",
    "Sample",
    "Settings",
    "Step",
    "StepSample",
    "StepUndecided",
    "Stopped",
    "Subtask",
    "Target",
    "UnerringError",
    "Usage",
    "aresume",
    "arun",
    "fork",
    "json_answer",
    "lenient_json",
    "rejudge",
    "report",
    "resume",
    "run",
    "steps",
    "verify",
]
