"""What a million steps cost, compared with the paper's own table: `python benchmarks/paper/costs.py`.

For each model the paper gives the price of its output, the tokens of an answer and the share of wrong answers. The
margin (equation 14) and the expected cost, c s k_min / (v (2p - 1)) with v = 1, follow from these. The price of a
sample, c, needs the input too, which the paper's table leaves out: 580 tokens at the list price, for every row.
"""

from dataclasses import asdict, dataclass

from findings import Section, measure

from unerring.core.voting.odds import expected_votes_upper, k_min
from unerring.errors import NoKCanHelp

STEPS = 2**20 - 1
TARGET = 0.95
INPUT_TOKENS = 580
MILLION = 1e6


@dataclass(frozen=True, slots=True)
class Model:
    """A row of the paper's table: prices in dollars per million tokens, cost in dollars; None where there is none.

    The input price is not the paper's. Its last row has none, since no number of votes helps there.
    """

    name: str
    input_price: float | None
    output_price: float
    output_tokens: int
    wrong: float
    paper_k: int | None
    paper_cost: float | None


MODELS = [
    Model("gpt-4.1-nano", 0.10, 0.40, 842, 0.3571, 29, 41_900),
    Model("gpt-4.1-mini, temperature 1.0", 0.40, 1.60, 580, 0.0040, 4, 4_900),
    Model("gpt-4.1-mini, temperature 0.1", 0.40, 1.60, 538, 0.0022, 3, 3_500),
    Model("o3-mini (low)", 1.10, 4.40, 535, 0.0018, 3, 9_400),
    Model("gpt-oss-20B", 0.05, 0.20, 1104, 0.0358, 6, 1_700),
    Model("llama-3.2-3B", None, 0.06, 434, 1.0, None, None),
]


def row(model: Model) -> Section:
    """A model's margin and expected cost by the formulas, next to the paper's."""
    p = 1.0 - model.wrong
    try:
        k = k_min(p, STEPS, TARGET)
        votes = expected_votes_upper(p, k)
    except NoKCanHelp:
        return asdict(model) | {"k": None, "votes_per_step": None, "cost": None, "ratio": None}
    assert model.input_price is not None
    assert model.paper_cost is not None
    sample = (INPUT_TOKENS * model.input_price + model.output_tokens * model.output_price) / MILLION
    cost = STEPS * votes * sample
    return asdict(model) | {"k": k, "votes_per_step": votes, "cost": cost, "ratio": cost / model.paper_cost}


def costs(quick: bool) -> dict[str, Section]:
    rows = [row(model) for model in MODELS]
    return {"costs": {"steps": STEPS, "target": TARGET, "input_tokens": INPUT_TOKENS, "rows": rows}}


if __name__ == "__main__":
    measure(__doc__, costs)
