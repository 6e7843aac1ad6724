"""Run LLM processes of a million dependent steps without an error.

    import unerring

    result = unerring.run(unerring.Hanoi(disks=10), journal="hanoi.db")

Every step is decided by first-to-ahead-by-k voting over samples that raise no red flag (Meyerson et al.,
arXiv:2511.09030), and everything that was paid for is in a journal that survives a kill -9.
"""

TYPE_CHECKING = False  # type checkers take it for True; importing it from typing takes longer than all the rest here

if TYPE_CHECKING:
    from unerring.api import *  # noqa: F403
    from unerring.api import __all__ as __all__
else:

    def __getattr__(name: str) -> object:
        """Import all public names and their modules when the first of them is asked for.

        That takes a while. Until then the command line has begun, and ends with one line on Ctrl-C.
        """
        if name == "__all__" or not name.startswith("_"):
            from importlib import import_module

            public = import_module("unerring.api")
            for each in (*public.__all__, "__all__"):
                globals().setdefault(each, getattr(public, each))
            if name in globals():
                return globals()[name]
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__() -> list[str]:
        return sorted({*globals(), *__getattr__("__all__")})


del TYPE_CHECKING
