"""Calibrate a model before a run: draw samples of single steps, and count how often its votes are right."""

from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from unerring.adapters.files.output_file import require_writable
from unerring.adapters.providers import SamplerContext
from unerring.adapters.user_code.modules import require_run_allowed
from unerring.api.calibration._pilot_journal import kept_journal_path, pilot_ledger, pilot_opening
from unerring.api.calibration.calibration_files import read_calibration, write_calibration
from unerring.api.chains import process_name, required_chain
from unerring.api.journals.trust import given_permission
from unerring.api.models import (
    Model,
    make_sampler,
    model_for_chain,
    recommended_policy,
    require_chain_and_model,
)
from unerring.api.options import CallOptions
from unerring.api.planning import wordings_asked
from unerring.core.arguments import require_callable, require_made, require_path
from unerring.core.chain import Chain
from unerring.core.checked_chain import CheckedChain
from unerring.core.numbers import MAX_SEED, require_whole
from unerring.core.planning.calibration import Calibration, VoterCount, pilot_spend
from unerring.core.request import Request
from unerring.core.voting.policy import Policy
from unerring.errors import InputError, Interrupted
from unerring.runtime.calls.ledger import Ledger
from unerring.runtime.config import RunConfig, StopRequest, replies_of_process
from unerring.runtime.ensemble import require_request, samplers_of
from unerring.runtime.pilot import Pilot
from unerring.runtime.protocols import Sampler
from unerring.runtime.signals import run_stoppable

KEEP_INTERVAL_SECONDS = 10.0  # what a kill may cost of a pilot that is kept in a file


@dataclass(frozen=True, slots=True, kw_only=True)
class PilotOptions(CallOptions):
    """Options of a calibration beyond its chain and its model.

    policy: which samples are flagged, and how they are drawn: at the later temperature, as most votes are.
    in_flight: the most samples in flight at once.
    patience: how long to wait out a provider's passing failures.
    guards: what stops it, such as copies of earlier replies; `Guards(probe=False)` leaves out the probe calls.
    request: request settings, added to every request and kept with the calibration.
    budget: the most that the calibration may spend, over all its sessions.
    prices: prices by model, or the file of a price table; None takes the table of the [prices] extra.
    allow_hosts: hosts that may receive an API key by plain http.
    grace: seconds to wait for the calls in flight after Ctrl-C.
    clock: source of time; replaced in tests.
    seen: called with the calibration so far, now and then.
    notice: called with a line for people where something takes long that `seen` does not show.
    stopping: called each second after Ctrl-C with the number of calls in flight, and the seconds left to wait.
    """

    seen: Callable[[Calibration], None] | None = None
    notice: Callable[[str], None] | None = None
    stopping: Callable[[int, float], None] | None = None

    def __post_init__(self) -> None:
        CallOptions.__post_init__(self)  # super() does not work in a class with slots
        for name in ("seen", "notice", "stopping"):
            require_callable(name, getattr(self, name))


def calibrate(
    chain: Chain,
    model: Model = "embedded",
    samples: int = 2000,
    out: str | Path | None = None,
    seed: int = 0,
    options: PilotOptions = PilotOptions(),
) -> Calibration:
    """Measure how often a model's votes on the steps of a chain are right.

    chain: the process. Votes are judged by its `truth(state)`, where it has that, else by the winner of a wide vote.
        With `state_at(step)` and `length()` samples are of random steps, else of its steps from the first on.
    model: as for `run`.
    samples: about how many samples to draw.
    out: the file of the calibration; a calibration that was begun there continues.
    seed: of the samples.
    options: everything else.

    Where calls are paid for, a journal `out` + `.spend` has every sample and what it cost. A budget holds over all
    sessions of a calibration, kills included.

    Raises `InputError` for a wrong argument, and `Stopped` where it stops before its end, also at the end of a budget.
    With `out` the samples drawn are kept, and the same call continues.
    """
    require_run_allowed()
    require_made("options", options, PilotOptions)
    return run_stoppable(lambda stop: _calibrate(chain, model, samples, out, seed, options, stop), options.grace)


async def acalibrate(
    chain: Chain,
    model: Model = "embedded",
    samples: int = 2000,
    out: str | Path | None = None,
    seed: int = 0,
    options: PilotOptions = PilotOptions(),
) -> Calibration:
    """Calibrate like `calibrate`, on the running event loop."""
    require_run_allowed()
    return await _calibrate(chain, model, samples, out, seed, options, StopRequest())


async def _calibrate(  # noqa: PLR0913, PLR0917  (those of `calibrate`, and the request to stop)
    given: Chain,
    named: Model,
    samples: int,
    out: str | Path | None,
    seed: int,
    options: PilotOptions,
    stop: StopRequest,
) -> Calibration:
    require_made("options", options, PilotOptions)
    require_path("out", out, optional=True)
    require_chain_and_model(given, named)
    require_whole("samples", samples)
    require_whole("seed", seed, -MAX_SEED, MAX_SEED)
    chain, path = required_chain(given), None if out is None else Path(out)
    policy = options.policy or recommended_policy(model_for_chain(chain, named)) or Policy()
    policy = options.request.applied_to(policy)
    async with AsyncExitStack() as stack:
        run = f"pilot of {process_name(chain)}, seed {seed}"
        context = SamplerContext(chain, seed, run, given_permission(options.allow_hosts))
        sampler = make_sampler(named, context, stack)
        require_request(options.request, samplers_of(sampler))
        calibration = _begun_calibration(_blank_calibration(chain, sampler, policy, seed, options.request), path)
        if path is not None:
            require_writable(path, "the calibration")
        calibration.asked_for = max(samples, calibration.samples)
        before, calibration.at_once = calibration.at_once, options.in_flight
        kept = kept_journal_path(path, sampler, options.budget, calibration)
        share = options.budget.share(kept)
        guards, notice = options.guards, options.notice
        stop.on_countdown, known = options.stopping, replies_of_process()
        config = RunConfig(
            options.clock, options.patience, stop, guards=guards, share=share, notice=notice, known_replies=known
        )
        opening = pilot_opening(chain, calibration, policy, options.clock.time())
        with pilot_ledger(kept, opening, sampler, (options.budget, options.prices), config) as ledger:
            keeper = _CalibrationWriter(path, options, ledger)
            pilot = Pilot(chain, sampler, calibration, ledger, config)
            try:
                await pilot.run(keeper.seen)
            finally:  # a plan divides by it: fewer may have been in flight than were allowed
                calibration.at_once = pilot.max_in_flight or before
                keeper.keep(calibration)
    if stop.reason is not None and calibration.samples < calibration.asked_for:
        raise Interrupted(stop.reason)
    if not calibration.steps:
        raise InputError("the process has no step to draw samples of")
    return calibration


def _blank_calibration(
    chain: CheckedChain, sampler: Sampler, policy: Policy, seed: int, request: Request
) -> Calibration:
    """A calibration with nothing counted yet."""
    return Calibration(
        process=process_name(chain),
        parameters=chain.parameters(),
        model=sampler.name,
        judged_by="truth" if chain.truth is not None else "votes",
        temperature=policy.later_temperature,
        flag_rules=policy.flags,
        seed=seed,
        software=f"unerring {version('unerring')}",
        request=request.to_json(),
        walked=not chain.can_be_entered,
        voters=[VoterCount("") for _ in range(getattr(sampler, "rotation", 1) * wordings_asked(chain, sampler))],
    )


def _begun_calibration(blank: Calibration, path: Path | None) -> Calibration:
    """The calibration that a file holds already, or the blank one."""
    if path is None or not path.exists():
        return blank
    begun = read_calibration(path)
    for name in ("process", "parameters", "model", "temperature", "flag_rules", "request", "seed", "judged_by"):
        here, there = getattr(blank, name), getattr(begun, name)
        if here != there:
            raise InputError(f"{path} holds another calibration ({name} {there}, not {here}); choose another file")
    if len(blank.voters) != len(begun.voters):
        raise InputError(f"{path} holds a calibration of the process in other wordings; choose another file")
    return begun


class _CalibrationWriter:
    """Writes a calibration to its file now and then, complete or not at all."""

    def __init__(self, path: Path | None, options: PilotOptions, ledger: Ledger) -> None:
        self._path = path
        self._options = options
        self._account = ledger.state.account
        self._kept = options.clock.time()

    def seen(self, calibration: Calibration) -> None:
        if self._options.seen is not None:
            self._options.seen(calibration)
        if self._options.clock.time() - self._kept > KEEP_INTERVAL_SECONDS:
            self.keep(calibration)

    def keep(self, calibration: Calibration) -> None:
        self._kept = self._options.clock.time()
        calibration.spent = pilot_spend(self._account)
        if self._path is not None and calibration.steps:
            write_calibration(calibration, self._path)
