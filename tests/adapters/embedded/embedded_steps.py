"""Prompts for tests of the embedded model: steps of the run of 20 disks."""

import random

from unerring.processes.hanoi import Hanoi

GAME = Hanoi(20)


def prompt(step: int, game: Hanoi = GAME) -> str:
    subtask = game.subtask(game.state_at(step))
    assert subtask is not None
    assert subtask.compact is not None
    return subtask.compact


def some_steps(count: int, seed: int = 0) -> list[int]:
    return random.Random(seed).sample(range(GAME.length()), count)
