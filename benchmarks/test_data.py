"""What the paper says about its datasets.

Claims: Section 2. Hardware: any; needs CIFAR. Takes seconds.
"""

from __future__ import annotations

import pytest

from smallnet_core.claims import by_source
from smallnet_core.plugin import claim_params
from smallnet_core.records import Measurement, NotMeasured


@pytest.mark.parametrize("claim_id", claim_params(by_source("Section 2")))
def test_dataset(claim, workbench, judge, benchmark):
    if claim.not_measured:
        raise NotMeasured(claim.not_measured)
    benchmark.group = "counting"
    data = benchmark.pedantic(workbench.dataset, args=(claim.dataset,), rounds=1, iterations=1)
    train, test = data.train_labels.bincount(), data.test_labels.bincount()
    counts = {
        "num_images": [len(data.train_images) + len(data.test_images)],
        "num_train_images": [len(data.train_images)],
        "num_test_images": [len(data.test_images)],
        "image_size": data.train_images.shape[2:],
        "num_channels": [data.train_images.shape[1]],
        "num_classes": [len(train)],
        "num_superclasses": [len(data.coarse_names)],
        # One value per class, as the claim must hold for each.
        "images_per_class": (train + test).tolist(),
        "train_images_per_class": train.tolist(),
        "test_images_per_class": test.tolist(),
    }
    # Equal values of all classes, the expected case, become one.
    values = tuple(sorted({float(value) for value in counts[claim.metric]}))
    judge(claim, Measurement(values=values, unit=claim.unit, details={"digests": data.digests}))
