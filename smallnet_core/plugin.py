"""The pytest plugin: options, markers, fixtures and verdicts. Does not import torch."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from typing import TYPE_CHECKING, Any

import pytest

from smallnet_core import judging, report
from smallnet_core.claims import CLAIMS, GOALS
from smallnet_core.claims.known_misses import KNOWN_MISSES
from smallnet_core.options import (
    add_options,
    baseline_of,
    joined_arguments,
    report_folder_of,
    settings_of,
)
from smallnet_core.records import Claim, Measurement, NotMeasured, Rule, Status, Verdict
from smallnet_core.session import Session, uncaptured

if TYPE_CHECKING:
    from smallnet_core.lab.workbench import Workbench

MARKERS = (
    "digits: needs scikit-learn's digits only: no download, no GPU",
    "cifar10: needs CIFAR-10",
    "cifar100: needs CIFAR-100",
    "parameters: counts parameters and lists layers",
    "accuracy: judges a trained network on test images",
    "pruning: judges a pruned network",
    "failures: shows how the paper's failed trainings fail, and what makes them learn",
    "latency: times inference",
    "training_speed: times training",
    "gpu: needs a GPU; skipped with a reason where there is none",
)

_own = pytest.StashKey[Session]()


def claim_params(claims: Iterable[Claim]) -> list[Any]:
    """Return ``parametrize`` values: a claim's id as value and test id, its dataset as marker."""
    return [
        pytest.param(
            claim.id,
            id=claim.id,
            marks=[getattr(pytest.mark, claim.dataset)] if claim.dataset else [],
        )
        for claim in claims
    ]


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    """Add smallnet's options; UsageError if pytest-benchmark is blocked."""
    if pluginmanager.is_blocked("benchmark"):
        raise pytest.UsageError(
            "-p no:benchmark: smallnet needs pytest-benchmark, remove the option"
        )
    add_options(parser)


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> int | pytest.ExitCode | None:
    """Start again, before anything is configured, where a path of ours hid the project."""
    arguments = joined_arguments(config)
    if arguments is None:
        return None
    with uncaptured(config):
        return pytest.main(arguments, plugins=config.invocation_params.plugins)


def pytest_configure(config: pytest.Config) -> None:
    """Register the markers, and the session, which has the hooks of a run."""
    for marker in MARKERS:
        config.addinivalue_line("markers", marker)
    given: tuple[Any, ...] = ()
    if not hasattr(config, "workerinput"):  # a worker of pytest-xdist compares and writes nothing
        given = baseline_of(config), report_folder_of(config)
    config.stash[_own] = own = Session(config, settings_of(config), *given)
    config.pluginmanager.register(own)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Clear the row of an earlier attempt; skip tests that need a GPU where there is none."""
    item.user_properties[:] = [one for one in item.user_properties if one[0] != "smallnet"]
    if item.get_closest_marker("gpu") is not None:
        import torch

        if not torch.cuda.is_available():
            pytest.skip("needs a GPU: torch sees none on this machine")


@pytest.fixture(scope="session")
def workbench(pytestconfig: pytest.Config) -> Workbench:
    """Return this session's source of datasets, trained models and judged logits."""
    return pytestconfig.stash[_own].workbench


# Verdicts


@pytest.fixture
def judge(
    request: pytest.FixtureRequest, record_row: Callable[[dict[str, Any]], None]
) -> Callable[[Claim, Measurement], Verdict]:
    """Judge a measurement, record the row, and pass, fail or skip accordingly.

    A known miss is an expected failure.
    """

    def judge(claim: Claim, measurement: Measurement) -> Verdict:
        verdict = judging.judge(claim, measurement)
        if claim.rule is Rule.FAILS and (found := _recorded(request.node)):
            status = Status(found["verdict"])
            verdict = judging.held_to_record(verdict, status, found["measured"])
        record_row(verdict.as_row())
        if verdict.status is Status.MISSED:
            if verdict.expected_miss:
                pytest.xfail(KNOWN_MISSES[claim.id])
            pytest.fail(f"{claim.id} missed: {verdict.reason}", pytrace=False)
        if verdict.status is Status.UNDECIDED:
            pytest.skip(verdict.reason)
        return verdict

    return judge


@pytest.fixture
def record_row(request: pytest.FixtureRequest, benchmark: Any) -> Callable[[dict[str, Any]], None]:
    """Record a row, by default one that judges no claim, such as a latency."""

    def record_row(row: dict[str, Any]) -> None:
        benchmark.extra_info["smallnet"] = row = {"claim": None, **row}
        request.node.user_properties.append(("smallnet", row))

    return record_row


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """Turn NotMeasured into a skip with its reason and, if the test has a claim, into a row.

    A test that is neither of a claim nor a benchmark fails instead: there NotMeasured is a defect.
    """
    callspec = getattr(pyfuncitem, "callspec", None)
    claim_id = callspec.params.get("claim_id", "") if callspec else ""
    claim = CLAIMS.get(claim_id) or GOALS.get(claim_id)
    try:
        return (yield)
    except NotMeasured as reason:
        text = str(reason)
        if claim is not None:
            row = judging.not_measured(claim, text).as_row()
            own = pyfuncitem.config.stash[_own]
            if own.settings.recorded and (found := _recorded(pyfuncitem)):
                row["recorded"] = found
                value = report.format_value(found["measured"], row["unit"])
                text = (
                    f"not measured here; recorded {value}, {found['verdict']}, "
                    f"{found['time'][:10]}, {found['trained_on']}"
                )
            pyfuncitem.user_properties.append(("smallnet", row))
        elif "benchmark" not in pyfuncitem.fixturenames:
            raise
        pytest.skip(text)
    except Exception as error:
        if claim is not None:
            broken = f"the test broke: {type(error).__name__}: {error}"
            row = judging.not_measured(claim, broken).as_row()
            pyfuncitem.user_properties.append(("smallnet", row))
        raise


def _recorded(item: pytest.Function) -> dict[str, Any] | None:
    """Return what the zoo's records say of a test's claim; None where they are silent."""
    arguments = {name: item.funcargs[name] for name in item._fixtureinfo.argnames}
    if not arguments.keys() >= {"workbench", "judge"}:
        return None
    from smallnet_core.lab.recorded import judged_by_test

    return judged_by_test(item.obj, arguments)
