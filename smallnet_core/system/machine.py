"""The machine that a run happens on: its device, its facts, and what can be measured on it."""

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

    A GPU has its index, as tensors on it do: "cuda" is the first. Raises ValueError for an unknown
    name or a device that is not there.
    """
    if name == "auto":
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    # Not left to torch.device, which wraps a large index around: "cuda:256" is cuda:0 there.
    named = re.fullmatch(r"cpu|cuda(?::(0|[1-9][0-9]*))?", name)
    if named is None:
        raise ValueError(f"unknown device {name!r}: expected auto, cpu, cuda or cuda:N")
    if name != "cpu":
        count = torch.cuda.device_count()
        if count == 0:
            raise ValueError(f"device {name!r} is not there: torch sees no GPU on this machine")
        if int(named[1] or 0) >= count:
            raise ValueError(f"device {name!r} is not there: GPUs 0 to {count - 1} are")
    return torch.device("cuda:0" if name == "cuda" else name)


def synchronize(device: torch.device) -> None:
    """Wait until the device has done all that it was given; a CPU always has."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@functools.cache
def keep_freed_memory() -> None:
    """Tell glibc to keep large freed blocks for the next step.

    By default it hands them back to the kernel, and the page faults of getting them again cost
    about 15 % of a training step on a CPU. Elsewhere than on glibc this does nothing.
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
    """Within, random numbers of the CPU and of ``device`` begin at ``seed``; after it as before.

    Unlike torch.manual_seed it leaves other GPUs alone.
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
    """Within, float32 convolutions on a GPU are float32: cuDNN would take TF32, of 10 bits."""
    conv = torch.backends.cudnn.conv  # type: ignore[attr-defined]  # as torch sets it up
    before = conv.fp32_precision
    conv.fp32_precision = "ieee"
    try:
        yield
    finally:
        conv.fp32_precision = before


def is_out_of_memory(error: BaseException | None) -> bool:
    """Whether memory ran out, be it what led to ``error``: CUDA graphs hide it behind their own."""
    while error is not None:
        if isinstance(error, MemoryError | torch.OutOfMemoryError):
            return True
        # On a CPU it is a plain RuntimeError.
        if isinstance(error, RuntimeError) and "can't allocate memory" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def memory_gib(device: torch.device) -> float:
    """Tell all of the device's memory, in GiB; a CPU's is the machine's."""
    if device.type == "cuda":
        memory = torch.cuda.get_device_properties(device).total_memory
    else:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return memory / 2**30


def matmul_gflops(device: torch.device, dtype: torch.dtype) -> float:
    """Time square matrix products, GFLOP/s with two operations a multiply-add, in 0.3 s.

    The best of at least three: what a training step on this device, as it is now, can be compared
    with.
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
    """Do ``work`` and tell the most memory that was in use meanwhile.

    On a GPU that of tensors; on a CPU what is resident of the whole process, where memory that it
    had freed before does not count. None where the system does not tell (for a CPU, Linux does).
    """
    gc.collect()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        work()
        synchronize(device)
        return torch.cuda.max_memory_allocated(device) / 2**20
    _return_freed_memory()
    try:
        (PROC_SELF / "clear_refs").write_text("5")  # VmHWM starts anew: proc_pid_clear_refs(5)
    except OSError:
        work()
        return None
    work()
    found = re.search(r"^VmHWM:\s+(\d+) kB$", (PROC_SELF / "status").read_text(), re.M)
    assert found is not None, "who resets VmHWM shows it"
    return int(found[1]) / 1024


def _return_freed_memory() -> None:
    """What was freed before goes back to the kernel, in spite of ``keep_freed_memory``."""
    with contextlib.suppress(AttributeError):  # not glibc
        ctypes.CDLL(None).malloc_trim(0)


def energy_meter(device: torch.device) -> Callable[[], float] | None:
    """Give a reading of the joules that a GPU has used since its driver started, through NVML.

    None where that is not told: on a CPU, without the package nvidia-ml-py, before Volta.
    """
    if device.type != "cuda":
        return None
    try:
        nvml = importlib.import_module("pynvml")
    except ImportError:
        return None
    # By UUID: NVML counts GPUs that CUDA_VISIBLE_DEVICES hides too.
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
    """Collect the facts of this machine that a time or an accuracy may depend on."""
    cuda = device.type == "cuda"
    if cuda:
        device_name = torch.cuda.get_device_name(device)
    else:
        device_name = next(iter(_cpuinfo("model name")), platform.processor() or platform.machine())
    versions = {package: importlib.metadata.version(package) for package in PACKAGES}
    if torch.version.cuda:
        versions["cuda"] = torch.version.cuda
    if driver := _driver():
        versions["driver"] = driver
    return Environment(
        device=str(device),
        device_name=device_name,
        machine=platform.machine(),
        system=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        num_threads=torch.get_num_threads(),
        memory_gib=round(memory_gib(device), 1),
        versions=versions,
        fp32_precision=_fp32_precision() if cuda else None,
    )


def _fp32_precision() -> dict[str, str]:
    """What all that is trained, judged and timed here computes in."""
    with ieee_float32():
        convolutions = torch.backends.cudnn.conv.fp32_precision  # type: ignore[attr-defined]
    products = torch.backends.cuda.matmul.fp32_precision
    return {"convolutions": convolutions, "products": products}


def _driver() -> str | None:
    """The version of NVIDIA's driver, where Linux tells it."""
    try:
        text = DRIVER.read_text(encoding="utf-8")
    except OSError:
        return None
    found = re.search(r"Kernel Module.*?(\d+\.[\d.]+)", text)
    return found[1] if found else None


def load_and_clock() -> dict[str, float | None]:
    """The load average of the last minute and the mean clock of the cores, as far as told."""
    clocks = [float(found) for found in _cpuinfo("cpu MHz")]
    clock_mhz = sum(clocks) / len(clocks) if clocks else None
    return {"load_average": os.getloadavg()[0], "clock_mhz": clock_mhz}


def _cpuinfo(key: str) -> list[str]:
    """What Linux says of each core."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return []
    return re.findall(rf"^{key}\s*:\s*(.+?)\s*$", text, re.M)
