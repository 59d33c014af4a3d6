"""From logits to accuracy, confusion matrix and per-class report."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from smallnet_core.data.batches import normalise

__all__ = ["PerClassReport", "accuracy_percent", "confusion_matrix", "per_class_report", "predict"]

# Small enough that 32 x 32 activations of the large networks stay in the cache of a CPU.
EVALUATION_BATCH_SIZE = 500


@torch.no_grad()
def predict(
    model: nn.Module,
    images: Tensor,
    *,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Logits (N, classes) float32 of uint8 images (N, 3, H, W), on the images' device.

    Runs in evaluation mode and leaves the model's mode as it was; bfloat16 means autocast.
    """
    was_training = model.training
    model.eval()
    with torch.autocast(images.device.type, torch.bfloat16, enabled=dtype == torch.bfloat16):
        logits = [
            model(normalise(batch, mean, std, dtype)).float()
            for batch in images.split(EVALUATION_BATCH_SIZE)
        ]
    model.train(was_training)
    return torch.cat(logits)


def accuracy_percent(logits: Tensor, labels: Tensor) -> float:
    """Share of rows of ``logits`` (N, classes) whose largest entry is at ``labels`` (N,)."""
    return 100.0 * (logits.argmax(1) == labels).sum().item() / len(labels)


def confusion_matrix(logits: Tensor, labels: Tensor) -> Tensor:
    """Counts (classes, classes) int64 on the CPU: row the true class, column the predicted."""
    classes = logits.shape[1]
    flat = labels * classes + logits.argmax(1)
    return torch.bincount(flat, minlength=classes**2).view(classes, classes).cpu()


@dataclass(frozen=True, kw_only=True)
class PerClassReport:
    """The paper's appendix D: one entry a class, and their averages. Shares are 0 to 1."""

    precision: Tensor  # (classes,) float64; 0 for a class that is never predicted
    recall: Tensor
    f1: Tensor
    support: Tensor  # (classes,) int64

    @property
    def accuracy(self) -> float:
        return float((self.recall * self.support).sum() / self.support.sum())

    def value(self, row: str | int, metric: str) -> float:
        """``row``: a class index, "macro_avg", "weighted_avg" or "accuracy"."""
        if row == "accuracy":
            return float(self.support.sum()) if metric == "support" else self.accuracy
        values: Tensor = getattr(self, metric)
        if isinstance(row, int):
            return float(values[row])
        if row not in ("macro_avg", "weighted_avg"):
            raise ValueError(
                f"unknown row {row!r}: a class index, macro_avg, weighted_avg or accuracy"
            )
        if metric == "support":
            return float(values.sum())
        if row == "macro_avg":
            return float(values.mean())
        return float((values * self.support).sum() / self.support.sum())


def per_class_report(confusion: Tensor) -> PerClassReport:
    """Precision, recall, f1 and support from a confusion matrix (rows true, columns predicted)."""
    counts = confusion.double()
    hits, support, predicted = counts.diagonal(), counts.sum(1), counts.sum(0)
    return PerClassReport(
        precision=hits / predicted.clamp(min=1),
        recall=hits / support.clamp(min=1),
        f1=2 * hits / (support + predicted).clamp(min=1),
        support=confusion.sum(1),
    )
