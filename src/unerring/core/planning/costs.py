"""What a plan costs: samples, tokens, dollars and hours of a whole chain.

A vote takes 1/v samples on average, a sample its input and output tokens. Two things make it cheaper and change no
decision: a call for n samples of one prompt reads the prompt once, and a batch is billed at half the price. The
spread of the totals is taken as normal (they are sums over many steps): the 99th percentile is 2.33 deviations up.
"""

from dataclasses import dataclass
from math import ceil, sqrt

from unerring.core.journal.spend import PICODOLLARS_PER_DOLLAR, Tariff
from unerring.core.planning.assumptions import MAX_AMOUNT
from unerring.core.planning.races import ExpectedRaces, PlannedJob
from unerring.errors import InputError

NORMAL_QUANTILE_99 = 2.3263478740408408
BATCH_PRICE_FACTOR = 0.5  # of the usual price: what OpenAI and Anthropic ask for a batch


@dataclass(frozen=True, slots=True)
class Price:
    """Dollars per million tokens of a model. Raises `InputError` for what is no number of dollars.

    input: price of tokens read.
    output: price of tokens written.
    source: where the prices are from.
    cached: price of tokens read from the provider's prompt cache; None where it is that of any other.
    """

    input: float
    output: float
    source: str = "given"
    cached: float | None = None

    def __post_init__(self) -> None:
        for value in (self.input, self.output, self.input if self.cached is None else self.cached):
            if type(value) not in {int, float} or not 0.0 <= value <= MAX_AMOUNT:
                raise InputError(
                    f"a price is in dollars per million tokens, from 0 to {MAX_AMOUNT:g}; it cannot be {value!r:.40}"
                )

    def tariff(self) -> Tariff:
        """The same in whole picodollars a token, upwards where there are digits beyond."""
        each = (self.input, self.output, self.input if self.cached is None else self.cached)
        return Tariff(*(ceil(dollars * PICODOLLARS_PER_DOLLAR / 1e6) for dollars in each))


@dataclass(frozen=True, slots=True)
class SampleCost:
    """What one sample takes: tokens (None: unknown), the price (None: unknown), v, and seconds of latency."""

    v: float = 1.0
    input_tokens: float | None = None
    output_tokens: float | None = None
    price: Price | None = None
    latency: float | None = None
    concurrency: int = 1


@dataclass(frozen=True, slots=True)
class ExpectedAmount:
    """A total that is expected, and one that it stays below with probability 0.99."""

    expected: float
    most: float


@dataclass(frozen=True, slots=True)
class ExpectedBill:
    """The totals of a chain. None is unknown, never nothing. `calls` are samples unless a call gives several."""

    samples: ExpectedAmount
    input_tokens: ExpectedAmount | None
    output_tokens: ExpectedAmount | None
    dollars: ExpectedAmount | None
    hours: ExpectedAmount | None


@dataclass(frozen=True, slots=True)
class CallMode:
    """How samples are asked for: all that a round of votes lacks with one call, and in batches at half price."""

    shared_prompt: bool = False
    batch: bool = False


def expected_bill(
    found: ExpectedRaces, job: PlannedJob, terms: SampleCost, way: CallMode = CallMode()
) -> ExpectedBill:
    """What the races of a chain cost on these terms."""
    samples = _samples(found, job, terms.v)
    calls = _calls(found, job, samples) if way.shared_prompt else samples
    read = None if terms.input_tokens is None else _times(calls, terms.input_tokens)
    written = None if terms.output_tokens is None else _times(samples, terms.output_tokens)
    return ExpectedBill(samples, read, written, _dollars(read, written, terms.price, way), _hours(samples, terms))


def _samples(found: ExpectedRaces, job: PlannedJob, v: float) -> ExpectedAmount:
    """Samples of a chain: each vote takes a geometric number of them, with mean 1/v and variance (1 - v) / v^2."""
    variance = found.votes * (1.0 - v) / v**2 + (found.deviation / v) ** 2
    expected = job.subtasks * found.votes / v
    return ExpectedAmount(expected, expected + NORMAL_QUANTILE_99 * sqrt(job.subtasks * variance))


def _calls(found: ExpectedRaces, job: PlannedJob, samples: ExpectedAmount) -> ExpectedAmount:
    """Calls, at most: the first of a step asks for all the votes it lacks, every later one for one at least."""
    first = found.rule.lacking(0, 0) - 1
    return ExpectedAmount(samples.expected - first * job.subtasks, samples.most - first * job.subtasks)


def _times(amount: ExpectedAmount, factor: float) -> ExpectedAmount:
    return ExpectedAmount(amount.expected * factor, amount.most * factor)


def _dollars(
    read: ExpectedAmount | None, written: ExpectedAmount | None, price: Price | None, way: CallMode
) -> ExpectedAmount | None:
    if price is not None and price.input == price.output == 0.0:
        return ExpectedAmount(0.0, 0.0)
    if read is None or written is None or price is None:
        return None
    factor = (BATCH_PRICE_FACTOR if way.batch else 1.0) / 1e6
    return ExpectedAmount(
        (read.expected * price.input + written.expected * price.output) * factor,
        (read.most * price.input + written.most * price.output) * factor,
    )


def _hours(samples: ExpectedAmount, terms: SampleCost) -> ExpectedAmount | None:
    """Time at a concurrency, where the chain can be asked ahead; one after the other it takes a latency a round."""
    if terms.latency is None:
        return None
    return _times(samples, terms.latency / terms.concurrency / 3600.0)
