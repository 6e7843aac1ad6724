"""Simulated runs of voting as a certificate reads them: patterns of votes, and how many steps are really wrong."""

from dataclasses import dataclass, field

import numpy as np

from unerring.core.certificate.vote_patterns import VoterTally


@dataclass
class Counted:
    """The `Patterns` of a run, and the true number of wrong steps."""

    steps: dict
    by_voter: dict
    wrong: int
    examples: dict = field(default_factory=dict)
    pooled_steps: int = 0

    def counted(self):
        return self.steps

    def shares(self):
        return self.by_voter


def voted(draw, chances, k):
    """Race every step to a lead of k, by voters in rotation; wrong votes agree. `chances` is steps x voters."""
    steps, voters = chances.shape
    lead = np.zeros(steps, int)
    right, wrong = np.zeros((steps, voters), int), np.zeros((steps, voters), int)
    running, vote = np.arange(steps), 0
    while len(running):
        voter = vote % voters
        errs = draw.random(len(running)) < chances[running, voter]
        wrong[running, voter] += errs
        right[running, voter] += ~errs
        lead[running] += np.where(errs, -1, 1)
        running, vote = running[np.abs(lead[running]) < k], vote + 1
    lost = (lead < 0)[:, None]
    return counted(np.where(lost, wrong, right), np.where(lost, right, wrong), int(lost.sum()))


def counted(won, second, wrong):
    """Patterns and shares of steps, given by voter the votes for the winner and for the runner-up."""
    voters = won.shape[1]
    rows, counts = np.unique(np.concatenate([won, second], 1), axis=0, return_counts=True)
    patterns = {
        tuple(VoterTally(j, row[j], row[voters + j], 0) for j in range(voters) if row[j] + row[voters + j]): count
        for row, count in zip(rows.tolist(), counts.tolist(), strict=True)
    }
    several = (won + second).sum(1) > 1
    shares = {
        j: (int(second[several, j].sum()), int((won + second)[several, j].sum()))
        for j in range(voters)
        if several.any()
    }
    return Counted(patterns, shares, wrong)
