"""The policy of a run: how its steps are decided. It is fixed for a run and kept in its journal."""

from dataclasses import dataclass, field

from unerring.core.arguments import require_made
from unerring.core.numbers import MAX_TEMPERATURE, require_number, require_whole
from unerring.core.voting.canonical import Json
from unerring.core.voting.race import AheadBy, LogOdds, Rule, rule_named
from unerring.core.voting.redflag import FlagRules
from unerring.core.voting.weights import weights_from
from unerring.errors import InputError

TEMPERATURE_PER_FLAG = 0.1  # each flagged sample raises a temperature of 0 by this, for the next samples
MAX_RAISED_TEMPERATURE = 1.0


@dataclass(frozen=True, slots=True)
class Policy:
    """How each step is decided.

    rule: the voting rule: who wins a race.
    vote_cap: the number of votes after which a step is undecided.
    flag_cap: the number of flagged samples that a step may draw for each vote it has counted or still needs.
    first_temperature: temperature of a step's first sample (paper, section 4: 0).
    later_temperature: temperature of all later samples (paper, section 4: 0.1). Where it is 0, samples after a flagged
        one are drawn at a higher one: a model gives the same answer when asked the same.
    flags: which samples are red-flagged.
    escalate_after: rounds of voting after which an open step goes to the samplers in reserve; None for never.
    min_replies: the number of replies that the votes for a winner must come from, at least. A reply may bring several
        samples, and one that belongs to another request must not decide a step alone. Where one vote wins, one reply
        is enough.
    """

    rule: Rule = field(default_factory=lambda: AheadBy(3))
    vote_cap: int = 60
    flag_cap: int = 20
    first_temperature: float = 0.0
    later_temperature: float = 0.1
    flags: FlagRules = field(default_factory=FlagRules)
    escalate_after: int | None = None
    min_replies: int = 1

    def __post_init__(self) -> None:
        if isinstance(self.rule, type) or not hasattr(self.rule, "lacking"):
            raise InputError(f"rule must be a voting rule, such as unerring.AheadBy(3); got {self.rule!r:.40}")
        require_made("flags", self.flags, FlagRules)
        require_whole("vote_cap", self.vote_cap)
        require_whole("flag_cap", self.flag_cap)
        for name in ("first_temperature", "later_temperature"):
            require_number(name, getattr(self, name), most=MAX_TEMPERATURE)
        if self.escalate_after is not None:
            require_whole("escalate_after", self.escalate_after)
        require_whole("min_replies", self.min_replies)
        if self.vote_cap < self.rule.lacking(0, 0):
            raise InputError(f"a cap of {self.vote_cap} votes is less than the rule ({self.rule.name}) needs to end")

    def temperature(self, slot: int, flagged: int = 0) -> float:
        """Temperature of the step's sample number `slot`, counted from 0.

        `flagged`, the number of flagged samples in earlier rounds, raises a temperature of 0: at 0 the model would
        give the same answer again, and it would be flagged again.
        """
        drawn_at = self.first_temperature if slot == 0 else self.later_temperature
        return min(TEMPERATURE_PER_FLAG * flagged, MAX_RAISED_TEMPERATURE) if drawn_at == 0 and slot > 0 else drawn_at

    @property
    def replies_to_win(self) -> int:
        """The number of replies that a winner's votes must come from: at most the fewest votes that can win."""
        return min(self.min_replies, self.rule.lacking(0, 0))

    def to_json(self) -> dict[str, Json]:
        """JSON data, read back by `policy_from`. Weights of votes are present only for a rule that has them."""
        data: dict[str, Json] = {
            "rule": self.rule.name,
            "vote_cap": self.vote_cap,
            "flag_cap": self.flag_cap,
            "temperatures": [self.first_temperature, self.later_temperature],
            "max_output_tokens": self.flags.max_output_tokens,
            "min_logprob": self.flags.min_logprob,
        }
        if isinstance(self.rule, LogOdds):
            data["weights"] = self.rule.weights.to_json()
        if self.escalate_after is not None:
            data["escalate_after"] = self.escalate_after
        if self.min_replies != 1:  # older journals have no such field
            data["min_replies"] = self.min_replies
        return data


def policy_from(data: dict[str, Json]) -> Policy:
    """The policy that `Policy.to_json` wrote; raises `ValueError` for other data."""
    match data:
        case {
            "rule": str(rule),
            "vote_cap": int(vote_cap),
            "flag_cap": int(flag_cap),
            "temperatures": [int() | float() as first, int() | float() as later],
            "max_output_tokens": int(max_output_tokens),
            "min_logprob": (None | int() | float()) as min_logprob,
        }:
            weights = weights_from(data["weights"]) if "weights" in data else None
            escalate_after = data.get("escalate_after")
            if not isinstance(escalate_after, int | None):
                raise ValueError("escalate_after is not a number of rounds")
            min_replies = data.get("min_replies", 1)
            if type(min_replies) is not int:
                raise ValueError("min_replies is not a number of replies")
            try:
                flags = FlagRules(max_output_tokens, min_logprob)
                named = rule_named(rule, weights)
                return Policy(named, vote_cap, flag_cap, first, later, flags, escalate_after, min_replies)
            except InputError as error:
                raise ValueError(str(error)) from None
    raise ValueError("the policy is not written as this version writes it")
