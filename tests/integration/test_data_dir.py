"""--data-dir DIR, SMALLNET_DATA."""

from __future__ import annotations

import pytest

KEYWORD = "table2/resnet18_s-adam"


def test_the_option_names_the_folder(suite):
    assert suite.settings(f"--data-dir={suite.home}").data_dir == suite.home
    assert suite.settings("--data-dir=~").data_dir == suite.home
    assert suite.settings().data_dir is None


@pytest.mark.parametrize("keyword", [KEYWORD, "digits/resnet18_s-adam"])
def test_a_folder_that_does_not_exist_is_refused_in_a_line(suite, tree, keyword):
    folder = suite.pytester.path / "nowhere"
    before = tree(suite.pytester.path)
    line = suite.refusal(suite.benchmarks(keyword, f"--data-dir={folder}"))
    assert line == f"--data-dir {folder}: does not exist; name the folder that holds CIFAR"
    assert tree(suite.pytester.path) == before


@pytest.mark.parametrize("name", ["~nobody-of-this-name/data", "x" * 5000])
def test_a_name_that_no_folder_can_have_is_refused_too(suite, name):
    line = suite.refusal(suite.run(f"--data-dir={name}"))
    assert line.endswith("does not exist; name the folder that holds CIFAR")


def test_a_file_is_refused_in_a_line(suite, tree):
    file = suite.pytester.makefile(".bin", data="not a folder")
    before = tree(suite.pytester.path)
    line = suite.refusal(suite.run(f"--data-dir={file}"))
    assert line == f"--data-dir {file}: is not a folder; name the folder that holds CIFAR"
    assert tree(suite.pytester.path) == before


def test_the_environment_is_refused_likewise_once_cifar_is_needed(suite, monkeypatch, tree):
    folder = suite.pytester.path / "nowhere"
    monkeypatch.setenv("SMALLNET_DATA", str(folder))
    before = tree(suite.pytester.path)
    line = suite.refusal(suite.benchmarks(KEYWORD))
    assert line == f"SMALLNET_DATA {folder} does not exist: create it or name another"
    assert tree(suite.pytester.path) == before


def test_digits_need_no_folder(suite, monkeypatch, fake_training):
    monkeypatch.setenv("SMALLNET_DATA", str(suite.pytester.path / "nowhere"))
    suite.benchmarks("digits/resnet18_s-adam").assert_outcomes(passed=1)


@pytest.mark.parametrize("by", ["option", "environment", "option over environment"])
def test_a_truncated_file_is_refused_by_name_before_the_first_test(suite, monkeypatch, tree, by):
    data = suite.pytester.mkdir("data")
    folder = data / "cifar-10-batches-bin"
    folder.mkdir()
    for name in [*(f"data_batch_{k}.bin" for k in range(1, 6)), "test_batch.bin"]:
        (folder / name).write_bytes(bytes(1000))
    before = tree(suite.pytester.path)
    option = []
    if by != "environment":
        option = [f"--data-dir={data}"]
    if by != "option":
        elsewhere = suite.pytester.mkdir("elsewhere") if option else data
        before = tree(suite.pytester.path)
        monkeypatch.setenv("SMALLNET_DATA", str(elsewhere))
    line = suite.refusal(suite.benchmarks(KEYWORD, *option))
    assert line.startswith(
        f"{folder / 'data_batch_1.bin'}: has 1000 bytes, expected 30730000 (10000 records of 3073)"
    )
    assert tree(suite.pytester.path) == before


def test_a_foreign_file_is_refused_by_name_and_never_unpickled(suite, tree):
    data = suite.pytester.mkdir("data")
    folder = data / "cifar-10-batches-py"
    folder.mkdir()
    for name in [*(f"data_batch_{k}" for k in range(1, 6)), "test_batch"]:
        (folder / name).write_bytes(b"cos\nsystem\n(S'touch unpickled'\ntR.")
    before = tree(suite.pytester.path)
    line = suite.refusal(suite.benchmarks(KEYWORD, f"--data-dir={data}"))
    assert line.startswith(f"{folder / 'data_batch_1'}: MD5 is ")
    assert "expected c99cafc152244af753f735de768cd75f" in line
    assert tree(suite.pytester.path) == before


def test_wrong_data_that_no_selected_test_needs_stops_nothing(suite, fake_training):
    data = suite.pytester.mkdir("data")
    (data / "cifar-10-batches-bin").mkdir()
    result = suite.benchmarks("digits/resnet18_s-adam", f"--data-dir={data}")
    result.assert_outcomes(passed=1)
    collected = suite.benchmarks(KEYWORD, f"--data-dir={data}", "--collect-only", "-q")
    assert collected.ret == 0
