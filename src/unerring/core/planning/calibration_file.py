"""Calibration files: counts as JSON data, and for readers the estimates that are computed from the counts."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from unerring.core.planning.calibration import (
    LOGPROB_EDGES,
    Calibration,
    ErrorStep,
    PilotSpend,
    VoterCount,
    VoterOnErrorStep,
)
from unerring.core.planning.estimates import ensemble_estimate, voter_estimate
from unerring.core.request import request_from
from unerring.core.short_text import short
from unerring.core.voting.redflag import FlagRules
from unerring.core.voting.sample import Usage

CALIBRATION_VERSION = 1
MAX_EXACT_COUNT = 10**15  # beyond it, floats no longer distinguish two counts
JUDGES = ("truth", "votes")
_PLAIN_FIELDS = (
    *("process", "parameters", "model", "judged_by", "temperature", "seed", "at_once", "software"),
    *("walked", "at", "asked_for", "samples", "steps", "calls_seconds", "pairs_wrong", "pairs_same"),
)
_VOTER_COUNTS = ("steps", "flagged", "votes", "wrong", "collisions", "same_wrong")


def calibration_json(calibration: Calibration) -> dict[str, Any]:
    """JSON data, read back by `calibration_from`."""
    return {
        "unerring_calibration": CALIBRATION_VERSION,
        **{name: getattr(calibration, name) for name in _PLAIN_FIELDS},
        **({"request": calibration.request} if calibration.request else {}),
        "flag_rules": asdict(calibration.flag_rules),
        "bin_edges": list(LOGPROB_EDGES),
        "voters": [_voter_json(voter) for voter in calibration.voters],
        "troubles": [
            [step.step, step.right, step.rival, [[t.right, t.wrong, int(t.first_wrong), t.rival] for t in step.voters]]
            for step in calibration.error_steps
        ],
        **({} if calibration.spent is None else {"spent": asdict(calibration.spent)}),
        "figures": figures(calibration),
    }


def figures(calibration: Calibration) -> dict[str, Any]:
    """Figures that follow from the counts, for people and other programs; never read back."""
    each = [voter_estimate(calibration, number) for number in range(len(calibration.voters))]
    together = ensemble_estimate(calibration) if len(each) > 1 else None
    return {
        "voters": [asdict(one) for one in each],
        "ensemble": None if together is None else asdict(together),
        "latency_seconds": calibration.latency,
    }


def calibration_from(data: object) -> Calibration:
    """Read what `calibration_json` wrote; raises `ValueError`, with what is wrong, for anything else."""
    if not isinstance(data, Mapping) or "unerring_calibration" not in data:
        raise ValueError("it is no calibration; unerring calibrate writes them")
    if data["unerring_calibration"] != CALIBRATION_VERSION:
        raise ValueError(
            f"it has version {short(data['unerring_calibration'])}, not {CALIBRATION_VERSION}; calibrate again"
        )
    try:
        if data["bin_edges"] != list(LOGPROB_EDGES):
            raise ValueError("its votes are parted otherwise; calibrate again")
        voters = [_voter(one) for one in data["voters"]]
        error_steps = [_error_step(*one) for one in data["troubles"]]
        plain = {name: data[name] for name in _PLAIN_FIELDS}
        request = request_from(data.get("request")).to_json()
        calibration = Calibration(
            **plain,
            request=request,
            flag_rules=_flag_rules(data["flag_rules"]),
            voters=voters,
            error_steps=error_steps,
            spent=_spent(data.get("spent")),
        )
        _check_plain(calibration)
        _check_counts(calibration)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"it is not written as a calibration is ({type(error).__name__}: {error})") from None
    return calibration


def _voter_json(voter: VoterCount) -> dict[str, Any]:
    return {
        "name": voter.name,
        **{name: getattr(voter, name) for name in _VOTER_COUNTS},
        "tokens": [voter.usage.input_tokens, voter.usage.output_tokens],
        "flags": dict(voter.flags),
        "bins": voter.bins,
    }


def _voter(data: Any) -> VoterCount:
    counts = {name: _count(data[name]) for name in _VOTER_COUNTS}
    flags = Counter({str(cause): _count(times) for cause, times in data["flags"].items()})
    bins = [[_count(right), _count(wrong)] for right, wrong in data["bins"]]
    if len(bins) != len(LOGPROB_EDGES) + 2:
        raise ValueError("a voter's votes are not parted as they should be")
    if not isinstance(data["name"], str):
        raise ValueError(f"{short(data['name'])} is no name of a voter")
    read, written = data["tokens"]
    return VoterCount(data["name"], **counts, usage=Usage(_count(read), _count(written)), flags=flags, bins=bins)


def _error_step(step: Any, right: Any, rival: Any, voters: Any) -> ErrorStep:
    each = tuple(
        VoterOnErrorStep(_count(r), _count(w), _count(first) > 0, _count(other)) for r, w, first, other in voters
    )
    return ErrorStep(_count(step), each, _count(right), _count(rival))


def _spent(data: Any) -> PilotSpend | None:
    """What its calls cost, for people; the pilot's own journal enforces its budget."""
    if data is None:
        return None
    counts = {name: _count(data[name]) for name in ("calls", "tokens", "unknown_calls")}
    dollars = {name: data[name] for name in ("dollars", "unknown_dollars")}
    for value in dollars.values():
        if value is not None and (type(value) not in {int, float} or not 0 <= value <= MAX_EXACT_COUNT):
            raise ValueError(f"{short(value)} is no sum of dollars")
    return PilotSpend(**counts, **dollars)


def _flag_rules(data: Any) -> FlagRules:
    longest, floor = data["max_output_tokens"], data["min_logprob"]
    if floor is not None and (type(floor) not in {int, float} or not -MAX_EXACT_COUNT <= floor <= MAX_EXACT_COUNT):
        raise ValueError(f"{short(floor)} is no log-probability")
    return FlagRules(_count(longest), floor)


def _count(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= MAX_EXACT_COUNT:
        raise ValueError(f"{short(value)} is no count")
    return value


def _check_plain(calibration: Calibration) -> None:
    """Check the values that are not counts."""
    for name in ("process", "model", "software"):
        if not isinstance(getattr(calibration, name), str):
            raise ValueError(f"{short(getattr(calibration, name))} is no {name}")
    for name in ("temperature", "calls_seconds"):
        value = getattr(calibration, name)
        if type(value) not in {int, float} or not 0 <= value <= MAX_EXACT_COUNT:
            raise ValueError(f"{short(value)} is no number of {name}, from 0 up")
    if not isinstance(calibration.parameters, dict):
        raise ValueError(f"{short(calibration.parameters)} are no parameters of a process")
    if calibration.judged_by not in JUDGES:
        raise ValueError(f"{short(calibration.judged_by)} is no judge; it is one of {', '.join(JUDGES)}")
    if type(calibration.walked) is not bool or type(calibration.seed) is not int:
        raise ValueError("its seed, or whether it was walked, is not what it should be")


def _check_counts(calibration: Calibration) -> None:
    """Refuse counts that contradict each other: a plan would be computed from them."""
    for name in ("at_once", "asked_for", "samples", "steps", "pairs_wrong", "pairs_same"):
        _count(getattr(calibration, name))
    if not calibration.voters or not calibration.at_once:
        raise ValueError("it has no voters, or none was ever asked")
    steps = calibration.steps
    if not calibration.pairs_same <= calibration.pairs_wrong <= steps or calibration.samples < steps:
        raise ValueError("its counts of steps, samples and pairs contradict each other")
    for step in calibration.error_steps:
        if len(step.voters) != len(calibration.voters):
            raise ValueError("a step does not have all voters")
        if any(one.rival > one.later_wrong or one.first_wrong > one.wrong for one in step.voters):
            raise ValueError(f"the counts of step {step.step} contradict each other")
    for number, voter in enumerate(calibration.voters):
        errors = sum(step.voters[number].first_wrong for step in calibration.error_steps)
        if not (
            voter.same_wrong <= voter.collisions <= voter.wrong <= voter.votes <= voter.steps == steps
            and voter.flagged == sum(voter.flags.values()) <= steps
            and (voter.votes, voter.wrong) == (sum(map(sum, voter.bins)), sum(wrong for _, wrong in voter.bins))
            and voter.wrong == errors
        ):
            raise ValueError(f"the counts of voter {short(voter.name)} contradict each other")
