"""Costs of a plan: samples, tokens, dollars and hours of a whole chain.

A vote takes 1/v samples on average, and a sample its input and output tokens. Two modes are cheaper and change no
decision: a call for n samples of one prompt reads the prompt once, and a batch is billed at half the price. Totals are
sums over many steps, so they are taken as normal: the 99th percentile is 2.33 deviations above the mean.
"""

from dataclasses import dataclass
from math import ceil, sqrt

from unerring.core.journal.spend import PICODOLLARS_PER_DOLLAR, Tariff
from unerring.core.planning.assumptions import MAX_AMOUNT
from unerring.core.planning.races import ExpectedRaces, PlannedJob
from unerring.errors import InputError

NORMAL_QUANTILE_99 = 2.3263478740408408  # standard deviations above the mean
BATCH_PRICE_FACTOR = 0.5  # what OpenAI and Anthropic charge for a batch


@dataclass(frozen=True, slots=True)
class Price:
    """Dollars per million tokens of a model. Raises `InputError` for anything that is not a number of dollars.

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
        """The same in whole picodollars a token, rounded up."""
        each = (self.input, self.output, self.input if self.cached is None else self.cached)
        return Tariff(*(ceil(dollars * PICODOLLARS_PER_DOLLAR / 1e6) for dollars in each))


@dataclass(frozen=True, slots=True)
class SampleCost:
    """What one sample takes; None where it is not known.

    v: the probability that it raises no red flag.
    input_tokens, output_tokens: its tokens.
    price: the price of tokens.
    latency: seconds of its call.
    concurrency: the number of samples in flight.
    """

    v: float = 1.0
    input_tokens: float | None = None
    output_tokens: float | None = None
    price: Price | None = None
    latency: float | None = None
    concurrency: int = 1


@dataclass(frozen=True, slots=True)
class ExpectedAmount:
    """A total.

    expected: its mean.
    most: the 99th percentile.
    """

    expected: float
    most: float


@dataclass(frozen=True, slots=True)
class ExpectedBill:
    """The totals of a chain; None where one is not known."""

    samples: ExpectedAmount
    input_tokens: ExpectedAmount | None
    output_tokens: ExpectedAmount | None
    dollars: ExpectedAmount | None
    hours: ExpectedAmount | None


@dataclass(frozen=True, slots=True)
class CallMode:
    """How samples are requested.

    shared_prompt: whether one call asks for all votes that a round lacks.
    batch: whether calls go in batches, at half the price.
    """

    shared_prompt: bool = False
    batch: bool = False


def expected_bill(
    races: ExpectedRaces, job: PlannedJob, sample: SampleCost, mode: CallMode = CallMode()
) -> ExpectedBill:
    """The cost of a chain's races."""
    samples = _samples(races, job, sample.v)
    calls = _calls(races, job, samples) if mode.shared_prompt else samples
    read = None if sample.input_tokens is None else _times(calls, sample.input_tokens)
    written = None if sample.output_tokens is None else _times(samples, sample.output_tokens)
    return ExpectedBill(samples, read, written, _dollars(read, written, sample.price, mode), _hours(samples, sample))


def _samples(races: ExpectedRaces, job: PlannedJob, v: float) -> ExpectedAmount:
    """Samples of a chain: each vote takes a geometric number of them, with mean 1/v and variance (1 - v) / v^2."""
    variance = races.votes * (1.0 - v) / v**2 + (races.deviation / v) ** 2
    expected = job.subtasks * races.votes / v
    return ExpectedAmount(expected, expected + NORMAL_QUANTILE_99 * sqrt(job.subtasks * variance))


def _calls(races: ExpectedRaces, job: PlannedJob, samples: ExpectedAmount) -> ExpectedAmount:
    """Calls, at most: a step's first call asks for all votes that it lacks, later ones for at least one."""
    first = races.rule.lacking(0, 0) - 1
    return ExpectedAmount(samples.expected - first * job.subtasks, samples.most - first * job.subtasks)


def _times(amount: ExpectedAmount, factor: float) -> ExpectedAmount:
    return ExpectedAmount(amount.expected * factor, amount.most * factor)


def _dollars(
    read: ExpectedAmount | None, written: ExpectedAmount | None, price: Price | None, mode: CallMode
) -> ExpectedAmount | None:
    if price is not None and price.input == price.output == 0.0:
        return ExpectedAmount(0.0, 0.0)
    if read is None or written is None or price is None:
        return None
    factor = (BATCH_PRICE_FACTOR if mode.batch else 1.0) / 1e6
    return ExpectedAmount(
        (read.expected * price.input + written.expected * price.output) * factor,
        (read.most * price.input + written.most * price.output) * factor,
    )


def _hours(samples: ExpectedAmount, sample: SampleCost) -> ExpectedAmount | None:
    """Hours at a concurrency, if steps can be asked ahead; without speculation each round takes a latency."""
    if sample.latency is None:
        return None
    return _times(samples, sample.latency / sample.concurrency / 3600.0)
