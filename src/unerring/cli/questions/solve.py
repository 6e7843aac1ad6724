"""The command that solves one problem from the command line, or many from a file."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import click

from unerring import api
from unerring.adapters.files.jsonl import json_line
from unerring.adapters.files.output_file import require_own_file
from unerring.adapters.sqlite.reader import entry_count, opening_entry
from unerring.api.planning import Target
from unerring.cli.command import Command, option, options
from unerring.cli.figures.tree import decided_tree, tree_text
from unerring.cli.option_values import COUNT, FILE, SEED, Whole
from unerring.cli.options import (
    asking_options,
    k_option,
    model_option,
    planning_options,
    trust_option,
)
from unerring.cli.progress import Progress
from unerring.cli.questions.problem_file import ProblemFile
from unerring.cli.run import Ending, Starting, ending_options, fresh, show_result, watched
from unerring.core.numbers import MAX_COUNT
from unerring.errors import InputError
from unerring.processes.general import REPLY_PARSERS
from unerring.processes.solve import ROLES, SORT, Solve, roles_for, sort_chain
from unerring.processes.sort import Sort

TREE_LINES = 60  # shown with -v
NO_EMBEDDED_MODEL = (
    "this problem needs a --model: the embedded model only solves products (46048 * 42098) and sorts whole numbers "
    "(Sort 3, -1, 2)"
)


@dataclass(frozen=True, slots=True)
class Splitting:
    """How problems are split.

    roles: who splits them and solves the parts, or `auto`.
    depth: the most levels of splitting.
    parts: the most parts of one problem.
    nodes: the most problems in the whole tree.
    shortlist: the number of votes without a winner after which judges are asked.
    parse: how strictly replies in words are read.
    """

    roles: str
    depth: int
    parts: int
    nodes: int
    shortlist: int
    parse: str

    def chain(self, problem: str) -> Solve | Sort:
        """The chain that solves a problem."""
        kind = roles_for(problem) if self.roles == "auto" else self.roles
        if kind == SORT:
            return sort_chain(problem)
        return Solve(problem, kind, self.depth, self.parts, self.nodes, self.shortlist, self.parse)


def _pack_splitting(given: dict[str, Any]) -> None:
    given["splitting"] = Splitting(**{one.name: given.pop(one.name) for one in fields(Splitting)})


splitting_options = options(
    option(
        "--roles",
        type=click.Choice(["auto", *ROLES, SORT]),
        default="auto",
        show_default=True,
        help="How problems are split. general: in words, into parts. linear: in words, into steps in a row. multiply, "
        "sort: by the rules of a product or a sort. auto: multiply or sort for a problem that is just that, else "
        "general.",
    ),
    option("--depth", type=Whole(0, MAX_COUNT), default=5, show_default=True, help="Most levels of splitting."),
    option("--parts", type=Whole(2, MAX_COUNT), default=12, show_default=True, help="Most parts of one problem."),
    option("--nodes", type=COUNT, default=1000, show_default=True, help="Most problems in the whole tree."),
    option(
        "--shortlist",
        type=Whole(2, MAX_COUNT),
        default=7,
        show_default=True,
        help="After so many votes without a winner, ask judges to choose among the answers voted for.",
    ),
    option(
        "--parse",
        type=click.Choice(REPLY_PARSERS),
        default=REPLY_PARSERS[0],
        show_default=True,
        help="How strictly replies in words are read; lenient-json also takes an answer inside a Markdown fence or "
        "after thoughts in <think>.",
    ),
    pack=_pack_splitting,
)


@click.command(cls=Command)
@click.argument("problem", required=False)
@option("--input", "given", type=FILE, help='A file of problems, one JSON object in each line: {"question": ...}.')
@option("--out", type=FILE, help="With --input: the file for the answers, one JSON object in each line.")
@option("--limit", type=COUNT, help="With --input: solve the first N problems of the file only.")
@splitting_options
@option("--tree", type=Whole(0, MAX_COUNT), help="Lines of the tree of problems to print; 60 with -v, else none.")
@model_option()
@k_option("3")
@planning_options
@option("--journal", type=FILE, help="The file that keeps the run; a new one by default.")
@option("--seed", type=SEED, default=0, show_default=True, help="Seed of the run's samples.")
@asking_options
@trust_option
@ending_options
def solve(  # noqa: PLR0913, PLR0917  (one parameter for each option)
    problem: str | None,
    given: Path | None,
    out: Path | None,
    limit: int | None,
    splitting: Splitting,
    tree: int | None,
    models: tuple[str, ...],
    k: int | None,
    target: Target,
    journal: Path | None,
    seed: int,
    ending: Ending,
    **asked: Any,
) -> int:
    """Solve PROBLEM by splitting it into steps decided by voting.

    A problem is split, its parts are solved and their answers put together; each of these is a step of its own.

    \b
    unerring solve "46048 * 42098"
    unerring solve "Sort 38, -5, 1204, 0, -77"
    unerring solve "How many days from 3 March 1999 to 9 May 2031?" --model openai/gpt-4.1-mini
    unerring solve --input in.jsonl --out out.jsonl

    With --input each problem has a journal of its own, in the folder OUT.journals, and a budget holds for all of them
    together. The same command continues where it stopped.
    """

    def chain_of(text: str) -> Solve | Sort:
        chain = splitting.chain(text)
        if not models and chain.embedded is None:
            raise InputError(NO_EMBEDDED_MODEL)
        return chain

    def run(text: str, path: Path, progress: Progress, seed_offset: int = 0) -> api.Result:
        if seed_offset:
            _require_same_seed(path, seed, seed_offset)
        every = api.Options(observer=progress, target=target, **asked)
        return api.run(chain_of(text), list(models) or "embedded", path, k, seed + seed_offset, every)

    if (problem is None) is (given is None):
        raise InputError("give either one PROBLEM, or a file of them with --input")
    if problem is not None:
        if out is not None or limit is not None:
            raise InputError("--out and --limit are for many problems, from a file: give them with --input")
        path, chain = journal or fresh("solve"), chain_of(problem)
        progress = Progress(quiet=ending.as_json, journal="" if journal else str(path))
        return _solve_one(lambda progress: run(problem, path, progress), chain, path, progress, tree, ending)
    if given is None or out is None or journal is not None:
        raise InputError("--input needs --out, the file for answers, and takes no --journal: each problem has its own")
    if tree is not None or ending.verbose or ending.require is not None:
        raise InputError("--tree, -v and --require are for one problem; for each of several: unerring report JOURNAL")
    inputs = {"--input": given, "--prices": asked["prices"], "--calibration": target.calibration}
    require_own_file("--out", out, ((name, path) for name, path in inputs.items() if isinstance(path, str | Path)))
    batch = ProblemFile(given, out, limit, asked["budget"], run, chain_of, list(models) or "embedded")
    code = batch.solve()
    if ending.as_json:
        click.echo(json_line(batch.summary() | {"exit_code": code}))
    return code


def _solve_one(
    start: Starting, chain: Solve | Sort, path: Path, progress: Progress, tree: int | None, ending: Ending
) -> int:
    """Solve one problem and print its tree, summary and report; returns the exit code."""
    result = watched(start, path, progress)
    lines = TREE_LINES if tree is None and ending.verbose else tree
    if isinstance(chain, Solve) and not ending.as_json and lines:
        click.echo(tree_text(*decided_tree(path, chain), lines) + "\n")
    return show_result(result, path, ending)


def _require_same_seed(path: Path, seed: int, offset: int) -> None:
    """Raise `InputError` if the run of a problem began with another --seed; its own seed is larger by `offset`."""
    first = opening_entry(path) if entry_count(path) > 0 else None
    if first is not None and first.seed != seed + offset:
        began = first.seed - offset
        said = f"it was begun with --seed {began}, not {seed}; give that seed again, or another --out"
        raise InputError(f"{path} holds another run: {said}")
