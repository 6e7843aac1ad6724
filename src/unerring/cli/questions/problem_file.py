"""Solve the problems of a file, one after the other: each with a journal of its own, all within one budget."""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from typing import Any, TypeAlias

import click

from unerring import api
from unerring.adapters.files.jsonl import json_line, read_objects
from unerring.adapters.files.output_file import OutputFile, require_writable
from unerring.adapters.scrubbing import without_secrets
from unerring.api.budget import Budget
from unerring.api.journals import history as reading
from unerring.api.models import require_model
from unerring.cli.exits import BAD_INPUT, DONE, STOPPED, WRONG, CommandEnded
from unerring.cli.hints import in_commands, quoted, same_command
from unerring.cli.progress import Progress
from unerring.cli.run import watched
from unerring.cli.text.report import printable
from unerring.core.reporting.summary import counted
from unerring.core.voting.canonical import canonical
from unerring.core.voting.parsing import json_answer
from unerring.core.voting.redflag import RedFlag
from unerring.errors import InputError, SamplesFlagged, StepRefused, StepUndecided, UserCodeFailed
from unerring.processes.general import canonical_answer
from unerring.processes.sort import numbers_in

# A stop at one problem of these kinds leaves it open, and the others continue.
STOPS_OF_ONE_PROBLEM = {StepUndecided.kind, StepRefused.kind, SamplesFlagged.kind}
MAX_FAILURES_IN_A_ROW = 3  # problems that fail alike: then it is the model or an option, not the problem
MAX_ID_CHARS = 40  # of an id in a message or a file name

Run: TypeAlias = Callable[[str, Path, Progress, int], api.Result]


class ProblemFile:
    """The problems of a file, and how far they are solved."""

    def __init__(  # noqa: PLR0913, PLR0917  (the options of the command)
        self,
        given: Path,
        out: Path,
        limit: int | None,
        budget: Budget,
        run: Run,
        chain_of: Callable[[str], Any],
        model: Any,
    ) -> None:
        problems = [*_problems(given)]
        self._every = [record for _, record in problems]
        self._problems = self._every[:limit]
        self._lines = {_key(record): number for number, record in problems}
        self._given = given
        self._chain_of = chain_of
        self._model = model
        self._refused_before: set[str] = set()  # problems that the same command could not solve before
        self._out = out
        self._budget = budget
        self._run = run
        self._journals = out.with_name(f"{out.name}.journals")
        self._right: list[bool] = []
        self._left_open: list[str] = []  # commands that show the problems left undecided
        self._flagged_in_a_row = 0  # problems, the last ones, all of whose samples were flagged
        self._refused: list[str] = []  # problems that cannot be solved as asked, with line and reason
        self._refusals_in_a_row: list[str] = []  # reasons of the last problems

    def solve(self) -> int:
        """Solve all problems, also after one that votes do not decide; returns the exit code."""
        before, done = self._answered_before(), 0
        self._refused_before = {key for key, line in before.items() if "error" in line}
        self._require_solvable()
        require_writable(self._out, "the answers of --out")
        if not self._problems:
            click.echo(printable(f"nothing to do: {self._given} holds no problem"), err=True)
        self._journals.mkdir(exist_ok=True)
        for record in self._problems:
            self._count(self._journal(record))
        with OutputFile(self._out) as file:
            try:
                for record in self._problems:
                    file.write(json_line(self._solved(record), ascii_only=False) + "\n")
                    done += 1
                    click.echo(self._progress(done), err=True)
            finally:  # also when stopped: new answers, and the earlier ones of problems that were not reached
                for record in self._every[done:]:
                    if (line := before.get(_key(record))) is not None:
                        file.write(json_line(line, ascii_only=False) + "\n")
                file.keep()
        if self._left_open:
            undecided, command = len(self._left_open), self._left_open[0]
            many = "1 problem is" if undecided == 1 else f"{undecided:,} problems are"
            advice = f"to see {'it' if undecided == 1 else 'the first'}: {command}; to continue: {same_command()}"
            reason = "; ".join([f"{many} undecided", *self._refused[:1]])
            raise CommandEnded(STOPPED, StepUndecided.kind, reason, advice, command, self.summary())
        if self._refused:
            others = f"; {len(self._refused) - 1:,} more like it" * (len(self._refused) > 1)
            solved = f"{done - len(self._refused):,} of {done:,} solved"
            raise CommandEnded(BAD_INPUT, "input", f"{self._refused[0]}{others}; {solved}", details=self.summary())
        if not all(self._right):
            reason = f"not all answers are the expected ones{self._score()}"
            raise CommandEnded(WRONG, "wrong result", reason, details=self.summary())
        return DONE

    def summary(self) -> dict[str, Any]:
        """The results of the problems in numbers, as JSON data; each answer is in the file of answers."""
        return {
            "status": "finished",
            "problems": len(self._problems),
            "expected": len(self._right),
            "right": sum(self._right),
            "out": str(self._out),
            "journals": str(self._journals),
        }

    def _answered_before(self) -> dict[str, dict[str, Any]]:
        """The answers that an earlier call of the same command left, by problem."""
        if not self._out.exists():
            return {}
        lines: list[dict[str, Any]] | None = None
        with suppress(InputError):
            lines = [line for _, line in read_objects(self._out)]
        if lines is None or not all({"id", "question", "journal"} <= line.keys() for line in lines):
            raise InputError(f"{self._out} exists and holds no answers of unerring solve; give --out another name")
        before = {_key(line): line for line in lines}
        others = [line for key, line in before.items() if key not in self._lines]
        if others and len(others) == len(before):
            raise InputError(
                f"{self._out} holds answers to other problems than those of {self._given}; give --out another name"
            )
        if others:
            said = f"{counted(len(others), 'answer')} to what {self._given} does not hold (id {others[0]['id']!s:.40})"
            click.echo(printable(f"left out of {self._out}: {said}"), err=True)
        return before

    def _require_solvable(self) -> None:
        """Raise `InputError` if no problem of the file can be solved as asked, or if there is no such model."""
        reasons = []
        for record in self._problems:
            try:
                chain = self._chain_of(record["question"])
            except InputError as error:
                reasons.append(f"{self._place(record)}: {error}")
            else:
                require_model(self._model, chain)
                return
        if reasons:
            more = " (and none of the others can be solved either)" * (len(reasons) > 1)
            raise InputError(f"{reasons[0]}{more}")

    def _place(self, record: Mapping[str, Any]) -> str:
        """The file, the line and the id of a problem."""
        return f"{self._given}, line {self._lines[_key(record)]} (id {canonical(record['id'])[:MAX_ID_CHARS]})"

    def _refusal(self, record: Mapping[str, Any], error: InputError) -> str:
        """Note that a problem cannot be solved as asked; raises the error if it concerns all problems."""
        reason = in_commands(str(error))
        self._refusals_in_a_row.append(reason)
        if self._refusals_in_a_row[-MAX_FAILURES_IN_A_ROW:] == [
            reason
        ] * MAX_FAILURES_IN_A_ROW and not self._is_its_own(record):
            raise error
        said = f"{self._place(record)}: {reason}"
        self._refused.append(said)
        click.echo(printable(without_secrets(f"left out: {said}")), err=True)
        return reason

    def _is_its_own(self, record: Mapping[str, Any]) -> bool:
        """Whether the problem itself is at fault, and not the model or an option."""
        try:
            self._chain_of(record["question"])
        except InputError:
            return True
        return False

    def _journal(self, record: dict[str, Any]) -> Path:
        return self._journals / f"{_file_name(record)}.db"

    def _count(self, path: Path) -> None:
        """Charge the cost of a problem in earlier calls of the command to the budget of all problems."""
        if path.exists() and self._budget.share(path) is not None:
            history = reading.History(path)
            for _ in history.steps():
                pass
            self._budget.count(path, history.state.account)

    def _solved(self, record: dict[str, Any]) -> dict[str, Any]:
        path = self._journal(record)
        solvable = path.exists() and _key(record) not in self._refused_before
        text = record["question"]
        # with one seed for all, samples of the same number would err alike in every problem
        seed_offset = int.from_bytes(_digest(text), "big")
        line: dict[str, Any] = {"id": record["id"], "question": record["question"], "journal": str(path)}
        try:
            result = watched(
                lambda progress: self._run(text, path, progress, seed_offset), path, Progress(quiet=True), whole=False
            )
        except CommandEnded as end:
            self._flagged_in_a_row = self._flagged_in_a_row + 1 if end.kind == SamplesFlagged.kind else 0
            if end.kind not in STOPS_OF_ONE_PROBLEM or self._flagged_in_a_row == MAX_FAILURES_IN_A_ROW:
                raise
            command = f"report {quoted(path)} -v" if end.kind == SamplesFlagged.kind else f"review {quoted(path)}"
            self._left_open.append(f"unerring {command}")
            return line | {"answer": None, "undecided": str(end)}
        except InputError as error:
            if solvable or isinstance(error, UserCodeFailed):  # then the problem is not at fault
                raise
            return line | {"answer": None, "error": without_secrets(self._refusal(record, error))}
        self._flagged_in_a_row = 0
        self._refusals_in_a_row.clear()
        line |= {"answer": result.answer, "steps": result.steps, "votes": result.report["samples"]["voted"]}
        if "answer" in record:
            line["right"] = _same(result.answer, record["answer"])
            self._right.append(line["right"])
        return line

    def _progress(self, asked: int) -> str:
        """How many problems are done, of the first ones that were asked, and how many of those are not."""
        left_out, undecided = len(self._refused), len(self._left_open)
        solved = f"{asked - left_out - undecided:,} of {len(self._problems):,} done"
        others = f", {left_out:,} left out" * (left_out > 0) + f", {undecided:,} undecided" * (undecided > 0)
        return solved + others + self._score()

    def _score(self) -> str:
        return f"; {sum(self._right):,} of {len(self._right):,} answers as expected" if self._right else ""


def _problems(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The records of a file, each with its line number; raises `InputError` with the line that is wrong."""
    seen: dict[str, int] = {}
    for number, record in read_objects(path):
        if not isinstance(record.get("question"), str):
            raise InputError(f'{path}, line {number}: a problem is written {{"id": ..., "question": "..."}}')
        record = {"id": number, **record}  # noqa: PLW2901
        first = seen.setdefault(canonical(record["id"]), number)
        if first != number:
            same = canonical(record["id"])[:MAX_ID_CHARS]
            raise InputError(
                f"{path}, line {number}: line {first} has the same id {same} (the id of a problem without one is the "
                "number of its line)"
            )
        yield number, record


def _key(record: Mapping[str, Any]) -> str:
    """A text that is different for different problems, also of earlier files."""
    return canonical([record["id"], record["question"]])


def _same(answer: Any, expected: Any) -> bool:
    """Whether an answer is the expected one, which may be a text, also of a list of numbers."""
    if isinstance(answer, list) and isinstance(expected, str):
        expected = _list_in(expected)
    return canonical_answer(answer) == canonical_answer(expected)


def _list_in(text: str) -> Any:
    """The list of numbers in a text, as JSON or as people write it; the text itself if it is none."""
    with suppress(RedFlag):
        return json_answer(text)
    with suppress(InputError):
        return numbers_in(text) or text
    return text


def _file_name(record: dict[str, Any]) -> str:
    """The name of a journal: readable, and different for different questions."""
    readable = re.sub(r"[^A-Za-z0-9_-]+", "-", str(record["id"]))[:MAX_ID_CHARS]
    return f"{readable}-{_digest(record['question']).hex()}"


def _digest(question: str) -> bytes:
    return blake2b(question.encode(), digest_size=4).digest()
