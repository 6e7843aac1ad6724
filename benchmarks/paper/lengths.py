"""How the cost grows with the length of a chain, end to end: `python benchmarks/paper/lengths.py`.

Games of n disks, s = 2^n - 1 steps, go through `unerring.run`, each with the least k that its length asks for at a
target of 0.95 (equation 14), and every sample is counted, flagged ones too. Two models play: the embedded one, with
its own temperature and red flags, and the noise sampler, which is right with a set probability and so takes the law
through more values of k. The embedded model's p and v are those of its weakest member (training/evaluation.json).
"""

import json
import tempfile
from contextlib import suppress
from dataclasses import replace
from math import expm1, log
from pathlib import Path

from costs import TARGET
from findings import Section, measure

import unerring
from unerring.adapters.embedded.catalog import EMBEDDED_POLICY
from unerring.core.voting.odds import expected_votes_upper, k_min, log_odds
from unerring.core.voting.policy import Policy
from unerring.core.voting.race import AheadBy

EVALUATION = Path(__file__).parents[2] / "training" / "evaluation.json"
DISKS = range(4, 13)
FURTHEST = 20  # disks to which the law is drawn
GAMES = 3
NOISE = 0.9


def weakest() -> tuple[float, float]:
    """The p and v of the embedded member with the lowest p, at its temperature and under its red flags."""
    members = json.loads(EVALUATION.read_text(encoding="utf-8"))["large"]["members"].values()
    tallies = [member["temperatures"]["1.0"] for member in members]
    return min(
        (t["kept_right"]["default"] / t["kept"]["default"], t["kept"]["default"] / t["samples"]) for t in tallies
    )


def law(p: float, v: float) -> list[Section]:
    """Expected samples a step, k / (v (2p - 1)), at each number of disks, with the k of that length, whole or not."""
    points = []
    for disks in range(DISKS[0], FURTHEST + 1):
        steps = 2**disks - 1
        k = k_min(p, steps, TARGET)
        smooth = -log(expm1(-log(TARGET) / steps)) / log_odds(p)  # equation 14 before it is rounded up
        points.append(
            {
                "disks": disks,
                "steps": steps,
                "k": k,
                "samples_per_step": expected_votes_upper(p, k) / v,
                "unrounded": smooth / (v * (2.0 * p - 1.0)),
            }
        )
    return points


def played(disks: int, model: str, policy: Policy, games: int) -> Section:
    """Play one game with several seeds, and count samples and the games that came out right."""
    game, samples, steps, solved = unerring.Hanoi(disks), 0, 0, 0
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(games):
            journal = Path(folder) / f"{seed}.db"
            # a game that went wrong would hardly ever end
            options = unerring.Options(policy=policy, speculate="off", max_steps=game.length())
            with suppress(unerring.Stopped):
                unerring.run(game, model, journal, seed=seed, options=options)
            report, found = unerring.report(journal), unerring.verify(journal)
            samples += report["samples"]["received"]
            steps += report["steps"]
            solved += found.finished and found.problem is None
    return {
        "disks": disks,
        "steps": game.length(),
        "k": policy.rule.lacking(0, 0),
        "games": games,
        "solved": solved,
        "samples_per_step": samples / steps,
    }


def curve(model: str, p: float, v: float, policy: Policy, quick: bool) -> Section:
    """A model's law and its games."""
    points, games = [], 1 if quick else GAMES
    for disks in DISKS[:4] if quick else DISKS:
        rule = AheadBy(k_min(p, 2**disks - 1, TARGET))
        # the law is that of races without a cap
        points.append(played(disks, model, replace(policy, rule=rule, vote_cap=1000), games))
    return {"model": model, "p": p, "v": v, "law": law(p, v), "played": points}


def lengths(quick: bool) -> dict[str, Section]:
    # all at one temperature, so that a round is one call
    plain = Policy(first_temperature=1.0, later_temperature=1.0)
    curves = [
        curve("embedded", *weakest(), EMBEDDED_POLICY, quick),
        curve(f"noise/p={NOISE}", NOISE, 1.0, plain, quick),
    ]
    return {"lengths": {"target": TARGET, "curves": curves}}


if __name__ == "__main__":
    measure(__doc__, lengths)
