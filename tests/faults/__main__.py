"""The server as a process: PYTHONPATH=tests python -m faults [options]; prints its base URL, and serves until ended.

A model is NAME=KIND[:FIELDS], where KIND is noise, stubborn, embedded, embedded/a (b, c), letters or scripted:

    --model gpt-x=noise:p=0.9,v=0.95 --model tiny=embedded --model fixed='scripted:["a", "b"]'

A script is JSON: a fault's name (always), a list of names and nulls (one a request), or an object of shares.
"""

import argparse
import asyncio
import json
import signal
import sys

from faults.answers import Embedded, Model, letters, noise, scripted, shipped, stubborn
from faults.breakages import Measures
from faults.caching import CACHES
from faults.chat import Setup
from faults.faults import Fault
from faults.limits import Latency, Rate
from faults.script import Script, always, listed, shares, troubled
from faults.server import FaultServer
from faults.trials import Trials


def model_of(spec: str) -> Model:
    """Make the model that KIND[:FIELDS] names."""
    kind, _, fields = spec.partition(":")
    if kind == "scripted":
        return scripted(json.loads(fields))
    if kind.startswith("embedded"):
        return Embedded(kind)
    if kind == "letters":
        return letters
    numbers = {name: float(value) for name, value in (pair.split("=") for pair in fields.split(",") if pair)}
    return {"noise": noise, "stubborn": stubborn}[kind](**numbers)


def script_of(text: str, seed: int) -> Script:
    """Make the script that JSON names."""
    given = json.loads(text)
    if isinstance(given, str):
        return always(Fault[given])
    if isinstance(given, list):
        return listed(*(None if name is None else Fault[name] for name in given))
    return shares({Fault[name]: share for name, share in given.items()}, seed)


def setup_of(options: argparse.Namespace) -> Setup:
    """Read the options."""
    setup = Setup(
        latency=Latency(options.latency, options.jitter),
        slots=options.slots,
        queues=options.queues,
        rate=Rate(options.rate, options.burst) if options.rate else None,
        cache=CACHES[options.cache].at(options.cache_hits, options.seed) if options.cache else None,
        batch=Trials(**json.loads(options.batch)),
        measures=Measures(options.pace, options.huge),
        prompt_cache=options.prompt_cache,
        idle=options.idle,
        seed=options.seed,
        keep=options.keep,
    )
    named = [given.partition("=") for given in options.model]
    setup.models = {name: model_of(spec) for name, _, spec in named} or shipped()
    if options.troubled:
        setup.script = troubled(options.troubled, seed=options.seed)
    elif options.script:
        setup.script = script_of(options.script, options.seed)
    return setup


def parsed() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="faults", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", action="append", default=[], metavar="NAME=KIND[:FIELDS]")
    parser.add_argument("--script", metavar="JSON")
    parser.add_argument("--troubled", type=float, metavar="SHARE", help="a share of everyday faults")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--latency", type=float, default=0.0, metavar="SECONDS")
    parser.add_argument("--jitter", type=float, default=0.0, metavar="SECONDS")
    parser.add_argument("--slots", type=int)
    parser.add_argument("--queues", action="store_true", help="requests beyond the slots wait in silence")
    parser.add_argument("--rate", type=float, metavar="PER_SECOND")
    parser.add_argument("--burst", type=float, default=1.0)
    parser.add_argument("--cache", choices=CACHES)
    parser.add_argument("--cache-hits", type=float, default=1.0, metavar="SHARE")
    parser.add_argument("--prompt-cache", type=float, default=0.0, metavar="SHARE")
    parser.add_argument("--batch", default="{}", metavar="JSON", help="fields of Trials")
    parser.add_argument("--pace", type=float, default=1.0, metavar="SECONDS")
    parser.add_argument("--huge", type=int, default=32 << 20, metavar="BYTES")
    parser.add_argument("--idle", type=float, default=75.0, metavar="SECONDS")
    parser.add_argument("--keep", type=int, metavar="ENTRIES")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--while-stdin", action="store_true", help="end when the standard input does")
    return parser.parse_args()


async def serve(options: argparse.Namespace) -> None:
    """Serve until SIGTERM, SIGINT or, if requested, the end of the standard input."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)

    def read() -> None:
        if not sys.stdin.buffer.raw.read(1 << 12):
            loop.remove_reader(sys.stdin)
            stop.set()

    if options.while_stdin:
        loop.add_reader(sys.stdin, read)
    server = FaultServer(setup_of(options))
    await server.start(options.port)
    sys.stdout.write(f"{server.url}\n")
    sys.stdout.flush()
    await stop.wait()
    await server.stop()


if __name__ == "__main__":
    asyncio.run(serve(parsed()))
