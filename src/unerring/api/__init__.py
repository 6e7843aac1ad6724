"""The public names, which `unerring` offers as its own and imports when the first of them is used."""

from unerring.api.budget import Budget
from unerring.api.journals.fork import fork
from unerring.api.journals.history import report, steps, verify
from unerring.api.journals.rejudge import rejudge
from unerring.api.options import Options
from unerring.api.planning import Target
from unerring.api.result import Result
from unerring.api.running import aresume, arun, resume, run
from unerring.core.chain import Chain, Rehearsal, Subtask
from unerring.core.planning.costs import Price
from unerring.core.reporting.run_report import Report
from unerring.core.reporting.steps import Step, StepSample
from unerring.core.request import Request
from unerring.core.voting.parsing import json_answer, lenient_json
from unerring.core.voting.policy import Policy
from unerring.core.voting.race import AheadBy, FirstTo, Majority
from unerring.core.voting.redflag import FlagRules, RedFlag
from unerring.core.voting.sample import Finish, Sample, Settings, Usage
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
from unerring.processes.hanoi import Hanoi
from unerring.runtime.config import Guards, Patience

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
    "Report",
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
