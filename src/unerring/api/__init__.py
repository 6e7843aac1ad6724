"""The public names of `unerring`; the package imports this module when the first of them is used."""

from unerring.api.asking import aask, ask
from unerring.api.budget import Budget
from unerring.api.calibration.calibrating import PilotOptions, acalibrate, calibrate
from unerring.api.decision import Decision
from unerring.api.journals.fork import fork
from unerring.api.journals.history import report, steps
from unerring.api.journals.journal_file import JournalFile, open  # noqa: A004  (users write unerring.open)
from unerring.api.journals.rejudge import rejudge
from unerring.api.journals.review import review
from unerring.api.journals.verify import verify
from unerring.api.options import Options
from unerring.api.planning import Target, plan
from unerring.api.result import Result
from unerring.api.running import aresume, arun, resume, run
from unerring.core.chain import Chain, Rehearsal, Subtask
from unerring.core.functions.awaitables import act, gather
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
    ActFailed,
    ActUnknown,
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
from unerring.runtime.calls.patience import Patience
from unerring.runtime.config import Guards

__all__ = [
    "ActFailed",
    "ActUnknown",
    "AheadBy",
    "Budget",
    "BudgetSpent",
    "Chain",
    "ChainChanged",
    "Decision",
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
    "JournalFile",
    "Majority",
    "Options",
    "Patience",
    "PilotOptions",
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
    "aask",
    "acalibrate",
    "act",
    "aresume",
    "arun",
    "ask",
    "calibrate",
    "fork",
    "gather",
    "json_answer",
    "lenient_json",
    "open",
    "plan",
    "rejudge",
    "report",
    "resume",
    "review",
    "run",
    "steps",
    "verify",
]
