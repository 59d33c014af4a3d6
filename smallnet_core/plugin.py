"""The pytest plugin: options, fixtures, and the report at the end. Does not import torch."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Generator, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import pytest

from smallnet_core import judging, report
from smallnet_core.claims.known_misses import KNOWN_MISSES
from smallnet_core.options import add_options, joined_arguments, settings_of
from smallnet_core.records import Claim, Measurement, NotMeasured, Rule, Status, Verdict
from smallnet_core.session import Session, claim_of, recorded, uncaptured

if TYPE_CHECKING:
    from _pytest.terminal import TerminalReporter

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
    """Register the markers, the session and the collector of rows."""
    for marker in MARKERS:
        config.addinivalue_line("markers", marker)
    config.stash[_own] = own = Session(config, settings_of(config))
    config.pluginmanager.register(_Collector(own))


# The session


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Check a pytest-xdist worker; send an error, which would crash it, to the controller."""
    own = config.stash[_own]
    if own.is_worker:
        try:
            own.check_start(items)
        except pytest.UsageError as error:
            output = config.workeroutput  # type: ignore[attr-defined]
            output["smallnet"] = own.for_controller(str(error))
            items.clear()


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> None:
    """Check device, cache and data before the first test; UsageError (exit code 4) in one line."""
    option, own = session.config.option, session.config.stash[_own]
    if option.collectonly or (session.testsfailed and not option.continue_on_collection_errors):
        return
    if not own.is_worker:
        own.check_start(session.items)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Collect what a pytest-xdist worker sent when it ended."""
    if found := getattr(node, "workeroutput", {}).get("smallnet"):
        node.config.stash[_own].from_workers.append(found)


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
    request: pytest.FixtureRequest, benchmark: Any
) -> Callable[[Claim, Measurement], Verdict]:
    """Judge a measurement, record the row, and pass, fail or skip accordingly.

    A known miss is an expected failure.
    """

    def judge(claim: Claim, measurement: Measurement) -> Verdict:
        verdict = judging.judge(claim, measurement)
        if claim.rule is Rule.FAILS and (found := recorded(request.node)):
            status = Status(found["verdict"])
            verdict = judging.held_to_record(verdict, status, found["measured"])
        benchmark.extra_info["smallnet"] = row = verdict.as_row()
        request.node.user_properties.append(("smallnet", row))
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
    """Record a row that judges no claim, such as a latency or a training speed."""

    def record_row(row: dict[str, Any]) -> None:
        benchmark.extra_info["smallnet"] = row = {"claim": None, **row}
        request.node.user_properties.append(("smallnet", row))

    return record_row


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """Turn NotMeasured into a skip with its reason and, if the test has a claim, into a row.

    A test that is neither of a claim nor a benchmark fails instead: there NotMeasured is a defect.
    """
    claim = claim_of(pyfuncitem)
    try:
        return (yield)
    except NotMeasured as reason:
        text = str(reason)
        if claim is not None:
            row = judging.not_measured(claim, text).as_row()
            own = pyfuncitem.config.stash[_own]
            if own.settings.recorded and (found := recorded(pyfuncitem)):
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


# The end


def pytest_deselected(items: Sequence[pytest.Item]) -> None:
    """Remember that the run is partial, so that rows it leaves out do not count as gone."""
    if items:
        items[0].config.stash[_own].partial = True


class _Collector:
    """Collects rows from test reports, which may come from workers, and compares them."""

    def __init__(self, own: Session) -> None:
        self.own = own

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call":
            self.own.add(report)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Generator[None, object, object]:
        result = yield
        if session.config.option.confirm and self.own.rows and not session.shouldstop:
            self.own.confirm(session.items)
        return result

    @pytest.hookimpl(trylast=True)  # after pytest-benchmark has saved, before the summary
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        own = self.own
        for worker in own.from_workers:
            if worker["error"] is not None:
                raise pytest.UsageError(worker["error"])
        own.write_untimed()
        own.track_verdicts()
        failed = own.old is not None and bool(own.rows) and own.compare()
        own.write_report()
        if failed and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> Generator[None, object, object]:
    """Silence the warning with which pytest-benchmark crashes if nothing was timed."""
    own = session.config.stash[_own]
    if own.is_worker:
        output = session.config.workeroutput  # type: ignore[attr-defined]
        output.setdefault("smallnet", own.for_controller())
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Not saving anything")
        return (yield)


@pytest.hookimpl(trylast=True)  # after pytest-benchmark's tables, so that ours end the run
def pytest_terminal_summary(terminalreporter: TerminalReporter, config: pytest.Config) -> None:
    """Write the report, the comparison and where files were written."""
    own = config.stash[_own]
    if not own.rows:
        return
    json_path = config.getoption("benchmark_json", None)
    timed = config._benchmarksession.benchmarks  # type: ignore[attr-defined]
    if json_path is not None and not timed and not own.from_workers:
        own.reported.append(f"{json_path}: not written, because nothing was timed")
    terminalreporter.section("smallnet")
    terminalreporter.write_line("\n".join(own.report()))
    if own.compared:
        terminalreporter.section("compared")
    for line in own.compared + own.reported:
        terminalreporter.write_line(line)


# pytest-benchmark


@pytest.hookimpl(optionalhook=True)
def pytest_benchmark_update_machine_info(
    config: pytest.Config, machine_info: dict[str, Any]
) -> None:
    """Add the environment of the run to the saved JSON."""
    own = config.stash[_own]
    if own.rows:  # not when an older run is only loaded for a comparison: importing torch is slow
        from smallnet_core.system.machine import environment, resolve_device

        machine_info["smallnet"] = environment(resolve_device(own.settings.device)).as_dict()


@pytest.hookimpl(optionalhook=True, tryfirst=True)
def pytest_benchmark_compare_machine_info(compared_benchmark: dict[str, Any]) -> None:
    """Remove our part before pytest-benchmark looks for differences: the new run has none yet."""
    compared_benchmark["machine_info"].pop("smallnet", None)


@pytest.hookimpl(optionalhook=True)
def pytest_benchmark_update_json(config: pytest.Config, output_json: dict[str, Any]) -> None:
    """Add all rows, including those without a benchmark, and all runs to the saved JSON."""
    output_json["smallnet"] = config.stash[_own].ours


@pytest.hookimpl(optionalhook=True, tryfirst=True)
def pytest_benchmark_group_stats(
    config: pytest.Config, benchmarks: Sequence[dict[str, Any]], group_by: str
) -> list[tuple[str, list[dict[str, Any]]]] | None:
    """Return the groups for pytest-benchmark's tables, without claims that time nothing."""
    return config.stash[_own].timing_groups(benchmarks, group_by)
