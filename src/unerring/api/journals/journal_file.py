"""Open a journal's file: one object to read, check and change the run in it."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from unerring.adapters.sqlite.reader import opening_entry, require_journal
from unerring.api.budget import PriceTable
from unerring.api.journals import history
from unerring.api.journals.acts import PendingAct, settle
from unerring.api.journals.export import Exported, ExportForm, TextOutput, export
from unerring.api.journals.fork import Fork, fork
from unerring.api.journals.rejudge import Rejudgement, rejudge
from unerring.api.journals.repair import repair
from unerring.api.journals.review import Recorded, Review, decide, review
from unerring.api.journals.verify import Verification, verify
from unerring.api.models import Model
from unerring.api.options import Options
from unerring.api.result import Result
from unerring.api.running import aresume, resume
from unerring.core.arguments import require_path
from unerring.core.functions.function_chain import GivenProcess
from unerring.core.reporting.notebook import html_table
from unerring.core.reporting.run_report import Report
from unerring.core.reporting.steps import Step
from unerring.core.voting.canonical import Json
from unerring.errors import JournalDamaged, UnerringError


def open(path: str | Path) -> "JournalFile":  # noqa: A001  (users write unerring.open)
    """Open a journal to read, check and change the run in it.

    A damaged journal can be opened too, for `repair`. Raises `InputError` where there is no file, or it is something
    else.
    """
    return JournalFile(path)


class JournalFile:
    """A journal's file, by its path.

    Each method reads the file again, so that one object shows a run in progress as it grows. No method needs a model,
    except `resume`. `chain` is the process, an object or a name such as `package.module:Name`; without it the process
    is made again from the journal. `trust` imports code that only another person's journal names.
    """

    def __init__(self, path: str | Path) -> None:
        require_path("path", path)
        self.path = Path(path)
        with suppress(JournalDamaged):  # it can be repaired
            require_journal(self.path)

    def __repr__(self) -> str:
        return f"unerring.open({str(self.path)!r})"

    def _repr_html_(self) -> str:
        """What runs, as a table, for notebooks; only the first entry is read. Figures are in `report`."""
        title, rows = "a journal", [("journal", str(self.path))]
        with suppress(UnerringError):  # a damaged or removed one is still shown
            opened = opening_entry(self.path)
            if opened is not None:
                title, length = f"{opened.process} with {opened.model}", opened.length
                rows += [("rule", str(opened.policy["rule"])), ("seed", str(opened.seed))]
                rows += [("length", "not known" if length is None else f"{length:,} steps")]
        return html_table(title, rows)

    def steps(self) -> Iterator[Step]:
        """Yield the decided steps in order; see `unerring.steps`."""
        return history.steps(self.path)

    def report(self, full: bool = False) -> Report:
        """Count samples, votes, flags, tokens and cost; see `unerring.report`."""
        return history.report(self.path, full)

    def verify(self, chain: GivenProcess = None, trust: bool = False) -> Verification:
        """Check all entries, and the choices by the process's own verifier; see `unerring.verify`."""
        return verify(self.path, chain, trust)

    def export(self, out: str | Path | TextOutput, what: Exported = "steps", form: ExportForm = "jsonl") -> None:
        """Write the `steps`, all samples (`votes`) or side effects (`acts`) to a file or stream, as `jsonl` or `csv`.

        Records of side effects are those of function processes.
        """
        export(self.path, out, what, form)

    def repair(self) -> tuple[int, Path]:
        """Keep the intact leading entries of a damaged journal, and set the damaged file aside.

        Returns how many entries were kept, and the new name of the damaged file.
        """
        return repair(self.path)

    def rejudge(self, chain: GivenProcess = None, trust: bool = False, dry_run: bool = False) -> Rejudgement:
        """Judge the stored samples again by the present parser and check; see `unerring.rejudge`."""
        return rejudge(self.path, chain, trust, dry_run)

    def fork(  # noqa: PLR0913, PLR0917  (what a new run may have of its own)
        self,
        at: int,
        out: str | Path,
        chain: GivenProcess = None,
        model: Model | None = None,
        k: int | None = None,
        seed: int | None = None,
        options: Options | None = None,
        parameters: Mapping[str, Json] | None = None,
    ) -> Fork:
        """Begin a new run at step `at`, in the new file `out`; see `unerring.fork`."""
        return fork(self.path, at, out, chain, model, k, seed, options, parameters)

    def review(self, chain: GivenProcess = None, trust: bool = False) -> Review:
        """Show the undecided step that the run stopped at; see `unerring.review`."""
        return review(self.path, chain, trust)

    def decide(  # noqa: PLR0913, PLR0917  (what is decided, and how the chain is made again)
        self,
        choose: int | None = None,
        resample: bool = False,
        model: str | None = None,
        prices: PriceTable = None,
        chain: GivenProcess = None,
        trust: bool = False,
        answer: Any = ...,
    ) -> Recorded:
        """Record what a person decides about the undecided step; `resume` continues from there.

        choose: the number of the candidate that is taken.
        answer: the choice itself, as JSON data.
        resample: whether the samples are set aside and others drawn.
        model: the specification of the model that draws them; it implies `resample`.
        prices: of that model, where the run's budget is in dollars.

        Give one of `choose`, `answer`, and `resample` or `model`. Raises `InputError`, and writes nothing, where no
        step is undecided or the chain cannot continue with the choice.
        """
        return decide(self.path, choose, resample, model, prices, chain, trust, answer)

    def settle(self, happened: bool, result: Any = None) -> PendingAct:
        """Record whether the side effect that the run waits for happened; `resume` continues from there.

        happened: whether it did; if not, it is run when the run continues.
        result: its result, JSON data, which the function is given if it did.

        Raises `InputError`, and writes nothing, where the run waits for no side effect.
        """
        return settle(self.path, happened, result)

    def resume(self, chain: GivenProcess = None, model: Model | None = None, options: Options = Options()) -> Result:
        """Continue the run; see `unerring.resume`."""
        return resume(self.path, chain, model, options)

    async def aresume(
        self, chain: GivenProcess = None, model: Model | None = None, options: Options = Options()
    ) -> Result:
        """Continue the run, on the running event loop."""
        return await aresume(self.path, chain, model, options)
