"""--device {auto,cpu,cuda,cuda:N}."""

from __future__ import annotations

import pytest
import torch

needs_no_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")


def test_auto_is_the_default(suite):
    assert suite.settings().device == "auto"


@pytest.mark.parametrize("name", ["tpu", "gpu", "CUDA", "cuda:", "cuda:x", "cuda:-1", "cpu:0", ""])
def test_an_unknown_device_is_refused_in_a_line(suite, name, tree):
    before = tree(suite.pytester.path)
    line = suite.refusal(suite.run("--device", name))
    assert line == f"--device {name}: expected auto, cpu, cuda or cuda:N"
    assert tree(suite.pytester.path) == before


@needs_no_gpu
@pytest.mark.parametrize("name", ["cuda", "cuda:0", "cuda:99", "cuda:99999999999999999999"])
def test_a_device_that_is_not_there_is_refused_before_the_first_test(suite, fake_training, name):
    line = suite.refusal(suite.benchmarks("digits/resnet18_s-adam", "--device", name))
    assert name in line and ("is not there" in line or "unknown device" in line)
    assert fake_training.trained == [] and not suite.cache.exists()


@needs_no_gpu
def test_nor_may_it_be_named_where_nothing_would_run_on_it(suite):
    line = suite.refusal(suite.benchmarks("section-3.2.1", "--device=cuda"))
    assert line == "device 'cuda' is not there: torch sees no GPU on this machine"


@needs_no_gpu
def test_collecting_looks_for_no_device(suite):
    result = suite.benchmarks("digits", "--device=cuda", "--collect-only", "-q")
    assert result.ret == 0


def test_a_run_says_what_it_ran_on(suite, fake_training):
    [row] = suite.rows(suite.benchmarks("digits/resnet18_s-adam", "--device=cpu"))
    assert row["device"] == "cpu"


@needs_no_gpu
def test_a_test_that_needs_a_gpu_is_skipped_with_the_reason(suite):
    suite.pytester.makepyfile(
        """
        import pytest

        @pytest.mark.gpu
        def test_on_a_gpu():
            raise AssertionError
        """
    )
    result = suite.run("-rs")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["SKIPPED * needs a GPU: torch sees none on this machine"])
