"""Measure which copies are noticed, for every kind of cache and length of question, and how many alarms are false.

    python benchmarks/caches.py [--steps N] [--seed N] [--write docs/why/caches.md]

The fault server's caching proxies (`tests/faults/caching.py`) stand before an engine on virtual time, which has a
cache of prompts: it reads 2,000 tokens a second, writes 50, and its times vary by 10 %. Each of N steps is
asked three times, one call after the other, with the probe and the detector of copies of a run. `--write` replaces the
table in that file.
"""

import argparse
import asyncio
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "tests"), str(HERE.parent / "tests" / "support")]

from faults.caching import COALESCING, FREE, FRESH, IGNORES_SEED, MARKED, Cache, Proxy, Reply  # noqa: E402
from faults.replies import Question  # noqa: E402
from unerring.core.request import nonce_line  # noqa: E402
from unerring.core.voting.copies import CopyDetector, SentCall  # noqa: E402
from unerring.core.voting.sample import Finish, Sample, Settings, Usage  # noqa: E402
from unerring.runtime.probes.probe import EndpointNature  # noqa: E402
from unerring.runtime.probes.random_letters import nonce_of, probe  # noqa: E402
from unerring.runtime.probes.repeated_question import probe_repeats  # noqa: E402
from unerring.runtime.probes.shared_reply import probe_shared  # noqa: E402
from virtual_time import LoopClock, virtually  # noqa: E402

OVERHEAD, READ, WRITE, SPREAD = 0.03, 1 / 2000, 1 / 50, 0.1  # seconds, seconds a token, share of a latency
SHAPES = {"short/short": (30, 4), "long/short": (600, 20), "short/long": (30, 300), "long/long": (600, 300)}
SHARES = (1.0, 0.2, 0.05)
CHARS_A_TOKEN = 4
DISSENT = 0.02  # of short answers; long ones are all worded differently
KINDS: dict[str, Cache | None] = {
    "says so in a header": MARKED,
    "usage of 0": FREE,
    "identity of the original": IGNORES_SEED,
    "silent: new identity, usage copied": FRESH,
    "silent, 0.1 s before each copy": replace(FRESH, delay=0.1),
    "silent, as slow as an answer": replace(FRESH, delay=-1.0),
    "shares replies that are in flight": COALESCING,
}
BEGIN, END = "<!-- the table of benchmarks/caches.py -->\n", "<!-- its end -->\n"


class Engine:
    """An engine that keeps the prompts that it has read, behind a cache or none. It gives one sample a call."""

    def __init__(self, cache: Cache | None, shape: tuple[int, int], writes_letters: bool, seed: int) -> None:
        self.read, self.written = shape
        self.letters, self.chance = writes_letters, Random(f"engine {seed}")
        self.turn = self.names = 0
        self.kept: set[str] = set()
        self.last_copied = False
        self.slow = cache is not None and cache.delay < 0
        self.proxy = None if cache is None else Proxy(replace(cache, delay=max(0.0, cache.delay)), self.name)

    def name(self) -> str:
        self.names += 1
        return f"chatcmpl-{self.names:024d}"

    async def ask(self, prompt: str, settings: Settings, n: int) -> list[Sample]:
        """The sample of one call."""
        self.turn += 1
        began = asyncio.get_running_loop().time()
        question = Question("m", prompt, prompt, f"{prompt} {settings.sample_seed()}", n)

        async def compute() -> Reply:
            text, wrote = self.answer(prompt, settings)
            await asyncio.sleep(self.takes(prompt, wrote))
            read = len(prompt) // CHARS_A_TOKEN
            usage = {"prompt_tokens": read, "completion_tokens": wrote, "total_tokens": read + wrote}
            return Reply({"id": self.name(), "text": text, "usage": usage, "wrote": wrote})

        reply = await (compute() if self.proxy is None else self.proxy.reply(self.turn, question, compute))
        if reply.copied and self.slow:
            await asyncio.sleep(self.takes(prompt, reply.payload["wrote"]))
        self.last_copied = reply.copied
        usage = reply.payload["usage"]
        cached = "HIT" in reply.headers.values() or usage["total_tokens"] == 0
        took = asyncio.get_running_loop().time() - began + 0.003 * self.chance.uniform(0.8, 1.5)
        counted = Usage(usage["prompt_tokens"], usage["completion_tokens"])
        cut = Finish.LENGTH if reply.payload["wrote"] < self.whole(prompt) else Finish.STOP
        named = reply.payload["id"]
        return [Sample(reply.payload["text"], counted, cut, reply_id=named, cached=cached, seconds=took)]

    def whole(self, prompt: str) -> int:
        """Tokens of an answer that is not cut off."""
        return 20 if self.letters and "random lowercase letters" in prompt else self.written

    def answer(self, prompt: str, settings: Settings) -> tuple[str, int]:
        """An answer and its tokens."""
        own = Random(f"{prompt} {settings.sample_seed()}")
        if "random lowercase letters" in prompt and self.letters:
            return "".join(own.choices("abcdefghijklmnopqrstuvwxyz", k=32)), 20
        wrote = min(self.written, settings.max_output_tokens)
        if self.written > 100:
            return f"thoughts {own.random()}, hence 7", wrote
        return "7" if own.random() >= DISSENT else f"{own.randrange(10)}", wrote

    def takes(self, prompt: str, wrote: int) -> float:
        """Seconds for an answer: what was read before need not be read again, but for lines of its own at the end."""
        question, lines = prompt.partition("\n\n(request ")[0], prompt.count("\n\n(request ")
        unread = 5 * lines + (0 if question in self.kept else len(question) // CHARS_A_TOKEN)
        unread = 0 if prompt in self.kept else unread
        self.kept |= {question, prompt}
        return (OVERHEAD + unread * READ + wrote * WRITE) * self.chance.lognormvariate(0.0, SPREAD)


@dataclass
class Outcome:
    """The outcome of one session."""

    at_start: bool = False
    copies: int = 0
    found: int = 0
    accused: int = 0
    honest: int = 0
    voted: int = 0  # copies that voted before the session was stopped
    stopped: bool = False


async def session(engine: Engine, steps: int, seed: int, at_once: bool, nonce: bool) -> Outcome:
    """One session: its trial, and three samples a step, judged as a run's are; it continues where a run would stop."""
    outcome, copies = Outcome(), CopyDetector()
    settings = Settings(1.0, 750, seed, 0, 0)

    async def trial(prompt: str, settings: Settings, n: int) -> list[Sample]:
        line = nonce_line(f"trial {settings.slot} {engine.turn}") if nonce else ""
        return await engine.ask(prompt + line, settings, n)

    finding = await probe(trial, nonce_of(seed, 0.0), settings)
    if finding.nature is EndpointNature.UNSURE:
        called = trial, asked(0, engine), nonce_of(seed, 0.0), settings
        finding = await probe_repeats(*called, finding)
        if not finding.fatal:
            finding = await probe_shared(*called, finding, LoopClock())
    outcome.at_start = outcome.stopped = finding.fatal
    finding.teach(copies, "m")
    for step in range(1, steps + 1):
        prompt, texts = asked(step, engine), set[str]()

        async def one(slot: int, step: int = step, prompt: str = prompt) -> tuple[Sample, bool]:
            line = nonce_line(f"{step} {slot}") if nonce else ""
            (sample,) = await engine.ask(prompt + line, replace(settings, step=step, slot=slot), 1)
            return sample, engine.last_copied

        together = await asyncio.gather(one(0), one(1), one(2)) if at_once else None
        for slot in range(3):
            sample, copied = together[slot] if together else await one(slot)
            later = slot > 0 and not at_once
            flagged = copies.judge("m", SentCall(prompt, later), sample, sample.text in texts) is not None
            texts.add(sample.text)
            outcome.copies += copied
            outcome.honest += not copied
            outcome.found += flagged and copied
            outcome.accused += flagged and not copied
            outcome.voted += copied and not flagged and not outcome.stopped
            outcome.stopped = outcome.stopped or copies.too_many
    return outcome


def asked(step: int, engine: Engine) -> str:
    """The question of a step."""
    return f"Step {step}: " + "what comes next? " * (engine.read * CHARS_A_TOKEN // 17)


def cell(outcome: Outcome) -> str:
    """How a session with a cache went."""
    if outcome.at_start:
        return "start"
    if not outcome.copies:
        return "none"
    stopped = f", {outcome.voted} voted" if outcome.stopped else ", not stopped"
    return f"{outcome.found / outcome.copies:.0%}{stopped}"


def table(steps: int, seed: int) -> Iterator[str]:
    """The lines of the table."""
    yield f"| cache | share | {' | '.join(SHAPES)} |\n"
    yield f"|---|---|{'---|' * len(SHAPES)}\n"
    for letters in (True, False):
        model = "writes the letters of the trial" if letters else "writes nothing but its answers"
        yield f"| **a model that {model}** | | {' | '.join([''] * len(SHAPES))} |\n"
        for kind, cache in KINDS.items():
            for share in SHARES:
                at_once = cache is COALESCING
                engines = [Engine(_at(cache, share, seed), shape, letters, seed) for shape in SHAPES.values()]
                cells = [cell(virtually(session(engine, steps, seed, at_once, False))) for engine in engines]
                yield f"| {kind} | {share:.0%} | {' | '.join(cells)} |\n"
    cells = [nonced(shape, steps, seed) for shape in SHAPES.values()]
    yield f"| **any of them, with `--nonce`** | 100% | {' | '.join(cells)} |\n"


def _at(cache: Cache | None, share: float, seed: int) -> Cache | None:
    return None if cache is None else cache.at(share, seed)


def nonced(shape: tuple[int, int], steps: int, seed: int) -> str:
    """The copies that any cache served where each request has a line of its own."""
    each = [virtually(session(Engine(one, shape, False, seed), steps, seed, False, True)) for one in KINDS.values()]
    return f"{sum(one.copies for one in each)} copies"


def honest(steps: int, seed: int, sessions: int = 20) -> str:
    """How often engines without a cache are accused."""
    accused = samples = stopped = 0
    for letters in (True, False):
        for shape in SHAPES.values():
            for number in range(sessions):
                engine = Engine(None, shape, letters, seed + number)
                outcome = virtually(session(engine, steps, seed + number, False, False))
                accused, samples = accused + outcome.accused, samples + outcome.honest
                stopped += outcome.stopped
    count = 2 * len(SHAPES) * sessions
    output = (
        f"Without a cache: {stopped} of {count} sessions were stopped, and {accused} of {samples:,} samples flagged."
    )
    return f"{output}\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--write", type=Path)
    options = parser.parse_args()
    output = "".join([*table(options.steps, options.seed), "\n", honest(options.steps, options.seed)])
    if options.write is None:
        sys.stdout.write(output)
        return
    before, _, rest = options.write.read_text(encoding="utf-8").partition(BEGIN)
    options.write.write_text(f"{before}{BEGIN}\n{output}\n{END}{rest.partition(END)[2]}", encoding="utf-8")


if __name__ == "__main__":
    main()
