"""Write a run's report as one HTML page that needs nothing else: no other file, no network, no script.

Text of a model or a journal is escaped, with its control characters shown. The page forbids itself
(Content-Security-Policy) to load or to run anything. The same journal gives the same page, byte for byte.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Any

from unerring.adapters.files.output_file import unwritable, write_whole
from unerring.api.journals.history import History
from unerring.cli.figures.html_doubtful import doubtful_part, escaped
from unerring.cli.figures.run_plots import RunFigure, run_panels
from unerring.cli.figures.svg import require_matplotlib
from unerring.cli.figures.tree import tree_of
from unerring.cli.hints import in_options
from unerring.cli.text.report import amount, by_people, chance, probability
from unerring.core.reporting.report import report_of
from unerring.core.reporting.run_report import Report
from unerring.core.reporting.summary import acts_text, forked_from, measured_p, speed_up, undecided_text
from unerring.core.reporting.timeline import Timeline
from unerring.errors import InputError

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
MAX_TABLE_ROWS = 20  # of tallies or rounds
MAX_TITLE_CHARS = 120
HEAD = (  # the beginning of every page, and of no other file
    '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
    f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
)
JOURNAL_SUFFIXES = ("", ".head", "-wal", "-shm", "-journal")  # of the files that make up a journal


def write_report(journal: Path, out: Path, full: bool = False) -> Report:
    """Write the page of a journal; returns its report.

    Texts of doubtful steps are shortened unless it is `full`. A page of the same name is replaced once the new one is
    complete. Raises `InputError` if the page cannot be drawn or written, or a file of that name is something else.
    """
    require_matplotlib()
    path = _page_path(journal, out)
    history, timeline = History(journal), Timeline()
    for decided in history.steps():
        timeline.add(len(decided.tally) > 1)
    _ = history.opened
    report = report_of(history.state, history.series, full)
    write_whole(path, page(report, run_panels(report, timeline), tree_of(journal, report)), "the page")
    return report


def _page_path(journal: Path, out: Path) -> Path:
    """The path of the page; raises `InputError` for one that would overwrite a journal or any other file."""
    try:
        path, own = out.resolve(), journal.resolve()
        if path in [own.with_name(own.name + end) for end in JOURNAL_SUFFIXES]:
            raise InputError(f"{out} is a file of the journal itself; give the page another name")
        if path.exists() and not path.is_file():
            raise InputError(f"cannot write the page {out}: it is not a file")
        if path.is_file():
            with path.open("rb") as file:
                beginning = file.read(len(HEAD))
            if beginning.startswith(b"SQLite format 3"):
                raise InputError(f"{out} is a database, perhaps a journal; give the page another name")
            if beginning and beginning != HEAD.encode():
                raise InputError(f"{out} exists and is no page of a report; give the page another name")
    except (OSError, ValueError) as error:
        raise unwritable("the page ", out, error) from None
    return path


def page(report: Mapping[str, Any], panels: Mapping[str, RunFigure], tree: str = "") -> str:
    """The page of a report and its figures; `tree` is the HTML of a run's tree of problems, if it has one."""
    called = " ".join([report["process"], *(f"{name}={_plain(v)}" for name, v in report["parameters"].items())])
    title = called if len(called) <= MAX_TITLE_CHARS else called[: MAX_TITLE_CHARS - 1] + "…"
    how = f"seed {report['seed']}; {_status(report)}"
    parts = [
        f"<h1><bdi>{escaped(title)}</bdi></h1>",
        f'<p class="under"><bdi>{escaped(report["model"])}</bdi>, {escaped(how)}</p>',
        _tiles(report),
        tree,
        _certificate(report, panels),
        _votes(report, panels),
        doubtful_part(report),
        _samples(report, panels),
        _run(report),
        _json(report),
    ]
    style = Path(__file__).with_name("report.css").read_text(encoding="utf-8")
    return (
        f'{HEAD}<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        '<link rel="icon" href="data:,">\n'
        f"<title>{escaped(title)}: report of a run</title>\n<style>\n{style}</style>\n</head>\n<body>\n"
        + "\n".join(part for part in parts if part)
        + f"\n<footer>Written by {escaped(report['software'])} from the journal alone.</footer>\n</body>\n</html>\n"
    )


def _status(report: Mapping[str, Any]) -> str:
    sessions = f"in {report['sessions']} session{'s' if report['sessions'] > 1 else ''}"
    if report["status"] == "paused":
        return f"paused ({in_options(report['stopped']['reason'])}), {sessions}"
    return f"finished, {sessions}" if report["status"] == "finished" else f"running or killed, {sessions}"


def _tiles(report: Mapping[str, Any]) -> str:
    """The most important numbers, at the top of the page."""
    samples, length = report["samples"], report["length"]
    tiles = [("steps decided", f"{report['steps']:,}", "" if length is None else f"of {length:,}")]
    certificate = report.get("certificate") or {}
    if certificate and report["steps"]:
        expected, none = certificate.get("expected_wrong"), certificate.get("zero_probability")
        low = certificate.get("zero_probability_low")
        least = "" if low is None else f"lower bound {probability(low)}"
        tiles += [
            ("wrong steps expected", "unknown" if expected is None else amount(expected), _bounds(certificate)),
            ("probability of zero errors", "unknown" if none is None else probability(none), least),
        ]
    if report["votes_per_step"] is not None:
        votes = f"{samples['voted']:,} votes, {samples['flagged']:,} samples flagged"
        tiles.append(("votes a step", f"{report['votes_per_step']:.4f}", votes))
    cells = (
        f'<div class="tile"><b>{escaped(figure)}</b><span>{escaped(name)}</span><span>{escaped(more)}</span></div>'
        for name, figure, more in tiles
    )
    return f'<div class="tiles">{"".join(cells)}</div>'


def _bounds(certificate: Mapping[str, Any]) -> str:
    bounds = certificate.get("wrong_interval")
    if not bounds:
        return ""
    low, high = bounds
    sure = ", at 95% confidence" if certificate.get("expected_wrong") is not None else ""
    return (f"at most {high:,}" if low == 0 else f"{low:,} to {high:,}") + sure


def _certificate(report: Mapping[str, Any], panels: Mapping[str, RunFigure]) -> str:
    """The certificate: wrong steps by the votes, warnings, voters, steps most at risk, and assumptions."""
    certificate = report.get("certificate")
    if not certificate or not report["steps"]:
        return ""
    parts = ["<h2>Certificate</h2>"]
    warnings = certificate.get("warnings") or []
    if warnings:
        lines = "".join(f"<p><strong>Warning:</strong> {escaped(warning)}</p>" for warning in warnings)
        parts.append(f'<div class="alert" role="note">{lines}</div>')
    if certificate.get("certifiable") is False:
        parts.append(
            "<p>The votes of this run certify nothing; the expected numbers are those of its plan, if it has one.</p>"
        )
    parts.append(_voters(report, certificate))
    parts.append(f'<div class="figures">{_figure(panels["p"])}</div>')
    nearest = certificate.get("nearest") or []
    if nearest:
        rows = [
            (
                f"{one['step']:,}",
                _tally(one["tally"]),
                f"{one['margin']:,}",
                f"{one['rounds']:,}",
                f"{one['flags']:,}",
                chance(one["wrong_probability"]),
            )
            for one in nearest
        ]
        heads = ("step", "tally", "margin", "rounds", "flagged", "wrong with probability")
        parts.append(table("Steps most at risk of being wrong", heads, rows, "rlrrrr"))
    elif certificate.get("certifiable"):
        parts.append("<p>No step is more at risk than the others: every one was unanimous, without a red flag.</p>")
    assumptions = certificate.get("assumptions") or []
    if assumptions:
        lines = "".join(f"<li>{escaped(one)}</li>" for one in assumptions)
        parts.append(f"<h3>Assumptions</h3><ul>{lines}</ul>")
    return "\n".join(parts)


def _voters(report: Mapping[str, Any], certificate: Mapping[str, Any]) -> str:
    """The table of voters: their votes, and how often they are right by these and by the plan."""
    certified = {voter["name"]: voter for voter in certificate.get("voters") or []}
    rows: list[tuple[str, ...]] = []
    for voter in report["voters"]:
        known = certified.get(voter["name"], {})
        p, planned = measured_p(known) if known else None, known.get("planned")
        between = "" if planned is None else f"{probability(planned[0])} to {probability(planned[2])}"
        dissent = "" if voter["dissent"] is None else f"{voter['dissents']:,} ({voter['dissent']:.2%})"
        counts = (f"{voter['votes']:,}", f"{voter['flags']:,}", dissent)
        rows.append((voter["name"], *counts, "" if p is None else probability(p), between))
    heads: tuple[str, ...] = ("voter", "votes", "flagged", "against the winner", "p", "p planned")
    sides = "lrrrrr"
    for column in (5, 4, 3):  # columns that are empty in this run are left out
        if not any(row[column] for row in rows):
            rows = [row[:column] + row[column + 1 :] for row in rows]
            heads, sides = heads[:column] + heads[column + 1 :], sides[:-1]
    return table("Voters; p is the probability that a vote is right", heads, rows, sides)


def _votes(report: Mapping[str, Any], panels: Mapping[str, RunFigure]) -> str:
    """The section on votes."""
    figures = "".join(_figure(panels[name]) for name in ("votes", "undecided", "dissent"))
    parts = ["<h2>Votes</h2>", f'<div class="figures">{figures}</div>']
    if report["votes_per_step"] is not None:
        dissent = f"{report['disagreements']:,} steps had votes against the winner (dissent)"
        parts.append(f"<p>{dissent}; on {report['collisions']:,} of them the first two votes both lost.</p>")
        parts += [f"<p>By people: {escaped(done)}.</p>" for done in by_people(report)]
        between = {"Undecided": undecided_text(report["undecided"]), "Side effects": acts_text(report["acts"])}
        parts += [f"<p>{name}: {escaped(text)}.</p>" for name, text in between.items() if text is not None]
        hardest = [one for one in report["hardest"] if len(one["tally"]) > 1 or one["flags"]]
        hard = [
            (f"{one['step']:,}", _tally(one["tally"]), f"{one['rounds']:,}", f"{one['flags']:,}") for one in hardest
        ]
        parts += [
            '<div class="tables">',
            table("Tallies: votes by choice", ("tally", "steps"), _counted(report["tallies"]), "lr"),
            table("Steps that took most samples", ("step", "tally", "rounds", "flagged"), hard, "rlrr")
            if hard
            else "",
            table("Rounds of samples", ("rounds", "steps"), _counted(report["rounds_histogram"]), "lr"),
            "</div>",
        ]
    return "\n".join(parts)


def _samples(report: Mapping[str, Any], panels: Mapping[str, RunFigure]) -> str:
    """The section on samples and speculation."""
    samples, tokens, ahead = report["samples"], report["tokens"], report["speculation"]
    rows = [
        ("sent", f"{samples['sent']:,}"),
        ("received", f"{samples['received']:,}"),
        ("voted", f"{samples['voted']:,}"),
        ("flagged", f"{samples['flagged']:,}"),
        ("sent, with unknown outcome", f"{samples['unknown'] - samples['given_up']:,}"),
        ("given up after a wrong guess", f"{samples['given_up']:,}"),
        ("calls that failed", f"{samples['failed_calls']:,}"),
        ("tokens read", f"{tokens['input']:,}"),
        ("tokens written", f"{tokens['output']:,}"),
    ]
    mean, gain = ahead["mean_run"], speed_up(ahead)
    spec = [
        ("steps asked ahead of their turn", f"{ahead['steps_ahead']:,}"),
        ("of them in a row, on average", "" if mean is None else f"{mean:,.1f}"),
        ("of them in a row, at most", f"{ahead['longest_run']:,}"),
        ("samples wasted by wrong guesses", f"{ahead['wasted']:,} ({ahead['waste']:.2%})"),
        ("guesses by a drafting model", f"{ahead['drafts']:,}"),
        ("times as fast as one call after the other", "" if gain is None else f"{gain:.3g}"),
    ]
    parts = [
        '<h2>Samples</h2>\n<div class="tables">',
        table("Samples and tokens", ("", "count"), rows, "lr"),
        table("Speculation", ("", "count"), spec, "lr"),
        "</div>",
        f'<div class="figures">{_figure(panels["flags"])}</div>',
    ]
    if report["flags"]:
        flags = [(cause, f"{count:,}") for cause, count in report["flags"].items()]
        parts.append(table("Red flags by cause", ("cause", "samples"), flags, "lr"))
    return "\n".join(parts)


def _run(report: Mapping[str, Any]) -> str:
    """The section on the run: its process, models, rules and plan."""
    facts = [("process", report["process"])]
    facts += [(name, _plain(value)) for name, value in report["parameters"].items()]
    facts += [("model", report["model"]), ("seed", _plain(report["seed"])), ("status", _status(report))]
    if report.get("origin"):
        facts.append(("forked", forked_from(report["origin"], report["inherited"])))
    facts += [("started", _when(report["started"])), ("ended", _when(report["ended"]))]
    facts.append(("software", report["software"]))
    parts = ["<h2>The run</h2>", _facts(facts)]
    parts.append("<h3>Its rules</h3>" + _facts((name, _plain(v)) for name, v in report["policy"].items()))
    plan = report.get("plan")
    if plan:
        parts.append("<h3>Its plan</h3>" + _facts((name, _plain(v)) for name, v in plan.items()))
    return "\n".join(parts)


def _json(report: Mapping[str, Any]) -> str:
    """The whole report as JSON, with every digit."""
    data = escape(json.dumps(report, indent=1), quote=True)  # ASCII, with controls written as escapes
    return f"<details><summary>The whole report as JSON</summary><pre>{data}</pre></details>"


def _figure(panel: RunFigure) -> str:
    caption = f"<figcaption>{escaped(panel.caption)}</figcaption>"
    return f"<figure><h3>{escaped(panel.title)}</h3>{panel.svg or ''}{caption}</figure>"


def table(name: str, heads: Sequence[str], rows: Iterable[Sequence[str]], sides: str) -> str:
    """A table, which scrolls by itself if it is wide; `sides` aligns each column, to the left (l) or right (r)."""
    classes = ["" if side == "l" else ' class="n"' for side in sides]
    head = "".join(f'<th scope="col"{kind}>{escaped(text)}</th>' for kind, text in zip(classes, heads, strict=True))
    body = "".join(
        "<tr>" + "".join(f"<td{kind}>{escaped(cell)}</td>" for kind, cell in zip(classes, row, strict=True)) + "</tr>"
        for row in rows
    )
    inner = f"<table><caption>{escaped(name)}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return f'<div class="scroll" tabindex="0" role="region" aria-label="{escaped(name)}">{inner}</div>'


def _facts(facts: Iterable[tuple[str, str]]) -> str:
    return "<dl>" + "".join(f"<dt>{escaped(name)}</dt><dd>{escaped(value)}</dd>" for name, value in facts) + "</dl>"


def _counted(counts: Mapping[str, int]) -> list[tuple[str, str]]:
    """Rows of counts, with one row for all beyond `MAX_TABLE_ROWS`."""
    rows = [(name, f"{count:,}") for name, count in list(counts.items())[:MAX_TABLE_ROWS]]
    left = list(counts.values())[MAX_TABLE_ROWS:]
    return rows + ([(f"{len(left):,} others", f"{sum(left):,}")] if left else [])


def _tally(tally: Sequence[int]) -> str:
    return "-".join(map(str, tally))


def _plain(value: Any) -> str:
    """JSON data in words: texts as they are, numbers with their digits, the rest as JSON."""
    if isinstance(value, str):
        return value
    if value is None:
        return "none"
    return f"{value:.6g}" if isinstance(value, float) else json.dumps(value)


def _when(seconds: Any) -> str:
    """A time in words, in UTC."""
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (TypeError, ValueError, OverflowError, OSError):
        return "unknown" if seconds is None else str(seconds)
