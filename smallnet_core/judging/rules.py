"""The rules of ``records.Rule``, as the package's docstring specifies them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal

from smallnet_core.claims import known_misses
from smallnet_core.claims.names import CHANCE_PERCENT
from smallnet_core.judging.intervals import (
    ASSUMED_DEGREES,
    ASSUMED_SEED_DEVIATION,
    deviation_of,
    interval_95,
    t_quantile,
)
from smallnet_core.records import Claim, Measurement, NotMeasured, Rule, Status, Verdict

# A classification report prints about 50 numbers: at 95 % each, two or three of them would be
# misjudged by chance alone. Their intervals are widened here, once, to hold for all of them.
_OF_A_REPORT = {"precision", "recall", "f1", "accuracy"}
_FAMILY_FACTOR = 3.2905 / 1.9600  # normal quantiles of 1 - 0.025 / 50 and of 0.975

# Nobody trains more seeds; a claim that needs more is called too close.
_MAX_ADVISED_SEEDS = 30


def judge(claim: Claim, measurement: Measurement) -> Verdict:
    """Judge ``measurement`` by the rule of ``claim``; ValueError if their units differ.

    A value that is not finite is MISSED, without numbers.
    """
    if measurement.unit != claim.unit:
        raise ValueError(
            f"{claim.id}: claimed in {claim.unit!r}, measured in {measurement.unit!r}: convert it"
        )
    for value in measurement.values:
        if not math.isfinite(value):
            reason = f"measured {value}: not a finite number"
            return Verdict(
                claim=claim, status=Status.MISSED, reason=reason, measurement=measurement
            )

    mean = measurement.mean
    interval = interval_95(measurement)
    status, reason = _decide(claim, measurement, interval)
    origins = set(measurement.details.get("origins", ()))
    # Known misses are of shipped weights: weights trained here are not known to miss anything.
    shipped = bool(origins) and origins <= {"zoo", "recorded"}
    expected = shipped and known_misses.is_known(claim, mean)
    return Verdict(
        claim=claim,
        status=status,
        reason=reason,
        measurement=measurement,
        measured=mean,
        deviation=deviation_of(measurement.values),
        difference=mean - claim.paper_value,
        interval=interval,
        expected_miss=status is Status.MISSED and expected,
    )


def best_of(claim: Claim, found: Iterable[Measurement], *, unmeasured: int) -> Measurement:
    """Return the measurement with the highest mean, for a claim about the best of several.

    Raise NotMeasured if any of the ``unmeasured`` ones could change the verdict.
    """
    found = list(found)
    best = max(found, key=lambda one: one.mean)
    verdict = judge(claim, best)
    settled = {Status.REFUTED} if claim.rule is Rule.FAILS else {Status.REPRODUCED, Status.EXCEEDED}
    if unmeasured and verdict.status not in settled:
        total = len(found) + unmeasured
        raise NotMeasured(f"only {len(found)} of {total} were measured: {verdict.reason}")
    return best


def held_to_record(verdict: Verdict, recorded: Status, recorded_value: float) -> Verdict:
    """Return MISSED for a failure that our record of the same recipes refutes, else ``verdict``."""
    if verdict.claim.rule is not Rule.FAILS or recorded is not Status.REFUTED:
        return verdict
    if verdict.status not in (Status.REPRODUCED, Status.UNDECIDED):
        return verdict
    record = _number(recorded_value, verdict.claim.unit)
    reason = f"{verdict.reason}; our record of it has {record}: what was measured here is broken"
    return replace(verdict, status=Status.MISSED, reason=reason)


def not_measured(claim: Claim, reason: str) -> Verdict:
    """Return the verdict on a claim without a measurement; ValueError for an empty reason."""
    line = " ".join(reason.split())
    if not line:
        raise ValueError(f"{claim.id}: not measured, and no reason given: say why in one line")
    return Verdict(claim=claim, status=Status.NOT_MEASURED, reason=line)


def _decide(
    claim: Claim, measurement: Measurement, interval: tuple[float, float]
) -> tuple[Status, str]:
    low, high = interval
    unit, paper, mean = claim.unit, claim.paper_value, measurement.mean
    limit = _printed(paper, unit)
    claimed = f"the claimed {limit}"
    found = _found(measurement, interval)

    if dead := _have_not_learnt(claim, measurement):
        return Status.MISSED, f"{found} decides nothing: {dead} has not learnt"

    match claim.rule:
        case Rule.EXACT:
            differing = [value for value in measurement.values if value != paper]
            if not differing:
                return Status.REPRODUCED, f"{found} is exactly {claimed}"
            return Status.MISSED, f"{_number(differing[0], unit)} is not {claimed}"

        case Rule.ROUNDED:
            precision = _printed(claim.resolution, unit)
            if _rounds_to(mean, paper, claim.resolution):
                return Status.REPRODUCED, f"{found} is {claimed} to a precision of {precision}"
            return Status.MISSED, f"{found} is not {claimed}, even to a precision of {precision}"

        case Rule.LIMIT:
            value = _number(mean, unit)
            # 89.27 - 89.4 is a little less than -0.13 in floats.
            if mean >= paper - 1e-9 * max(1.0, abs(paper)):
                return Status.REPRODUCED, f"{value} is at least {limit}, on these images"
            return Status.MISSED, f"{value} is below {limit}, on these images"

        case Rule.AT_LEAST:
            return _at_least(claim, measurement, interval)

        case Rule.ABOVE | Rule.BELOW:
            side = claim.rule.value
            holds, fails = low > paper, high < paper
            if claim.rule is Rule.BELOW:
                holds, fails = fails, holds
            if holds:
                return Status.REPRODUCED, f"{found} is {side} {limit}"
            if fails or low == high:  # a count that equals the threshold is not beyond it
                return Status.MISSED, f"{found} is not {side} {limit}"
            remedy = _remedy(measurement, interval, paper)
            return Status.UNDECIDED, f"undecided whether {side} {limit}: {found}; {remedy}"

        case Rule.FAILS:
            assert claim.refuted_above is not None, "Claim checks it"
            bar = _printed(claim.refuted_above, unit)
            if low > claim.refuted_above:
                return Status.REFUTED, f"{found} is above {bar}: it works, and is claimed not to"
            if high > claim.refuted_above:
                remedy = _remedy(measurement, interval, claim.refuted_above)
                return Status.UNDECIDED, f"undecided whether above {bar}: {found}; {remedy}"
            if low > _printed_range(claim)[1]:
                return Status.REPRODUCED, f"{found} is above {claimed}, yet not above {bar}"
            return Status.REPRODUCED, f"{found} is no better than {claimed}"


def _at_least(
    claim: Claim, measurement: Measurement, interval: tuple[float, float]
) -> tuple[Status, str]:
    """Decide by the interval that covers our runs and the paper's single one."""
    mean = measurement.mean
    claimed = f"the claimed {_printed(claim.paper_value, claim.unit)}"
    lowest, highest = _printed_range(claim)
    below, above = mean - interval[0], interval[1] - mean
    if claim.unit in ("%", "points"):
        papers = t_quantile(ASSUMED_DEGREES) * ASSUMED_SEED_DEVIATION
        below, above = math.hypot(below, papers), math.hypot(above, papers)
    else:  # the paper's number is as uncertain as one seed of ours
        factor = math.sqrt(1 + len(measurement.values))
        factor *= _FAMILY_FACTOR if claim.metric in _OF_A_REPORT else 1
        below, above = below * factor, above * factor
    found = _found(measurement, (mean - below, mean + above))
    found += " and the paper's own" if below or above else ""
    if mean + above < lowest:
        return Status.MISSED, f"{found} is below {claimed}"
    if mean - below <= highest:
        return Status.REPRODUCED, f"{found} agrees with {claimed}"
    papers_percent = claim.details.get("paper_percent", -math.inf)
    left = measurement.details.get("minuend_percent", math.inf)
    if left < papers_percent:
        return (
            Status.REPRODUCED,
            f"{found} is above {claimed}, and ends at {_number(left, '%')}, "
            f"below {_printed(papers_percent, '%')}",
        )
    return Status.EXCEEDED, f"{found} is above {claimed}"


def _have_not_learnt(claim: Claim, measurement: Measurement) -> str:
    """Name a trained side of a difference that is within twice chance; "" for none.

    A side that was only pruned may fall that low: how low is what its claim is about.
    """
    bar = 2 * CHANCE_PERCENT.get(claim.dataset or "", 0.0)
    for name in ("minuend", "subtrahend"):
        percent = measurement.details.get(f"{name}_percent", math.inf)
        if percent <= bar and "technique" not in claim.details.get(name, {"technique": ""}):
            return f"the {name}, with {_number(percent, '%')},"
    return ""


def _remedy(measurement: Measurement, interval: tuple[float, float], limit: float) -> str:
    """Say what would decide on which side of ``limit`` the mean lies."""
    mean = measurement.mean
    if "technique" in measurement.details:
        return "a curve is of one network, whatever --seeds says"
    images = measurement.details.get("images_points", 0.0)
    half = interval[1] - mean if limit > mean else mean - interval[0]
    room = (mean - limit) ** 2 - images**2
    if room <= 0:
        return "no number of seeds decides it on these images"
    seeds = max(_num_seeds(measurement)) * (half**2 - images**2) / room
    if seeds > _MAX_ADVISED_SEEDS:
        return f"too close for {_MAX_ADVISED_SEEDS} seeds"
    return f"--seeds {math.floor(seeds) + 1} would decide it, with the same mean"


def _printed_range(claim: Claim) -> tuple[float, float]:
    """Return the range that rounds to the paper's value: 94.125 to 94.135 for 94.13."""
    # In decimals: in floats 94.13 - 0.005 may fall on either side of 94.125.
    paper, slack = _decimal(claim.paper_value), _decimal(claim.resolution) / 2
    return float(paper - slack), float(paper + slack)


def _rounds_to(value: float, paper_value: float, resolution: float) -> bool:
    """Tell whether ``value``, rounded or cut off at ``resolution``, gives ``paper_value``."""
    # In decimals: in floats 0.29 / 0.01 is 28.999999999999996, which would be cut off to 28.
    unit = _decimal(resolution)
    steps = _decimal(value) / unit
    return any(
        steps.to_integral_value(rounding) * unit == _decimal(paper_value)
        for rounding in (ROUND_HALF_UP, ROUND_DOWN)  # rounding half to even gives one of the two
    )


def _decimal(value: float) -> Decimal:
    return Decimal(repr(float(value)))


# Wording


def _number(value: float, unit: str) -> str:
    """Format a measured value with its unit; whole counts stay whole."""
    if unit in ("%", "points", "MiB"):
        return f"{value:z,.2f} {unit}"
    if unit == "":
        return f"{value:z.3f}"
    return f"{value:z,.{0 if value == int(value) else 2}f} {unit}"


def _printed(value: float, unit: str) -> str:
    """Format a value of the paper with its unit, in the digits that the paper prints."""
    return f"{value:,.12g} {unit}".rstrip()


def _found(measurement: Measurement, interval: tuple[float, float]) -> str:
    unit = measurement.unit
    text = _number(measurement.mean, unit)
    low, high = interval
    if low == high:
        return text
    bare = (_number(end, unit).removesuffix(unit).rstrip() for end in interval)
    first, second = _num_seeds(measurement)
    seeds = f"{first} seed{'s' if first > 1 else ''}"
    if first != second:
        seeds = f"{first} against {second} seeds"
    return f"{text} ({' to '.join(bare)}) over {seeds}"


def _num_seeds(measurement: Measurement) -> tuple[int, int]:
    """Return the number of seeds of a difference's two sides, else the same number twice."""
    first, second = measurement.details.get("num_seeds", (len(measurement.values),) * 2)
    return first, second
