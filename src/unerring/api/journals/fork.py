"""Fork a run: begin a new run from one of its steps, with other settings.

The steps before that step are taken over; their choices are checked by advancing the process over them. The source is
only read, and may be running.
"""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path

from unerring.adapters.providers import SamplerContext
from unerring.adapters.sqlite.new_file import write_journal
from unerring.adapters.sqlite.reader import JournalReader, without_entries
from unerring.api._policy import policy_for_models, run_policy
from unerring.api.budget import Budget, allowance
from unerring.api.chains import make_chain, require_process, required_chain
from unerring.api.journals.history import folded
from unerring.api.journals.replayer import asked_elsewhere
from unerring.api.journals.trust import note_begun, permission_for
from unerring.api.models import Model, make_sampler, model_for_chain
from unerring.api.options import Options
from unerring.api.planning import Target
from unerring.core.arguments import require_made, require_path
from unerring.core.chain import Chain
from unerring.core.checked_chain import CheckedChain
from unerring.core.journal.digests import identity_of
from unerring.core.journal.entries import Allowed, Entry, Inherited, Opened, Paused
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
    chain: Chain | str | None = None,
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
    source = _ForkedRun(path, at, chain, parameters, options.trust)
    while not source.is_read():
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
    yield Paused("forked", f"forked at step {source.at:,}, and not gone on with yet", time)


@dataclass(slots=True)
class _ForkedRun:
    """A run that is forked, read up to a step.

    path: its journal.
    at: the step.
    chain: the process or its name, where it is given.
    parameters: arguments of the process that replace those of the run.
    trust: whether to import code that only another person's journal names.
    state: the entries up to the step, folded.
    hash: the hash of the journal up to the step, hex digits.
    trusted: whether this user began the run, or trusts it.
    made: the process.
    accepted: the number of accepted changes that were read for the parameters of the process.
    accepted_parameters: the parameters of the last of them.
    """

    path: Path
    at: int
    chain: Chain | str | None
    parameters: Mapping[str, Json] | None
    trust: bool
    state: RunState = field(default_factory=RunState)
    hash: str = ""
    trusted: bool = False
    made: CheckedChain | None = None
    accepted: int = 0
    accepted_parameters: dict[str, Json] | None = None

    @property
    def opened(self) -> Opened:
        assert self.state.opened is not None
        return self.state.opened

    @property
    def process(self) -> CheckedChain:
        assert self.made is not None
        return self.made

    def is_read(self) -> bool:
        """Read the run up to the step; False where the process is to be made with parameters accepted since."""
        for _ in self.steps():
            pass
        return self.made is not None

    def steps(self) -> Iterator[Inherited]:
        """Yield the steps before the one to fork at, with the digests of the states that the process leads to now.

        Raises `InputError` where there are too few, and `ChainChanged` where these are not the states of the run.
        """
        self.state, reader = RunState(), JournalReader(self.path)
        change: str | None = None
        at: Json = None
        accepted = 0
        for entry, decided, choice in folded(self.path, reader.entries(), self.state):
            if self.state.committed > self.at:
                break  # nothing accepted the change
            if isinstance(entry, Opened):
                at = self._begin(entry)
                if self.process.start_text(at) != entry.start:
                    change = "its first state has changed"
            elif decided is not None:
                at = self.process.advance(at, choice, decided.step)
                digest = self.process.digest(at, decided.step + 1)
                if change is None and digest != self.state.last_digest:
                    change = f"step {decided.step} now leads to another state than it did"
                yield Inherited(decided.step, decided.choice, digest)
            elif isinstance(entry, Accepted):
                accepted += 1
                if accepted > self.accepted and self._has_other_parameters(entry):
                    self.accepted, self.accepted_parameters, self.made = accepted, entry.parameters, None
                    return
                same = self.process.digest(at, self.state.committed) == entry.state
                change = None if same else asked_elsewhere(self.state.committed)
            elif self.at == 0 and not isinstance(entry, Allowed) and change is None:
                break
            self.hash = reader.hash.hex()
            if self.state.committed == self.at > 0 and change is None:
                break
        if self.state.opened is None:
            raise InputError(without_entries(self.path))
        if self.state.committed < self.at:
            raise InputError(
                f"{self.path} has {self.state.committed:,} committed steps: fork it at step 0 to "
                f"{self.state.committed:,}, not {self.at:,}"
            )
        if change is not None:
            raise ChainChanged(f"{self.path}: {change}: fork it with code and parameters that lead to the same states")

    def _has_other_parameters(self, accepted: Accepted) -> bool:
        """Whether the process was made by its name, with other parameters than those accepted since."""
        by_name = self.chain is None or isinstance(self.chain, str)
        return by_name and self.process.parameters() != accepted.parameters

    def _begin(self, opened: Opened) -> Json:
        """Make the process, the first time; returns its first state."""
        if self.made is None:
            self.made = self._make(opened)
            require_process(self.path, opened.process, self.made)
        return self.made.start()

    def _make(self, opened: Opened) -> CheckedChain:
        permission = permission_for(self.path, opened, self.trust)
        self.trusted = permission.journal is None
        if self.chain is not None and not isinstance(self.chain, str):
            if self.parameters:
                raise InputError("`parameters` are those of a process that is made here: make the given one with them")
            return required_chain(self.chain)
        before = opened.parameters if self.accepted_parameters is None else self.accepted_parameters
        given = {**before, **(self.parameters or {})}
        if self.chain is None:
            return required_chain(make_chain(opened.process, given, permission))
        return required_chain(make_chain(self.chain, given))


def _opening(
    source: _ForkedRun, model: Model | None, k: int | None, seed: int | None, options: Options
) -> tuple[Opened, Allowed | None]:
    """The first entry of the fork, and the entry with its budget and prices, if there is one."""
    before, state, chain = source.opened, source.state, source.process
    require_whole("seed", before.seed if seed is None else seed, -MAX_SEED, MAX_SEED)
    planned = options.target != Target()
    base = options if planned or options.policy is not None else replace(options, policy=state.policy)
    policy, plan = run_policy(chain, before.model if model is None else model, k, base)
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
    if options.min_replies is not None:
        policy = replace(policy, min_replies=options.min_replies)
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
            "step": source.at,
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
    opened, chain = source.opened, source.process
    permission = permission_for(source.path, opened, source.trust or model is not None)
    given = model_for_chain(chain, model) if model is not None else opened.model
    if model is None and options.escalate is not None:
        given = opened.model.partition(RESERVE)[0]
    context = SamplerContext(opened.seed, permission=replace(permission, sends=False))
    return make_sampler(given, chain, context, stack, options.escalate)


def _paying(state: RunState, sampler: Sampler, options: Options) -> Allowed:
    """The budget of the fork: the limits of the run that apply to its models, and those that are given."""
    limits = state.account.limits
    if not any(one.paid for one in (*samplers_of(sampler), *reserves_of(sampler))):
        limits = SpendLimits(seconds=limits.seconds)
    before = Allowed(limits, state.account.tariffs)
    return allowance(sampler, options.budget, options.prices, before) or before
