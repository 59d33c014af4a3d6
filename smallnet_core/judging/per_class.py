"""The numbers of a classification report, and their 95 % intervals."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from smallnet_core.judging.intervals import Z_95

# Gives a standard error to within about 2 %: 1 / sqrt(2 * draws).
_NUM_DRAWS = 1000
_SEED = 0

_Floats: TypeAlias = npt.NDArray[np.float64]

_AVERAGES = {"macro_avg": -2, "weighted_avg": -1, "accuracy": -1}  # behind the classes


def report_value(confusion: npt.ArrayLike, row: int | str, metric: str) -> float:
    """Return one number of the paper's Appendix D; shares are 0 to 1.

    ``confusion``: (C, C) counts, rows the true class. ``row``: a class index, "macro_avg",
    "weighted_avg" or "accuracy" (with the metric of that name, or "support"). ``metric``:
    "precision", "recall", "f1", "support" or "accuracy".
    """
    return float(class_report(confusion)[metric][_place(row)])


def report_interval(
    confusions: Sequence[npt.ArrayLike], row: int | str, metric: str
) -> tuple[float, float]:
    """Return the 95 % interval of a ``report_value`` that is no support, over the seeds' matrices.

    The number of images of each true class is fixed.

    How much one class varies between seeds is not known. The variation between draws of its images
    is used instead, by parametric bootstrap, in 10 ms a seed. Callers that judge several numbers
    together have to correct for that.
    """
    value = statistics.fmean(report_value(counts, row, metric) for counts in confusions)
    errors = [
        float(_errors(np.asarray(counts, np.float64))[metric][_place(row)]) for counts in confusions
    ]
    half = Z_95 * math.hypot(*errors) / len(errors)
    return max(0.0, value - half), min(1.0, value + half)


def _place(row: int | str) -> int:
    return row if isinstance(row, int) else _AVERAGES[row]


def _errors(counts: _Floats) -> dict[str, _Floats]:
    """Return a report's standard errors: (C + 2,), classes and two averages; accuracy is (1,)."""
    support = counts.sum(1)
    classes = len(counts)
    # One more image a class, spread evenly: a cell that is 0 by chance must not have an error of 0.
    shares = (counts + 1 / classes) / (support[:, None] + 1)
    draws = np.random.default_rng(_SEED).multinomial(
        support.astype(np.int64), shares, size=(_NUM_DRAWS, classes)
    )
    return {name: drawn.std(0, ddof=1) for name, drawn in class_report(draws).items()}


def class_report(confusions: npt.ArrayLike) -> dict[str, _Floats]:
    """Return the report of each matrix in (..., C, C), by metric.

    Each is (..., C + 2): the classes, their mean, and their mean by support; of "support" both are
    the sum, and "accuracy" is (..., 1). A class that is never predicted has precision 0.
    """
    counts = np.asarray(confusions, np.float64)
    hits = np.diagonal(counts, axis1=-2, axis2=-1)
    support, predicted = counts.sum(-1), counts.sum(-2)
    num_images = support.sum(-1, keepdims=True)
    report = {
        "precision": hits / np.maximum(predicted, 1),
        "recall": hits / np.maximum(support, 1),
        "f1": 2 * hits / np.maximum(support + predicted, 1),
    }
    for name, values in report.items():
        macro = values.mean(-1, keepdims=True)
        weighted = (values * support).sum(-1, keepdims=True) / num_images
        report[name] = np.concatenate((values, macro, weighted), axis=-1)
    report["support"] = np.concatenate((support, num_images, num_images), axis=-1)
    return {**report, "accuracy": hits.sum(-1, keepdims=True) / num_images}
