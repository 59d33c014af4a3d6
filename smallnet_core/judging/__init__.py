"""Judges measurements: a claim and what was measured become a verdict."""

from smallnet_core.judging.intervals import (
    ASSUMED_DEGREES,
    ASSUMED_SEED_DEVIATION,
    difference_measurement,
    interval_95,
    seed_variance,
    t_quantile,
    wilson_interval,
)
from smallnet_core.judging.per_class import FAMILY, report_errors, report_interval
from smallnet_core.judging.rules import judge, not_measured

__all__ = [
    "ASSUMED_DEGREES",
    "ASSUMED_SEED_DEVIATION",
    "FAMILY",
    "difference_measurement",
    "interval_95",
    "judge",
    "not_measured",
    "report_errors",
    "report_interval",
    "seed_variance",
    "t_quantile",
    "wilson_interval",
]
