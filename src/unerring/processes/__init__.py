"""The worked processes that ship, by the name the command line knows them by."""

from unerring.processes.hanoi import Hanoi

SHIPPED = {"hanoi": Hanoi}

__all__ = ["SHIPPED", "Hanoi"]
