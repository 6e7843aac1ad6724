"""Votes that the rule `log-odds` saves on the embedded model, measured in real runs.

    python benchmarks/weighted.py                 # 14 disks, three seeds under each rule: some two minutes
    python benchmarks/weighted.py --disks 10 --seeds 1

Both rules are planned for the same target from the calibration that ships with the model. Every run is judged by the
rules of the game. The second part plans both for the million steps of 20 disks, from the same calibration.
"""

import argparse
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import unerring
from common import Row, give_out, parser_for
from unerring.api.calibration.calibration_files import shipped_calibration
from unerring.api.planning import Target
from unerring.core.planning.assumptions import measured_assumptions
from unerring.core.planning.measured_weights import weights_of
from unerring.core.planning.races import PlannedJob, expected_races
from unerring.core.voting.race import AheadBy, LogOdds

RULES = ("ahead-by", "log-odds")


@dataclass(frozen=True, slots=True)
class Run:
    """A run that was made: its rule, what it took, and what the verifier found."""

    rule: str
    seed: int
    steps: int
    votes: int
    samples: int
    problem: str | None


def run_once(disks: int, rule: str, seed: int, target: float) -> Run:
    with tempfile.TemporaryDirectory() as folder:
        journal = Path(folder) / "journal.db"
        options = unerring.Options(target=Target(target, rule))
        found = unerring.run(unerring.Hanoi(disks), journal=journal, seed=seed, options=options).report
        checked = unerring.verify(journal)
    votes, samples = found["samples"]["voted"], found["samples"]["received"]
    print(
        f"{found['policy']['rule']:<15} seed {seed}: {votes:,} votes, {votes / found['steps']:.4f} a step", flush=True
    )
    return Run(found["policy"]["rule"], seed, found["steps"], votes, samples, checked.problem)


def a_million(threshold: float, k: int) -> dict[str, dict[str, float]]:
    """Votes a step, and the chance to get through, of both rules over the 1,048,575 steps of 20 disks."""
    calibration = shipped_calibration("embedded")
    assert calibration is not None
    assumed, job = measured_assumptions(calibration), PlannedJob(2**20 - 1)
    rules = (AheadBy(k), LogOdds(threshold, weights_of(assumed.voters, assumed.voter_bins)))
    races = [expected_races(assumed, rule, job) for rule in rules]
    return {one.rule.name: {"votes": one.votes, "success": one.success(job)} for one in races}


def main() -> int:
    parser = parser_for(__doc__)
    parser.add_argument("--disks", type=int, default=14)
    parser.add_argument("--seeds", type=int, default=3, help="runs under each rule")
    parser.add_argument("--target", type=float, default=0.95)
    args: argparse.Namespace = parser.parse_args()
    runs = [run_once(args.disks, rule, seed, args.target) for rule in RULES for seed in range(args.seeds)]
    plain, weighed = ([one for one in runs if one.rule.startswith(rule)] for rule in RULES)
    saved = 1.0 - sum(one.votes for one in weighed) / sum(one.votes for one in plain)
    wrong = sum(one.problem is not None for one in runs)
    million = a_million(16.85, 3)
    (k3, counted), (log_odds, weighted) = million.items()
    rows = [
        Row(
            f"votes saved by log-odds on {args.disks} disks, embedded, {args.target:.0%}",
            f"{saved:.1%} ({plain[0].votes / plain[0].steps:.3f} a step under {plain[0].rule}, "
            f"{weighed[0].votes / weighed[0].steps:.3f} under {weighed[0].rule})",
            "≥ 30 %",
            saved >= 0.3,
        ),
        Row(f"wrong runs of {len(runs)}", f"{wrong}", "0", wrong == 0),
        Row(
            f"it would save on 20 disks, {log_odds} against {k3}",
            f"{1.0 - weighted['votes'] / counted['votes']:.1%} of the votes, but all steps are right with "
            f"{weighted['success']:.0%} against {counted['success']:.0%}: no plan has it",
        ),
    ]
    return give_out(args, {"runs": [asdict(one) for one in runs], "million": million}, rows)


if __name__ == "__main__":
    sys.exit(main())
