"""Options of runs and calibrations beyond chain and model."""

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, field

from unerring.adapters.chat.fields import require_free_fields
from unerring.api.budget import Budget, PriceTable
from unerring.api.models import Model
from unerring.api.planning import Target
from unerring.core.arguments import require_flag, require_made, require_methods, require_prices, require_texts
from unerring.core.numbers import MAX_COUNT, MAX_IN_FLIGHT, MAX_TOTAL, require_number, require_share, require_whole
from unerring.core.request import Request
from unerring.core.voting.policy import Policy
from unerring.runtime.calls.patience import Patience
from unerring.runtime.config import Guards, SystemClock
from unerring.runtime.protocols import Clock, Observer
from unerring.runtime.signals import GRACE_SECONDS


@dataclass(frozen=True, slots=True)
class CallOptions:
    """How models are called and what calls may cost: options that runs and calibrations share.

    policy: how samples are drawn and flagged and, in a run, how steps are decided; None takes the model's own.
    patience: how long to wait out a provider's passing failures.
    clock: source of time; replaced in tests.
    in_flight: the most samples in flight at once.
    budget: the most that may be spent, over all sessions.
    prices: prices by model, or the file of a price table; None takes the table of the [prices] extra.
    guards: what stops calls whose answers could not be trusted, such as copies of earlier replies.
    allow_hosts: hosts that may receive an API key by plain http, or that only another person's journal names.
    request: request settings, added to every request. They are stored, and fixed for the run or calibration; only
        `nonce` and `echo` can be turned on and off later.
    grace: seconds to wait for the calls in flight after Ctrl-C; calls abandoned then have an unknown cost.
    """

    policy: Policy | None = None
    _: KW_ONLY
    patience: Patience = field(default_factory=Patience)
    clock: Clock = field(default_factory=SystemClock)
    in_flight: int = 256
    budget: Budget = field(default_factory=Budget)
    prices: PriceTable = None
    guards: Guards = field(default_factory=Guards)
    allow_hosts: Sequence[str] = ()
    request: Request = field(default_factory=Request)
    grace: float = GRACE_SECONDS

    def __post_init__(self) -> None:
        require_whole("in_flight", self.in_flight, most=MAX_IN_FLIGHT)
        require_number("grace", self.grace, what="a number of seconds")
        require_made("policy", self.policy, Policy, optional=True)
        for name, kind in _CLASSES.items():
            require_made(name, getattr(self, name), kind)
        require_free_fields(self.request.extra)
        require_methods("clock", self.clock, ("time", "sleep"))
        require_prices("prices", self.prices)
        require_texts("allow_hosts", self.allow_hosts)


_CLASSES: dict[str, type] = {"patience": Patience, "budget": Budget, "guards": Guards, "request": Request}


@dataclass(frozen=True, slots=True, kw_only=True)
class Options(CallOptions):
    """Options of a run beyond its chain and its model: how steps are decided, guessed, paid for and shown.

    policy: how each step is decided; replaces the model's own policy. A `k` given to `run` replaces its margin. Only
        for new runs.
    target: the probability of zero errors that the margin is planned for, where no policy is given.
    vote_cap: votes after which a step is undecided, in place of the policy's. Can only be raised on resuming.
    flag_cap: flagged samples of a step for each vote that it has or still needs, in place of the policy's. Can only be
        raised on resuming.
    min_replies: the least number of replies that the votes for a winner come from. None means 2 in new runs where the
        model is an endpoint, whose replies may be copies, else 1. Can only be raised on resuming.
    escalate: another model, which answers steps that are hard to decide.
    escalate_after: rounds of voting after which an open step goes to `escalate`; by default 3, in a fork those of its
        run.
    speculate: how choices are guessed, so that steps can be asked ahead of decisions. `"off"` asks one step after the
        other, `"leader"` follows the votes so far, `"guess"` asks the chain's own `guess(state)`; a model drafts
        guesses. `"auto"` takes the model's own drafting model or the chain's guess, where there is one, else the
        leader. Decisions are the same in every case.
    waste: the largest share of all samples that wrong guesses may waste.
    in_flight: the most samples in flight at once. Calls to endpoints that were abandoned after a wrong guess come on
        top: their replies are still received, and they are as many again at most.
    patience: how long to wait out a provider's passing failures.
    guards: what stops a run whose votes could not be trusted.
    request: request settings, added to every request. A resumed run continues with those of its journal; only `nonce`
        and `echo` can be turned on and off then.
    budget: the most that the run may spend, over all its sessions.
    prices: prices by model, or the file of a price table; None takes the table of the [prices] extra.
    allow_hosts: hosts that may receive an API key by plain http, or that only another person's journal names.
    trust: whether to import code, and send keys to hosts, that only another person's journal names.
    accept_changes: whether to continue although the process has changed since the journal was written. The change is
        recorded, and samples of open steps whose question changed are set aside.
    max_steps: the most steps of this session; the run stops there, resumable. None is no limit.
    grace: seconds to wait for the calls in flight after Ctrl-C; calls abandoned then have an unknown cost.
    progress: whether to show progress on stderr; None does so in a terminal where there is no observer.
    observer: called after each decided step; see `Observer`.
    clock: source of time; replaced in tests.
    """

    target: Target = field(default_factory=Target)
    vote_cap: int | None = None
    flag_cap: int | None = None
    min_replies: int | None = None
    escalate: Model | None = None
    escalate_after: int | None = None
    speculate: Model = "auto"
    waste: float = 0.05
    trust: bool = False
    accept_changes: bool = False
    max_steps: int | None = None
    progress: bool | None = None
    observer: Observer | None = None

    def __post_init__(self) -> None:
        CallOptions.__post_init__(self)  # super() does not work in a class with slots
        for name in ("max_steps", "vote_cap", "flag_cap", "min_replies"):
            if getattr(self, name) is not None:
                require_whole(name, getattr(self, name), most=MAX_TOTAL if name == "max_steps" else MAX_COUNT)
        if self.escalate_after is not None:
            require_whole("escalate_after", self.escalate_after)
        require_share("waste", self.waste, below_one=True)
        require_made("target", self.target, Target)
        require_methods("observer", self.observer, ("decided",), optional=True)
        require_flag("trust", self.trust)
        require_flag("accept_changes", self.accept_changes)
        require_flag("progress", self.progress, optional=True)
