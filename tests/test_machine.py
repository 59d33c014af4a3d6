"""Names of devices, facts of the machine, and the probe that decides on bfloat16."""

import json
import os
import platform
import sys
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from smallnet_core.system import machine
from smallnet_core.system.machine import (
    PACKAGES,
    energy_meter,
    environment,
    ieee_float32,
    keep_freed_memory,
    matmul_gflops,
    peak_memory_mib,
    resolve_device,
    seeded,
)

CPU = torch.device("cpu")


@pytest.fixture
def gpus(monkeypatch, request):
    """As many GPUs as the parameter says, whatever this machine has."""
    count: int = request.param
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    return count


@pytest.mark.parametrize(
    ("gpus", "name", "expected"),
    [
        (0, "auto", "cpu"),
        (2, "auto", "cuda:0"),
        (2, "cpu", "cpu"),
        (2, "cuda", "cuda:0"),
        (11, "cuda:10", "cuda:10"),
    ],
    indirect=["gpus"],
)
def test_a_device_that_is_there_is_resolved(gpus, name, expected):
    assert resolve_device(name) == torch.device(expected)


UNKNOWN = ("", "gpu", "CPU", " cpu", "cpu\n", "cpu:0", "cuda:", "cuda:-1", "cuda:01", "cuda:٣")
UNKNOWN += ("mps", "meta")  # which torch knows, and the suite has never run on


@pytest.mark.parametrize(
    ("gpus", "name", "said"),
    [
        *((2, name, "unknown device .*: expected auto, cpu, cuda or cuda:N") for name in UNKNOWN),
        (0, "cuda:3", "'cuda:3' does not exist: torch finds no GPU on this machine"),
        # torch.device keeps 8 bits of the index, and takes the second for cuda:0.
        *(
            (2, f"cuda:{n}", f"'cuda:{n}' does not exist: this machine has GPUs 0 to 1")
            for n in (2, 256, 10**30)
        ),
    ],
    indirect=["gpus"],
    ids=ascii,
)
def test_an_unknown_or_absent_device_is_refused(gpus, name, said):
    with pytest.raises(ValueError, match=f"{said}$"):
        resolve_device(name)


def test_the_environment_holds_this_machines_facts():
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
    assert found.fp32_precision is None, "a CPU has no TF32"


def test_a_gpus_environment_has_the_precision_of_its_float32(monkeypatch):
    properties = SimpleNamespace(total_memory=2**34)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "a GPU")
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: properties)
    found = environment(torch.device("cuda:0"))
    assert (found.device_name, found.memory_gib) == ("a GPU", 16.0)
    products = torch.backends.cuda.matmul.fp32_precision
    assert found.fp32_precision == {"convolutions": "ieee", "products": products}


@pytest.mark.parametrize(
    "line",
    [
        "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue Mar  5 22:23:56 UTC 2024",
        "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  550.54.15  Release Build",
    ],
)
def test_the_drivers_version_is_among_the_facts(line, tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "DRIVER", tmp_path / "version")
    (tmp_path / "version").write_text(f"{line}\nGCC version:  gcc version 12.3.0\n")
    assert environment(CPU).versions["driver"] == "550.54.15"


def test_seed_and_ieee_float32_are_for_a_while():
    before = torch.get_rng_state()
    with seeded(7, CPU):
        drawn = torch.rand(3)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(drawn, torch.rand(3, generator=torch.Generator().manual_seed(7)))
    precision = torch.backends.cudnn.conv.fp32_precision
    with ieee_float32():
        assert torch.backends.cudnn.conv.fp32_precision == "ieee"
    assert torch.backends.cudnn.conv.fp32_precision == precision


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_the_rate_of_matrix_products_is_that_of_the_fastest(dtype, monkeypatch):
    products: list[tuple[Any, ...]] = []
    ticks = iter((0.0, 0.2, 1.0, 1.05, 2.0, 2.04, 3.0, 3.1, 9.0))
    monkeypatch.setattr(
        torch, "mm", lambda a, b, *, out: products.append((a.shape, b.shape, a.dtype, out.dtype))
    )
    monkeypatch.setattr(machine, "time", SimpleNamespace(perf_counter=lambda: next(ticks)))
    found = matmul_gflops(CPU, dtype)
    # 0.29 seconds after three, so there is a fourth; and one before, to warm up.
    assert len(products) == 5 and set(products) == {((1536, 1536), (1536, 1536), dtype, dtype)}
    assert found == pytest.approx(2 * 1536**3 / 0.04 / 1e9)


HAS_PEAK = pytest.mark.skipif(
    not os.access("/proc/self/clear_refs", os.W_OK), reason="only Linux tells peaks"
)


@HAS_PEAK
def test_peak_memory_has_what_was_touched_meanwhile_and_nothing_of_before():
    keep_freed_memory()  # would keep what was freed in sight
    base = peak_memory_mib(lambda: None, CPU)
    assert base is not None and base > 50  # torch itself
    kept = torch.ones(32 * 2**18)
    for size in (32, 64, 32):
        found = peak_memory_mib(lambda size=size: [torch.ones(size * 2**18) for _ in "ab"], CPU)
        assert found is not None
        assert found - base == pytest.approx(32 + 2 * size, abs=12)
    del kept
    after = peak_memory_mib(lambda: None, CPU)
    assert after == pytest.approx(base, abs=12)


def test_the_work_is_done_where_no_peak_is_told(monkeypatch, tmp_path):
    done: list[str] = []
    monkeypatch.setattr(machine, "PROC_SELF", tmp_path / "none")
    assert peak_memory_mib(lambda: done.append("once"), CPU) is None
    assert done == ["once"]
    monkeypatch.setattr(machine, "PROC_SELF", tmp_path)
    (tmp_path / "status").write_text("VmPeak:\t 5 kB\nVmHWM:\t    2560 kB\n", encoding="utf-8")
    assert peak_memory_mib(lambda: None, CPU) == 2.5


def test_peak_memory_of_a_gpu_is_that_of_its_tensors(monkeypatch):
    calls: list[Any] = []
    gpu = torch.device("cuda:1")
    for name in ("reset_peak_memory_stats", "synchronize"):
        monkeypatch.setattr(
            torch.cuda, name, lambda device, name=name: calls.append((name, device))
        )
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", {gpu: 3 * 2**19}.get)
    assert peak_memory_mib(lambda: calls.append("work"), gpu) == 1.5
    assert calls == [("reset_peak_memory_stats", gpu), "work", ("synchronize", gpu)]


class NVMLError(Exception):
    pass


def test_energy_is_read_in_joules_from_nvml(monkeypatch):
    """Of three GPUs, one has a counter, one has none, and NVML does not know the last."""
    millijoules = {"GPU-a": 5_000_000, "GPU-b": None}

    def handle(uuid):
        if uuid not in millijoules:
            raise NVMLError("not found")
        return uuid

    def energy(handle):
        if millijoules[handle] is None:
            raise NVMLError("not supported")
        return millijoules[handle]

    nvml = SimpleNamespace(
        NVMLError=NVMLError,
        nvmlInit=lambda: None,
        nvmlDeviceGetHandleByUUID=handle,
        nvmlDeviceGetTotalEnergyConsumption=energy,
    )
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    monkeypatch.setattr(
        torch.cuda,
        "get_device_properties",
        lambda device: SimpleNamespace(uuid="abc"[device.index]),
    )
    meter, *others = (energy_meter(torch.device("cuda", index)) for index in range(3))
    assert meter is not None and others == [None, None]
    before = meter()
    millijoules["GPU-a"] = 5_012_500
    assert (before, meter() - before) == (5000.0, 12.5)
    assert energy_meter(CPU) is None
    monkeypatch.setitem(sys.modules, "pynvml", None)  # an import of it fails
    assert energy_meter(torch.device("cuda:0")) is None
