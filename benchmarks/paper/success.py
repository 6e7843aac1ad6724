"""How probably a whole chain is right, against its length and against k: `python benchmarks/paper/success.py`.

By the paper's equation 13, (1 + ((1-p)/p)^k)^(-s). Nothing is measured here: these are the laws that the other figures
are held against.
"""

from costs import MODELS, STEPS, TARGET
from findings import Section, measure

from unerring.core.voting.odds import chain_probability, k_min

CHANCES = (0.9, 0.99, 0.999)
MARGINS = (1, 2, 3, 4, 6, 8)
DECADES = 9  # of steps


def success(quick: bool) -> dict[str, Section]:
    lengths = [10 ** (i / 8) for i in range(8 * DECADES + 1)]
    against_length = [
        {"p": p, "k": k, "steps": lengths, "probability": [chain_probability(p, k, s) for s in lengths]}
        for p in CHANCES
        for k in MARGINS
    ]
    margins = list(range(1, 41))
    models = [model for model in MODELS if model.paper_k is not None]
    against_k = [
        {
            "model": model.name,
            "p": 1.0 - model.wrong,
            "k": margins,
            "probability": [chain_probability(1.0 - model.wrong, k, STEPS) for k in margins],
            "k_min": k_min(1.0 - model.wrong, STEPS, TARGET),
        }
        for model in models
    ]
    return {"success": {"steps": STEPS, "target": TARGET, "against_length": against_length, "against_k": against_k}}


if __name__ == "__main__":
    measure(__doc__, success)
