"""Worked processes that ship with unerring, by their names on the command line."""

from unerring.processes.hanoi import Hanoi
from unerring.processes.multiply import Multiply
from unerring.processes.question import OneQuestion
from unerring.processes.solve import Solve
from unerring.processes.sort import Sort

SHIPPED = {"ask": OneQuestion, "hanoi": Hanoi, "multiply": Multiply, "solve": Solve, "sort": Sort}

__all__ = ["SHIPPED", "Hanoi", "Multiply", "OneQuestion", "Solve", "Sort"]
