"""The machine of a run: its devices, its facts, and what can be measured on it."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import gc
import importlib
import importlib.metadata
import os
import platform
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from smallnet_core.records import Environment

PROC_SELF = Path("/proc/self")
DRIVER = Path("/proc/driver/nvidia/version")
CPUINFO = Path("/proc/cpuinfo")

PACKAGES = (
    "torch",
    "torchvision",
    "adabound",
    "vit-pytorch",
    "torch-pruning",
    "pytest",
    "pytest-benchmark",
    "numpy",
)


def resolve_device(name: str) -> torch.device:
    """Find the device named "auto", "cpu", "cuda" or "cuda:N"; "auto" takes a GPU if there is one.

    The result has an index, like the device of a tensor: "cuda" is the first GPU. Raises ValueError
    for an unknown name or a device that does not exist.
    """
    if name == "auto":
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    # Parsed here, as torch.device wraps large indices around: "cuda:256" becomes cuda:0.
    named = re.fullmatch(r"cpu|cuda(?::(0|[1-9][0-9]*))?", name)
    if named is None:
        raise ValueError(f"unknown device {name!r}: expected auto, cpu, cuda or cuda:N")
    if name != "cpu":
        count = torch.cuda.device_count()
        if count == 0:
            raise ValueError(f"device {name!r} does not exist: torch finds no GPU on this machine")
        if int(named[1] or 0) >= count:
            raise ValueError(
                f"device {name!r} does not exist: this machine has GPUs 0 to {count - 1}"
            )
    return torch.device("cuda:0" if name == "cuda" else name)


def synchronize(device: torch.device) -> None:
    """Wait until the device has finished all queued work; does nothing on a CPU."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@functools.cache
def keep_freed_memory() -> None:
    """Tell glibc to keep large freed blocks for the next step.

    By default it returns them to the kernel, and the page faults of allocating them again cost
    about 15 % of a training step on a CPU. Without glibc this does nothing.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:
        return
    m_trim_threshold, m_mmap_threshold = -1, -3  # malloc.h
    mallopt(m_mmap_threshold, 1 << 30)
    mallopt(m_trim_threshold, (1 << 31) - 1)


@contextlib.contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seed the random numbers of the CPU and of ``device``; restore their state at the end.

    Unlike torch.manual_seed, this leaves other GPUs alone.
    """
    gpus = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=gpus):
        torch.default_generator.manual_seed(seed)
        for gpu in gpus:
            with torch.cuda.device(gpu):
                torch.cuda.manual_seed(seed)
        yield


@contextlib.contextmanager
def ieee_float32() -> Iterator[None]:
    """Make float32 convolutions on a GPU use float32; cuDNN's default is TF32, with 10 bits."""
    conv = torch.backends.cudnn.conv  # type: ignore[attr-defined]  # as torch sets it up
    before = conv.fp32_precision
    conv.fp32_precision = "ieee"
    try:
        yield
    finally:
        conv.fp32_precision = before


def is_out_of_memory(error: BaseException | None) -> bool:
    """Tell whether ``error`` or one of its causes, which CUDA graphs hide, is out of memory."""
    while error is not None:
        if isinstance(error, MemoryError | torch.OutOfMemoryError):
            return True
        # On a CPU it is a plain RuntimeError.
        if isinstance(error, RuntimeError) and "can't allocate memory" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def memory_gib(device: torch.device) -> float:
    """Return the device's total memory, in GiB; for a CPU the machine's."""
    if device.type == "cuda":
        memory = torch.cuda.get_device_properties(device).total_memory
    else:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return memory / 2**30


def matmul_gflops(device: torch.device, dtype: torch.dtype) -> float:
    """Time square matrix products for 0.3 s; return GFLOP/s, two operations per multiply-add.

    The best of at least three: the speed that training on this device, in its present state, can be
    compared with.
    """
    side = 8192 if device.type == "cuda" else 1536
    a = torch.ones(side, side, dtype=dtype, device=device)
    out = torch.empty_like(a)
    seconds: list[float] = []
    torch.mm(a, a, out=out)  # warm-up
    synchronize(device)
    while len(seconds) < 3 or sum(seconds) < 0.3:
        start = time.perf_counter()
        torch.mm(a, a, out=out)
        synchronize(device)
        seconds.append(time.perf_counter() - start)
    return 2 * side**3 / min(seconds) / 1e9


def peak_memory_mib(work: Callable[[], object], device: torch.device) -> float | None:
    """Do ``work`` and return the peak memory in use meanwhile, in MiB.

    On a GPU this counts tensors; on a CPU the resident memory of the whole process, without what it
    had freed before. None where the system does not report it (on a CPU, only Linux does).
    """
    gc.collect()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        work()
        synchronize(device)
        return torch.cuda.max_memory_allocated(device) / 2**20
    with contextlib.suppress(AttributeError):  # not glibc
        ctypes.CDLL(None).malloc_trim(0)  # which keep_freed_memory does not let happen by itself
    try:
        (PROC_SELF / "clear_refs").write_text("5")  # resets VmHWM: proc_pid_clear_refs(5)
    except OSError:
        work()
        return None
    work()
    found = re.search(r"^VmHWM:\s+(\d+) kB$", (PROC_SELF / "status").read_text(), re.M)
    assert found is not None, "a kernel that resets VmHWM reports it"
    return int(found[1]) / 1024


def energy_meter(device: torch.device) -> Callable[[], float] | None:
    """Return a function that reads the joules used since the GPU's driver started, through NVML.

    None where there is no meter: on a CPU, without the package nvidia-ml-py, before Volta.
    """
    if device.type != "cuda":
        return None
    try:
        nvml = importlib.import_module("pynvml")
    except ImportError:
        return None
    # By UUID, because NVML's indices include GPUs hidden by CUDA_VISIBLE_DEVICES.
    uuid = f"GPU-{torch.cuda.get_device_properties(device).uuid}"

    def joules() -> float:
        return nvml.nvmlDeviceGetTotalEnergyConsumption(handle) / 1000  # millijoules

    try:
        nvml.nvmlInit()
        handle = nvml.nvmlDeviceGetHandleByUUID(uuid)
        joules()
    except nvml.NVMLError:
        return None
    return joules


def environment(device: torch.device) -> Environment:
    """Collect the facts about this machine that a time or an accuracy may depend on."""
    fp32_precision = None
    if device.type == "cuda":
        device_name = torch.cuda.get_device_name(device)
        # Convolutions as in ``ieee_float32``, which trainings, evaluations and timings use.
        products = torch.backends.cuda.matmul.fp32_precision
        fp32_precision = {"convolutions": "ieee", "products": products}
    else:
        names = _facts(CPUINFO, r"^model name\s*:\s*(.+?)\s*$")
        device_name = names[0] if names else platform.processor() or platform.machine()
    versions = {package: importlib.metadata.version(package) for package in PACKAGES}
    if torch.version.cuda:
        versions["cuda"] = torch.version.cuda
    if found := _facts(DRIVER, r"Kernel Module.*?(\d+\.[\d.]+)"):
        versions["driver"] = found[0]
    return Environment(
        device=str(device),
        device_name=device_name,
        machine=platform.machine(),
        system=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        num_threads=torch.get_num_threads(),
        memory_gib=round(memory_gib(device), 1),
        versions=versions,
        fp32_precision=fp32_precision,
    )


def load_and_clock() -> dict[str, float | None]:
    """Return the last minute's load average and the cores' mean clock, None if not reported."""
    clocks = [float(found) for found in _facts(CPUINFO, r"^cpu MHz\s*:\s*(\S+)")]
    clock_mhz = sum(clocks) / len(clocks) if clocks else None
    return {"load_average": os.getloadavg()[0], "clock_mhz": clock_mhz}


def _facts(path: Path, pattern: str) -> list[str]:
    """Find ``pattern`` in a file of the system's; nothing where there is no such file."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError:
        return []
    return re.findall(pattern, text, re.M)
