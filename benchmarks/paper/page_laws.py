"""The page's parts on the scaling laws: what each figure shows, what the paper has, and whether ours agrees."""

from findings import Section
from telling import AGREES, DIFFERS, PARTLY, Part, dollars, listed, percent

WITHIN = 0.05  # of the paper's dollars, and of a law


def costs(section: Section) -> Part:
    """The cost table."""
    head = ("model", "1 - p", "k, paper", "k, ours", "cost, paper", "cost, ours", "ours to the paper's")
    lines, ratios = [head], []
    for row in section["rows"]:
        line = (row["name"], f"{row['wrong']:.4f}", str(row["paper_k"] or "none"), str(row["k"] or "none"))
        if row["ratio"] is None:
            lines.append((*line, "none", "none", ""))
        else:
            lines.append((*line, dollars(row["paper_cost"]), dollars(row["cost"]), f"{row['ratio']:.3f}"))
            ratios.append(row["ratio"])
    furthest = max(abs(ratio - 1.0) for ratio in ratios)
    same = all(row["k"] == row["paper_k"] for row in section["rows"])
    return Part(
        title="What a million steps cost",
        text=(
            f"What {section['steps']:,} steps cost at a target of {percent(section['target'])}, from the paper's own "
            "error rates: k is from equation 14 of the paper, the cost is c s k / (v (2p - 1)) with v = 1. The "
            f"paper's table has the price of output alone; with {section['input_tokens']} tokens of input at the list "
            f"price as well, all dollars come within {percent(furthest, 1)} of the paper's. A model that is always "
            "wrong has no k."
        ),
        paper="the k and the dollars in the table",
        verdict=AGREES if same and furthest <= WITHIN else DIFFERS,
        section="costs",
        table=tuple(lines),
    )


def success(section: Section) -> Part:
    """The law of success."""
    models = [f"k = {one['k_min']} for {one['model']}" for one in section["against_k"]]
    return Part(
        title="Success against length and margin",
        text=(
            "How probably a whole chain is right, by equation 13. Against its length the probability falls off a "
            "cliff, and each further vote of margin moves the cliff by a factor of p / (1 - p). To decide "
            f"{section['steps']:,} steps correctly with a probability of {percent(section['target'])}, it "
            f"takes {listed(models)}."
        ),
        paper="the same law; nothing is measured here",
        verdict=AGREES,
        section="success",
        figures=(
            ("success-length", "Probability that all steps are right against steps, for three p and several k"),
            ("success-k", "Probability that a million steps are right against k, for the paper's models"),
        ),
    )


def off_law(curve: Section) -> float:
    """How far races are from their law at most, as a share, beyond two standard errors."""
    laws = {row["m"]: row["votes"] for row in curve["law"]}
    apart = [abs(row["votes"] - laws[row["m"]]) - 2 * row["standard_error"] for row in curve["raced"]]
    return max(max(0.0, gap) / row["votes"] for gap, row in zip(apart, curve["raced"], strict=True))


def subtasks(section: Section) -> Part:
    """Cost against m."""
    low = min(one["p"] for one in section["curves"])
    agreeing = [one for one in section["curves"] if one["case"] == "agree"]
    furthest = max(off_law(one) for one in agreeing)
    most = next(one for one in agreeing if one["p"] == low)["law"][-1]
    scattered = next(one for one in section["curves"] if one["p"] == low and one["case"] == "scatter")
    first, last = scattered["raced"][0], scattered["raced"][-1]
    growth, pure = last["votes"] / first["votes"], low ** (first["m"] - last["m"])
    exponential = 1 / 3 < growth / pure < 3
    return Part(
        title="Cost against the size of a subtask",
        text=(
            "What a step costs if one subtask decides m steps, with the writing of one step as the unit. Lines are "
            "formulas; dots are races really held, on answers drawn step by step. If all wrong answers to a subtask "
            "agree, the formulas hold with p^m in place of p (races are within "
            f"{percent(furthest, 1)} of them, chance aside) and the cost runs away: at p = {low} a step costs "
            f"{most['votes']:,.0f} at m = {most['m']}. If wrong answers scatter, the cost of a step grows as p^-m: at "
            f"p = {low} it is {growth:,.0f} times as high at m = {last['m']} as at m = {first['m']}, where the "
            f"formula says {pure:,.0f}. Races are longer there than "
            "k / (p^(m-1) (2p-1)), because rivals are many."
        ),
        paper="the cost is exponential in the steps of a subtask, so m = 1 is best",
        verdict=AGREES if furthest <= WITHIN and exponential else DIFFERS,
        section="subtasks",
        figures=(("subtasks", "Cost of a step against steps of a subtask, logarithmic: straight or steeper lines"),),
    )


def lengths(section: Section) -> Part:
    """Cost against s."""
    embedded, noise = section["curves"]
    solved = sum(row["solved"] for row in embedded["played"])
    games = sum(row["games"] for row in embedded["played"])
    off = []
    for one in (embedded, noise):
        law = {row["disks"]: row["samples_per_step"] for row in one["law"]}
        off.append(max(abs(row["samples_per_step"] / law[row["disks"]] - 1) for row in one["played"]))
    first, last = embedded["played"][0], embedded["played"][-1]
    few, many = noise["played"][0], noise["played"][-1]
    return Part(
        title="Cost against the length of the chain",
        text=(
            f"Samples a step, red-flagged ones too, in whole games of {first['disks']} to {last['disks']} disks "
            f"({first['steps']:,} to {last['steps']:,} steps) that went through the engine, each with the k its "
            f"length asks for. The embedded model's weakest member has p = {embedded['p']:.4f}, so k only goes from "
            f"{first['k']} to {last['k']}; {solved} of {games} games were solved. The noise sampler at p = "
            f"{noise['p']} takes k from {few['k']} to {many['k']}, and a step from {few['samples_per_step']:.2f} to "
            f"{many['samples_per_step']:.2f} samples. They are within {listed([percent(share, 1) for share in off])} "
            "of k / (v (2p - 1)). The whole chain costs s times as much: s ln s, in stairs where k is rounded up."
        ),
        paper="the cost grows as s ln s",
        verdict=AGREES if max(off) <= WITHIN else PARTLY,
        section="lengths",
        figures=(("lengths", "Samples a step against steps, logarithmic: stairs along a straight line"),),
    )
