"""--offline."""

from __future__ import annotations

import pytest

from smallnet_core.data import datasets
from smallnet_core.data.sources import DatasetNotFound


@pytest.fixture
def downloads(monkeypatch):
    """Who tried to download; nothing ever comes."""
    asked = []

    def download(spec, root):
        asked.append(spec.name)
        raise DatasetNotFound(f"{spec.title} cannot be downloaded (no network)")

    monkeypatch.setattr(datasets, "download", download)
    return asked


def test_offline_no_download_is_tried_and_the_line_says_what_to_put_where(suite, downloads):
    result = suite.benchmarks("table2/ or table5/", "--offline", "-rs")
    result.assert_outcomes(skipped=12)
    assert result.ret == 0 and downloads == []
    reasons = {row["claim"]: row["reason"] for row in suite.rows(result)}
    assert len(reasons) == 12
    where = suite.home / ".cache" / "smallnet" / "data"
    assert reasons["table2/resnet18_s-adam"] == (
        f"CIFAR-10 is not in {where}: put cifar-10-batches-py/ or cifar-10-batches-bin/ there, "
        "or allow the download"
    )
    assert "cifar-100-python/ or cifar-100-binary/" in reasons["table5/vit-adam"]


def test_else_a_download_is_tried_once_a_dataset(suite, downloads):
    result = suite.benchmarks("table2/ or table3/")
    result.assert_outcomes(skipped=12)
    assert downloads == ["cifar10", "cifar100"]
    assert {row["reason"] for row in suite.rows(result)} == {
        "CIFAR-10 cannot be downloaded (no network)",
        "CIFAR-100 cannot be downloaded (no network)",
    }


def test_digits_are_at_hand_offline(suite, downloads, fake_training):
    suite.benchmarks("digits/resnet18_s-adam", "--offline").assert_outcomes(passed=1)
    assert downloads == []
