"""The 95 % intervals of the numbers of a classification report."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

_Z_95 = statistics.NormalDist().inv_cdf(0.975)

# Gives a standard error to within about 2 %: 1 / sqrt(2 * draws).
_NUM_DRAWS = 1000
_SEED = 0

_Floats: TypeAlias = npt.NDArray[np.float64]
_Row: TypeAlias = int | str


def report_interval(
    confusions: Sequence[npt.ArrayLike], row: _Row, metric: str
) -> tuple[float, float]:
    """Return the 95 % interval of one number of a report, 0 to 1, over the seeds' matrices.

    ``confusions``: (C, C) counts, rows the true class, whose number of images is fixed. ``row``: a
    class index, "macro_avg", "weighted_avg" or "accuracy" (with the metric of that name).
    ``metric``: "precision", "recall", "f1" or "accuracy".

    How much one class varies between seeds is not known. The variation between draws of its images
    is used instead, by parametric bootstrap, in 10 ms a seed. Callers that judge several numbers
    together have to correct for that.
    """
    matrices = [_checked(confusion) for confusion in confusions]
    indices = [_index(row, metric, len(counts)) for counts in matrices]
    at = list(zip(matrices, indices, strict=True))
    value = statistics.fmean(float(_report(counts)[metric][index]) for counts, index in at)
    errors = [float(_errors(counts)[metric][index]) for counts, index in at]
    half = _Z_95 * math.hypot(*errors) / len(errors)
    return max(0.0, value - half), min(1.0, value + half)


def _errors(counts: _Floats) -> dict[str, _Floats]:
    """Return a report's standard errors: (C + 2,), classes and two averages; accuracy is (1,)."""
    support = counts.sum(1)
    classes = len(counts)
    # One more image a class, spread evenly: a cell that is 0 by chance must not have an error of 0.
    shares = (counts + 1 / classes) / (support[:, None] + 1)
    draws = np.random.default_rng(_SEED).multinomial(
        support.astype(np.int64), shares, size=(_NUM_DRAWS, classes)
    )
    return {name: drawn.std(0, ddof=1) for name, drawn in _report(draws.astype(float)).items()}


def _report(counts: _Floats) -> dict[str, _Floats]:
    """Return the report of each matrix in (..., C, C); a class never predicted has precision 0."""
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
        raise ValueError(f"a confusion matrix must be square, got {counts.shape}")
    if not (counts >= 0).all() or (counts != np.floor(counts)).any() or not counts.any():
        raise ValueError("a confusion matrix must hold counts of images, some of them above 0")
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
        f"no row {row!r} with metric {metric!r} in a report: expected precision, recall or f1 of a "
        f"class index below {classes}, macro_avg or weighted_avg; or accuracy of accuracy"
    )
