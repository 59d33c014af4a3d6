"""Names of devices, facts of the machine, and the probe that decides on bfloat16."""

from __future__ import annotations

import json
import os
import platform
import re
import sys

import pytest
import torch

from smallnet_core import machine
from smallnet_core.machine import (
    PACKAGES,
    bfloat16_gain,
    environment,
    keep_freed_memory,
    resolve_device,
    synchronize,
)

CPU = torch.device("cpu")


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> int:
    """As many GPUs as the parameter says, whatever this machine has."""
    count: int = request.param
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    return count


# --- resolve_device -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("gpus", "name", "expected"),
    [
        (0, "auto", "cpu"),
        (2, "auto", "cuda"),
        (0, "cpu", "cpu"),
        (2, "cpu", "cpu"),
        (2, "cuda", "cuda"),
        (2, "cuda:0", "cuda:0"),
        (2, "cuda:1", "cuda:1"),
        (11, "cuda:10", "cuda:10"),
    ],
    indirect=["gpus"],
)
def test_a_device_that_is_there_is_resolved(gpus: int, name: str, expected: str) -> None:
    assert resolve_device(name) == torch.device(expected)


UNKNOWN = [
    *("", "gpu", "CPU", "CUDA", "Auto", "auto ", " cpu", "cpu\n", "0", "cpu:0", "cpu:7"),
    *("cuda:", "cuda:x", "cuda:-1", "cuda:01", "cuda:0:1", "cuda: 0", "cuda:0.5", "cuda:٣"),
    # torch knows these, and the suite has never run on them.
    *("mps", "xpu", "xla", "meta", "privateuseone"),
]


@pytest.mark.parametrize("gpus", [0, 2], indirect=True)
@pytest.mark.parametrize("name", UNKNOWN, ids=ascii)
def test_an_unknown_device_is_refused(gpus: int, name: str) -> None:
    message = f"unknown device {name!r}: expected auto, cpu, cuda or cuda:N"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        resolve_device(name)


@pytest.mark.parametrize("gpus", [0], indirect=True)
@pytest.mark.parametrize("name", ["cuda", "cuda:0", "cuda:3"])
def test_a_gpu_is_refused_where_there_is_none(gpus: int, name: str) -> None:
    message = f"device '{name}' is not there: torch sees no GPU on this machine"
    with pytest.raises(ValueError, match=f"^{message}$"):
        resolve_device(name)


@pytest.mark.parametrize("gpus", [2], indirect=True)
# 256 and 999: torch.device keeps 8 bits of the index, and takes the first for cuda:0.
@pytest.mark.parametrize("index", [2, 128, 255, 256, 257, 999, 10**30])
def test_a_gpu_beyond_the_last_is_refused(gpus: int, index: int) -> None:
    message = f"device 'cuda:{index}' is not there: GPUs 0 to 1 are"
    with pytest.raises(ValueError, match=f"^{message}$"):
        resolve_device(f"cuda:{index}")


def test_auto_is_always_there() -> None:
    assert resolve_device("auto").type in ("cpu", "cuda")


# --- environment --------------------------------------------------------------------------------


def test_the_environment_holds_this_machines_facts() -> None:
    found = environment(CPU)
    assert found.device == "cpu"
    assert found.device_name.strip() == found.device_name != ""
    assert found.machine == platform.machine()
    assert found.system.startswith(platform.system())
    assert found.python == ".".join(map(str, sys.version_info[:3]))
    assert found.num_threads == torch.get_num_threads()
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert found.memory_gib == pytest.approx(pages / 2**30, abs=0.05)
    assert set(PACKAGES) <= set(found.versions)
    assert found.versions["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert json.loads(json.dumps(found.as_dict())) == found.as_dict()


def test_a_package_that_is_not_installed_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "PACKAGES", ("torch", "no-such-package-of-smallnet"))
    assert set(environment(CPU).versions) - {"cuda"} == {"torch"}


# --- Memory, waiting and bfloat16 ---------------------------------------------------------------


def test_keep_freed_memory_can_be_asked_for_twice() -> None:
    keep_freed_memory()
    keep_freed_memory()
    keep_freed_memory.__wrapped__()  # past its cache: mallopt takes the same values again


def test_elsewhere_than_on_linux_memory_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(machine.ctypes, "CDLL", lambda _: pytest.fail("looked for mallopt"))
    keep_freed_memory.__wrapped__()


@pytest.mark.parametrize("failure", [OSError, AttributeError])
def test_a_system_without_mallopt_is_fine(
    monkeypatch: pytest.MonkeyPatch, failure: type[Exception]
) -> None:
    def no_library(_: None) -> None:
        raise failure

    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(machine.ctypes, "CDLL", no_library)
    keep_freed_memory.__wrapped__()


def test_a_cpu_has_nothing_to_wait_for() -> None:
    synchronize(CPU)


def test_bfloat16_gain_is_measured_once_and_draws_nothing_from_the_callers_random_state() -> None:
    """Takes two seconds on one core: the probe is a timed training of a small network."""
    state = torch.get_rng_state()
    gain = bfloat16_gain.__wrapped__(CPU)
    assert torch.equal(torch.get_rng_state(), state)
    # From a CPU that emulates bfloat16 to one with matrix units for it.
    assert 0.01 < gain < 100
