"""Fork a run: begin a new run from one of its steps, with other settings.

The steps before that step are taken over; their choices are checked by advancing the process over them. The source is
only read, and may be running.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

from unerring.adapters.providers import SamplerContext
from unerring.adapters.sqlite.new_file import write_journal
from unerring.adapters.sqlite.reader import JournalReader
from unerring.api._policy import policy_for_models, run_policy, with_escalation, with_min_replies
from unerring.api.budget import Budget, allowance
from unerring.api.journals.compared_run import require_same_arguments
from unerring.api.journals.replayer import ReplayedRun, is_made_here
from unerring.api.journals.trust import note_begun, permission_for
from unerring.api.models import Model, make_sampler, model_for_chain
from unerring.api.options import Options
from unerring.api.planning import Target
from unerring.core.arguments import require_made, require_path
from unerring.core.checked_chain import GivenChain
from unerring.core.functions.function_chain import GivenProcess
from unerring.core.journal.digests import identity_of
from unerring.core.journal.entries import Allowed, Committed, Entry, Inherited, Opened, Paused, Resumed
from unerring.core.journal.function_entries import ActBegun, ActEnded, ActErred, Conceded
from unerring.core.journal.review_entries import Accepted
from unerring.core.journal.spend import SpendLimits
from unerring.core.journal.state import RunState
from unerring.core.numbers import MAX_SEED, MAX_TOTAL, require_whole
from unerring.core.request import Request
from unerring.core.voting.canonical import Json
from unerring.errors import ChainChanged, InputError
from unerring.runtime.ensemble import RESERVE, require_request, require_weighed, reserves_of, samplers_of
from unerring.runtime.protocols import Sampler


@dataclass(frozen=True, slots=True)
class Fork:
    """A fork, ready for `resume`.

    journal: its file.
    process: the name of its process.
    model: the name of its model.
    step: the first step that it decides itself; the steps before are taken over.
    origin: the run that it was forked from: journal, process, model, step, and the journal's hash up to the step.
    trusted: whether the fork counts as begun by this user; a fork of another person's journal does so with trust only.
    """

    journal: str
    process: str
    model: str
    step: int
    origin: dict[str, Json]
    trusted: bool


def fork(  # noqa: PLR0913, PLR0917  (what a new run may have of its own)
    journal: str | Path,
    at: int,
    out: str | Path,
    chain: GivenProcess = None,
    model: Model | None = None,
    k: int | None = None,
    seed: int | None = None,
    options: Options | None = None,
    parameters: Mapping[str, Json] | None = None,
) -> Fork:
    """Begin a new run at step `at` of the run in a journal, in the new file `out`; `resume` continues it.

    journal: the journal of the run, which is only read, and checked up to the step.
    at: the first step that the fork decides itself. Steps before it keep their choices; the certificate does not count
        them as evidence.
    out: the fork's journal, a new file.
    chain: the process, where the journal cannot make it or its code has changed.
    model: what answers; a function has to be given to `resume` again.
    k: the margin of votes that decides a step.
    seed: of the samples.
    options: the fork keeps `policy`, `target`, the caps, `min_replies`, `escalate`, `request`, `budget` and `prices`;
        give the others to `resume`.
    parameters: arguments of the process that replace those of the run.

    What is not given is as in the run: model, margin and caps, seed, request settings, limits and prices.

    Raises `InputError` where there are fewer steps, where `out` exists, or for a setting that cannot be used;
    `ChainChanged` where the process leads to other states; and `JournalDamaged`.
    """
    require_whole("at", at, 0, MAX_TOTAL)
    options = Options() if options is None else options
    require_made("options", options, Options)
    for name, value in (("journal", journal), ("out", out)):
        require_path(name, value)
    path, out = Path(journal), Path(out)
    if out.exists():
        raise InputError(f"{out} exists already: a fork begins a new file")
    if parameters and not is_made_here(chain):
        raise InputError("`parameters` are those of a process that is made here: make the given one with them")
    source = _ForkedRun(path, at, chain, options.trust)
    source.parameters = parameters or {}
    for _ in source.steps():
        pass
    opened, paying = _opening(source, model, k, seed, options)
    write_journal(out, _entries(source, opened, paying, options.clock.time()))
    assert opened.origin is not None
    if source.trusted:
        note_begun(opened)
    return Fork(str(out), opened.process, opened.model, at, opened.origin, source.trusted)


def _entries(source: "_ForkedRun", opened: Opened, paying: Allowed | None, time: float) -> Iterator[Entry]:
    """Yield the entries of the fork: its settings, its budget, the steps that it takes over, and a stop."""
    yield opened
    if paying is not None:
        yield paying
    yield from source.steps()
    if opened.origin is None or opened.origin["hash"] != source.hash:
        raise InputError(f"{source.path} was replaced while it was read: fork it again")
    yield Paused("forked", f"forked at step {source.step:,}, and not gone on with yet", time)


_BETWEEN_STEPS = (ActBegun, ActEnded, ActErred, Paused, Resumed, Allowed, Accepted)


class _ForkedRun(ReplayedRun):
    """A run that is forked, replayed up to a step.

    step: the step.
    hash: the hash of the journal up to the step, hex digits.
    """

    def __init__(self, path: Path, step: int, given: GivenChain, trust: bool) -> None:
        super().__init__(path, given, trust)
        self.step = step
        self.hash = ""
        self._acts: list[ActBegun | ActEnded | ActErred] = []
        self._remade_at = 0  # the number of the entry with the parameters that the process is made with

    @property
    def trusted(self) -> bool:
        """Whether this user began the run, or trusts it."""
        return permission_for(self.path, self.opened, self.trust).journal is None

    def steps(self) -> Iterator[Inherited | ActBegun | ActEnded | ActErred]:
        """Yield the steps before the one to fork at, with the digests of the states that the process leads to now.

        Side effects before it are among them: the fork does not run those again that have ended, and any other with
        the same key.

        Raises `InputError` where there are too few, and `ChainChanged` where these are not the states of the run.
        """
        self.clear()
        for decided in self.replayed(self.entries()):
            if decided.undecided is not None:
                raise InputError(
                    f"step {decided.step} of {self.path} stayed undecided, and no run can take it over: fork it at "
                    "that step or before"
                )
            yield from self._taken_acts()
            same, following = not self.changes, decided.step + 1
            digest = self.state.last_digest if same else self.chain.digest(self.at, following)
            yield Inherited(decided.step, decided.choice, digest)
        yield from self._taken_acts()
        pending = self.state.acts.pending
        if pending is not None and pending.once:
            raise InputError(
                f"{self.path}: it is not known whether {pending.name} before step {pending.step} happened: say so "
                "with `unerring review` first, or fork it at an earlier step"
            )
        if pending is not None:
            yield pending  # it is run again with the same key
        if self.state.committed < self.step:
            raise InputError(
                f"{self.path} has {self.state.committed:,} committed steps: fork it at step 0 to "
                f"{self.state.committed:,}, not {self.step:,}"
            )
        if self.changes:
            said = "fork it with code and parameters that lead to the same states"
            raise ChainChanged(f"{self.path}: {self.changes[0]}: {said}")

    def entries(self) -> Iterator[Entry]:
        """The entries up to the step; where its state has changed also those that follow, as one may accept that."""
        reader = JournalReader(self.path)
        for entry in reader.entries():
            at_step = self.state.committed == self.step
            if at_step and isinstance(entry, Committed | Inherited | Conceded):
                return  # nothing accepted the change
            if at_step and self.step > 0 and not self.changes and not isinstance(entry, _BETWEEN_STEPS):
                return
            if self.step == 0 and not self.changes and not isinstance(entry, self._before_first_step()):
                return
            yield entry
            self.hash = reader.hash.hex()
            if self.state.committed == self.step > 0 and not self.changes and self.chain.function is None:
                return

    def compare_opening(self, opened: Opened) -> None:
        """Refuse the function of a name where the run had one with arguments that no journal keeps."""
        if self.by_name and self.chain.function is not None:
            require_same_arguments(self.path, opened, self.chain)

    def _before_first_step(self) -> tuple[type, ...]:
        """The entries that a fork at step 0 takes account of: side effects may stand before the first step."""
        function = self.made is not None and self.made.function is not None
        return (Opened, Allowed, *_BETWEEN_STEPS) if function else (Opened, Allowed)

    def perform(self, entry: ActBegun | ActEnded | ActErred) -> None:
        """Keep a side effect once it has ended."""
        super().perform(entry)
        if not isinstance(entry, ActBegun) and entry.state is not None and self._begun is not None:
            self._acts += [self._begun, replace(entry, state=self.chain.digest(self.at, entry.step))]

    def _taken_acts(self) -> Iterator[ActBegun | ActEnded | ActErred]:
        yield from self._acts
        self._acts = []

    def remade_with(self, accepted: Accepted, rest: Iterable[Entry]) -> Accepted | None:
        """The change itself, where the process was made with other parameters: later ones may come after the step."""
        number = self.state.entries
        if not is_made_here(self.given) or number <= self._remade_at:
            return None
        if self.chain.parameters() == accepted.parameters:
            return None
        self._remade_at = number
        return accepted


def _opening(
    source: _ForkedRun, model: Model | None, k: int | None, seed: int | None, options: Options
) -> tuple[Opened, Allowed | None]:
    """The first entry of the fork, and the entry with its budget and prices, if there is one."""
    before, state, chain = source.opened, source.state, source.chain
    require_whole("seed", before.seed if seed is None else seed, -MAX_SEED, MAX_SEED)
    planned = options.target != Target()
    decided = planned or k is not None or options.policy is not None
    base = options if decided else replace(options, policy=state.policy)
    planned_for = before.model.partition(RESERVE)[0] if model is None else model
    policy, plan = run_policy(chain, planned_for, k, base, state.policy)
    if k is None and options.policy is None and not planned and model is None:
        plan = before.plan
    request, name = _merged(state.request, options.request), before.model
    paying: Allowed | None = Allowed(state.account.limits, state.account.tariffs)
    if model is not None or options.escalate is not None or options.budget != Budget() or options.prices is not None:
        with ExitStack() as stack:
            sampler = _sampler(source, model, options, stack)
            require_request(request, samplers_of(sampler))
            name = sampler.name
            if model is not None or options.escalate is not None:
                policy = policy_for_models(policy, sampler, options)
                require_weighed(policy.rule, samplers_of(sampler))
            paying = _paying(state, sampler, options)
    if model is None and options.escalate is None and options.escalate_after is not None:
        policy = with_escalation(policy, RESERVE in name, options.escalate_after)
    policy = with_min_replies(policy, options.min_replies)
    opened = Opened(
        process=before.process,
        parameters=chain.parameters(),
        model=name,
        policy=policy.to_json(),
        seed=before.seed if seed is None else seed,
        start=chain.start_text(chain.start()),
        length=chain.length(),
        software=f"unerring {version('unerring')}",
        time=options.clock.time(),
        plan=plan,
        request=request.to_json() or None,
        identity=identity_of(chain),
        origin={
            "journal": str(source.path),
            "process": before.process,
            "model": before.model,
            "step": source.step,
            "hash": source.hash,
        },
    )
    return opened, None if paying == Allowed(SpendLimits()) else paying


def _merged(before: Request, given: Request) -> Request:
    """The request settings of a run, replaced by those that are given."""
    system = before.system if given.system is None else given.system
    extra = given.extra or before.extra
    return replace(before, system=system, extra=extra).with_switches(given.nonce, given.echo)


def _sampler(source: _ForkedRun, model: Model | None, options: Options, stack: ExitStack) -> Sampler:
    """The models of the fork, to read their properties; no key is sent."""
    opened, chain = source.opened, source.chain
    permission = permission_for(source.path, opened, source.trust or model is not None)
    given = model_for_chain(chain, model) if model is not None else opened.model
    if model is None and options.escalate is not None:
        given = opened.model.partition(RESERVE)[0]
    context = SamplerContext(chain, opened.seed, permission=replace(permission, sends=False))
    return make_sampler(given, context, stack, options.escalate)


def _paying(state: RunState, sampler: Sampler, options: Options) -> Allowed:
    """The budget of the fork: the limits of the run that apply to its models, and those that are given."""
    limits = state.account.limits
    if not any(one.paid for one in (*samplers_of(sampler), *reserves_of(sampler))):
        limits = SpendLimits(seconds=limits.seconds)
    before = Allowed(limits, state.account.tariffs)
    return (allowance(sampler, options.budget, options.prices, before) or [before])[0]
