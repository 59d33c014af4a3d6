"""How well the numbers of a classification report are known."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

# A classification report holds about 50 numbers (precision, recall, f1 of ten classes, their
# averages): at 95 % each, two or three of them would be misjudged by chance alone.
FAMILY = 50
_Z_FAMILY = statistics.NormalDist().inv_cdf(1 - 0.05 / (2 * FAMILY))  # 3.29

# Knows a standard error to about 2 % of itself: 1 / sqrt(2 * draws).
_NUM_DRAWS = 1000
_SEED = 0

_Floats: TypeAlias = npt.NDArray[np.float64]
_Row: TypeAlias = int | str


def report_errors(confusion: npt.ArrayLike) -> dict[str, _Floats]:
    """Standard errors of a classification report, by parametric bootstrap of its test images.

    ``confusion`` (C, C) counts of one seed, rows the true class, whose number of images is fixed.
    Precision, recall and f1 are (C + 2,): the classes, macro_avg, weighted_avg; accuracy is (1,).
    Takes about 10 ms for ten classes: compute it once for a report's claims.
    """
    counts = _checked(confusion)
    support = counts.sum(1)
    classes = len(counts)
    # One image more a class, spread evenly: a cell that is 0 by luck must not have an error of 0.
    shares = (counts + 1 / classes) / (support[:, None] + 1)
    draws = np.random.default_rng(_SEED).multinomial(
        support.astype(np.int64), shares, size=(_NUM_DRAWS, classes)
    )
    return {name: drawn.std(0, ddof=1) for name, drawn in _report(draws.astype(float)).items()}


def report_interval(
    confusion: npt.ArrayLike,
    row: _Row,
    metric: str,
    errors: Mapping[str, _Floats] | None = None,
) -> tuple[float, float]:
    """Interval of one number of a report, 0 to 1; simultaneously 95 % for all ``FAMILY`` of them.

    ``row``: a class index, "macro_avg", "weighted_avg" or "accuracy" (with that metric too).
    ``metric``: "precision", "recall", "f1" or "accuracy". ``errors``: of ``report_errors``, for
    this confusion. Wider by sqrt(2) than this report's own error, for the paper's report is a draw
    like this one; that draw stands for the seed too, whose share of one class is not known.
    """
    counts = _checked(confusion)
    index = _index(row, metric, len(counts))
    if errors is None:
        errors = report_errors(counts)
    value = float(_report(counts)[metric][index])
    half = _Z_FAMILY * math.sqrt(2) * float(errors[metric][index])
    return max(0.0, value - half), min(1.0, value + half)


def _report(counts: _Floats) -> dict[str, _Floats]:
    """The report of each matrix in (..., C, C); a class never predicted has precision 0."""
    hits = np.diagonal(counts, axis1=-2, axis2=-1)
    support, predicted = counts.sum(-1), counts.sum(-2)
    metrics = {
        "precision": hits / np.maximum(predicted, 1),
        "recall": hits / np.maximum(support, 1),
        "f1": 2 * hits / np.maximum(support + predicted, 1),
    }
    num_images = support.sum(-1, keepdims=True)
    report = {
        name: np.concatenate(
            (
                values,
                values.mean(-1, keepdims=True),
                (values * support).sum(-1, keepdims=True) / num_images,
            ),
            axis=-1,
        )
        for name, values in metrics.items()
    }
    report["accuracy"] = hits.sum(-1, keepdims=True) / num_images
    return report


def _checked(confusion: npt.ArrayLike) -> _Floats:
    counts = np.asarray(confusion, dtype=np.float64)
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1]:
        raise ValueError(f"a confusion matrix is square, got {counts.shape}")
    if not (counts >= 0).all() or (counts != np.floor(counts)).any() or not counts.any():
        raise ValueError("a confusion matrix holds counts of images, some of them above 0")
    return counts


def _index(row: _Row, metric: str, classes: int) -> int:
    if metric == "accuracy" and row == "accuracy":
        return 0
    if metric in ("precision", "recall", "f1"):
        if isinstance(row, int) and 0 <= row < classes:
            return row
        if row in ("macro_avg", "weighted_avg"):
            return classes + ("macro_avg", "weighted_avg").index(str(row))
    raise ValueError(
        f"no row {row!r} with metric {metric!r} in a report: precision, recall and f1 of a class "
        f"index below {classes}, macro_avg or weighted_avg; or accuracy of accuracy"
    )
