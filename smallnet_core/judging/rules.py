"""Claim and measurement in, verdict out: the rules of ``records.Rule``.

The intervals are of the level that this recipe reaches, on test images like these and over seeds;
the paper's own number is taken as printed, but for a classification report (``report_interval``).
"""

from __future__ import annotations

from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal

from smallnet_core.judging.intervals import deviation_of, interval_95, mean_of, not_finite
from smallnet_core.records import Claim, Measurement, Rule, Status, Verdict


def judge(claim: Claim, measurement: Measurement) -> Verdict:
    """Hold ``measurement`` against ``claim`` by the claim's rule; ValueError if their units differ.

    ABOVE and BELOW are UNDECIDED while the interval lies on both sides of the claimed value.
    A value that is not finite is MISSED, without numbers.
    """
    if measurement.unit != claim.unit:
        raise ValueError(
            f"{claim.id}: claimed in {claim.unit!r}, measured in {measurement.unit!r}: convert it"
        )
    if problem := not_finite(measurement):
        return Verdict(claim=claim, status=Status.MISSED, reason=problem, measurement=measurement)

    mean = mean_of(measurement.values)
    interval = interval_95(measurement)
    status, reason = _decide(claim, measurement, mean, interval)
    return Verdict(
        claim=claim,
        status=status,
        reason=reason,
        measurement=measurement,
        measured=mean,
        deviation=deviation_of(measurement.values),
        difference=mean - claim.paper_value,
        interval=interval,
    )


def not_measured(claim: Claim, reason: str) -> Verdict:
    """The verdict on a claim that nothing was measured for; ValueError for an empty reason."""
    line = " ".join(reason.split())
    if not line:
        raise ValueError(f"{claim.id}: not measured, and no reason given: say why in one line")
    return Verdict(claim=claim, status=Status.NOT_MEASURED, reason=line)


def _decide(
    claim: Claim, measurement: Measurement, mean: float, interval: tuple[float, float]
) -> tuple[Status, str]:
    low, high = interval
    unit, paper = claim.unit, claim.paper_value
    claimed = f"the claimed {_printed(paper, unit)}"
    found = _found(measurement, mean, interval)

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

        case Rule.AT_LEAST:
            lowest, highest = _printed_range(claim)
            if high < lowest:
                return Status.MISSED, f"{found} is below {claimed}"
            if low > highest:
                return Status.EXCEEDED, f"{found} is above {claimed}"
            return Status.REPRODUCED, f"{found} agrees with {claimed}"

        case Rule.ABOVE | Rule.BELOW:
            side = claim.rule.value
            holds, fails = low > paper, high < paper
            if claim.rule is Rule.BELOW:
                holds, fails = fails, holds
            limit = _printed(paper, unit)
            if holds:
                return Status.REPRODUCED, f"{found} is {side} {limit}"
            if fails or low == high:  # a count that equals the threshold is not beyond it
                return Status.MISSED, f"{found} is not {side} {limit}"
            # Two seeds are wider than one (see interval_95): never send anyone there.
            seeds = max(5, 2 * max(_num_seeds(measurement)))
            return (
                Status.UNDECIDED,
                f"undecided whether {side} {limit}: {found}; --seeds {seeds} narrows it",
            )

        case Rule.FAILS:
            assert claim.refuted_above is not None, "Claim checks it"
            bar = _printed(claim.refuted_above, unit)
            if low > claim.refuted_above:
                return Status.REFUTED, f"{found} is above {bar}: it works, and is claimed not to"
            if low > _printed_range(claim)[1]:
                return Status.REPRODUCED, f"{found} is above {claimed}, yet not clear of {bar}"
            return Status.REPRODUCED, f"{found} is no better than {claimed}"


def _printed_range(claim: Claim) -> tuple[float, float]:
    """What the paper's value may have been before printing: 94.13 stands for 94.125 to 94.135."""
    # In decimals: 94.13 - 0.005 in floats may fall on either side of 94.125.
    paper, slack = _decimal(claim.paper_value), _decimal(claim.resolution) / 2
    return float(paper - slack), float(paper + slack)


def _rounds_to(value: float, paper_value: float, resolution: float) -> bool:
    """Whether any of the usual ways to print ``value`` at ``resolution`` gives ``paper_value``."""
    if resolution <= 0:
        raise ValueError(f"Rule.ROUNDED needs a resolution above 0, got {resolution}")
    # In decimals: 0.29 / 0.01 is 28.999999999999996 in floats, and would be cut off to 28.
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
    """A measured value with its unit; whole numbers of a count stay whole."""
    if unit in ("%", "points", "MiB"):
        return f"{value:z,.2f} {unit}"
    if unit == "":
        return f"{value:z.3f}"
    return f"{value:z,.{0 if value == int(value) else 2}f} {unit}"


def _printed(value: float, unit: str) -> str:
    """A value of the paper with its unit, with the digits that it has there."""
    return f"{value:,.12g} {unit}".rstrip()


def _found(measurement: Measurement, mean: float, interval: tuple[float, float]) -> str:
    unit = measurement.unit
    text = _number(mean, unit)
    low, high = interval
    if low == high:
        return text
    bare = (_number(end, unit).removesuffix(unit).rstrip() for end in interval)
    return f"{text} ({' to '.join(bare)}) over {_seeds(measurement)}"


def _num_seeds(measurement: Measurement) -> tuple[int, int]:
    """Of the two sides of a difference, else the same number twice."""
    first, second = measurement.details.get("num_seeds", (len(measurement.values),) * 2)
    return first, second


def _seeds(measurement: Measurement) -> str:
    first, second = _num_seeds(measurement)
    if first != second:
        return f"{first} against {second} seeds"
    return f"{first} seed{'s' if first > 1 else ''}"
