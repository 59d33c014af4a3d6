"""One run of pytest: its rows, what they are compared with, and the report at the end."""

from __future__ import annotations

import contextlib
import json
import os
import warnings
from collections.abc import Generator, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from _pytest.runner import runtestprotocol

from smallnet_core import report
from smallnet_core.claims.known_misses import KNOWN_MISSES
from smallnet_core.claims.names import VOCABULARY
from smallnet_core.lab.reports import write_report
from smallnet_core.lab.settings import Settings
from smallnet_core.records import NotMeasured
from smallnet_core.report.table import grouped
from smallnet_core.runs.file import SCHEMA, RunFile, check_document
from smallnet_core.runs.find import STORAGE, runs_in
from smallnet_core.runs.policy import Baseline, fail_on_default, fails, unused_patterns

if TYPE_CHECKING:
    from _pytest.terminal import TerminalReporter

    from smallnet_core.lab.workbench import Workbench
    from smallnet_core.runs.compare import Comparison
    from smallnet_core.runs.rows import RowComparison

CACHED = ("accuracy", "pruning", "failures")  # markers of what writes to the model cache
# Groups of claims whose times are of interest: hundreds are only counted or looked up.
TIMED = ("training", "evaluation", "inference", "training speed")
# Whoever gives one of these wants pytest-benchmark's own tables.
TIMING_OPTIONS = (
    *("--benchmark-columns", "--benchmark-verbose", "--benchmark-sort", "--benchmark-group-by"),
    *("--benchmark-name", "--benchmark-histogram", "--benchmark-cprofile", "--benchmark-compare"),
)


class Session:
    """Everything that smallnet knows of a run of pytest: a plugin itself, with the run's hooks."""

    def __init__(
        self,
        config: pytest.Config,
        settings: Settings,
        baseline: Baseline | None = None,
        report_folder: Path | None = None,
    ) -> None:
        self.config = config
        self.is_worker = hasattr(config, "workerinput")  # of pytest-xdist
        self.settings = settings
        self.baseline = baseline  # of --compare
        self.from_workers: list[dict[str, Any]] = []
        self.compared: list[str] = []
        self.slower: dict[str, RowComparison] = {}  # before they were timed again
        self.comparison: Comparison | None = None
        self.reported: list[str] = []
        self.report_folder = report_folder  # of --report
        self.untracked: list[str] = []
        # Whether some of the benchmarks were not asked for, so that their rows are not gone.
        self.partial = any("::" in arg or arg.endswith(".py") for arg in config.args)
        self._rows: dict[tuple[Any, ...], dict[str, Any]] = {}
        self._workbench: Workbench | None = None

    # Before the first test

    @property
    def workbench(self) -> Workbench:
        """Return the source of datasets, trained networks and results; made on first use."""
        if self._workbench is None:
            from smallnet_core.lab.workbench import Workbench

            try:
                self._workbench = Workbench(self.settings, self._progress())
            except ValueError as error:
                raise pytest.UsageError(str(error)) from error
        return self._workbench

    def _progress(self) -> Any:
        """Return a progress bar on the real standard error; notes where that is no terminal."""
        from smallnet_core.training.progress import Notes, ProgressBar

        with uncaptured(self.config):
            stream = os.fdopen(os.dup(2), "w", encoding="utf-8", errors="replace")
        self.config.add_cleanup(stream.close)
        return ProgressBar(stream) if stream.isatty() else Notes(stream)

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Check a pytest-xdist worker; send an error, which would crash it, to the controller."""
        if self.is_worker:
            try:
                self._check_start(items)
            except pytest.UsageError as error:
                self._send_to_controller(str(error))
                items.clear()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Generator[None, object, object]:
        """Check device, cache and data before the first test; time again after the last."""
        option = self.config.option
        broken = session.testsfailed and not option.continue_on_collection_errors
        if not (self.is_worker or option.collectonly or broken):
            self._check_start(session.items)
        result = yield
        if option.confirm and self.rows and not session.shouldstop:
            self._confirm(session.items)
        return result

    def _check_start(self, items: Iterable[pytest.Item]) -> None:
        """Raise pytest.UsageError, in a line, for what is wrong with device, cache or data."""
        items = [item for item in items if "workbench" in getattr(item, "fixturenames", ())]
        if not items and not self.settings.device.startswith("cuda"):
            return
        from smallnet_core.data.sources import DatasetError

        bench = self.workbench
        markers = {marker.name for item in items for marker in item.iter_markers()}
        if markers.intersection(CACHED):
            try:
                bench.cache.check_writable()
            except OSError as error:
                raise pytest.UsageError(
                    f"model cache {bench.cache.folder}: cannot be written ({error.strerror}); "
                    "name another with --model-cache or SMALLNET_CACHE"
                ) from error
        for name in filter(markers.__contains__, VOCABULARY["dataset"]):
            try:
                # A download shows its progress: 170 MB in silence look like a hang.
                with uncaptured(self.config):
                    bench.dataset(name)
            except NotMeasured:
                pass  # the tests that need it say so, each for its claim
            except DatasetError as error:
                raise pytest.UsageError(str(error)) from error

    # Rows

    @property
    def rows(self) -> list[dict[str, Any]]:
        """Return a row for each claim and timing, in the order of the tests."""
        return list(self._rows.values())

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take the rows of a test; of one that ran several times the last attempt counts."""
        if report.when == "call":
            rows: list[Any] = [row for name, row in report.user_properties if name == "smallnet"]
            for k, row in enumerate(rows):
                claim = row["claim"]
                self._rows[("claim", claim) if claim else (report.nodeid, k)] = row

    def pytest_deselected(self, items: Sequence[pytest.Item]) -> None:
        """Remember that the run is partial, so that rows it leaves out do not count as gone."""
        self.partial = self.partial or bool(items)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Collect what a pytest-xdist worker sent when it ended."""
        if found := getattr(node, "workeroutput", {}).get("smallnet"):
            self.from_workers.append(found)

    def _send_to_controller(self, error: str | None = None) -> None:
        own = {"runs": self.runs, "complaints": self.complaints, "error": error}
        self.config.workeroutput.setdefault("smallnet", own)  # type: ignore[attr-defined]

    @property
    def runs(self) -> list[dict[str, Any]]:
        """Return the networks that were judged, here or by workers, each once."""
        found = [] if self._workbench is None else self._workbench.run_records()
        found += [run for worker in self.from_workers for run in worker["runs"]]
        return list({run["fingerprint"]: run for run in found}.values())

    @property
    def complaints(self) -> list[str]:
        """Return a line for each problem of the cache, and for what was not tracked."""
        found = [] if self._workbench is None else list(self._workbench.cache.complaints)
        found += [line for worker in self.from_workers for line in worker["complaints"]]
        return list(dict.fromkeys(found + self.untracked))

    # At the end

    @pytest.hookimpl(wrapper=True)  # around pytest-benchmark's, within that of the summary
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None, object, object]:
        """Compare and write what was asked for, once pytest-benchmark has saved."""
        if self.is_worker:
            self._send_to_controller()
        with warnings.catch_warnings():
            # pytest-benchmark crashes with this one if nothing was timed.
            warnings.filterwarnings("ignore", "Not saving anything")
            result = yield
        for worker in self.from_workers:
            if worker["error"] is not None:
                raise pytest.UsageError(worker["error"])
        if self.rows:
            self._write_untimed()
            self._track_verdicts()
            failed = self.baseline is not None and self._compare()
            self._write_report()
            if failed and session.exitstatus == pytest.ExitCode.OK:
                session.exitstatus = pytest.ExitCode.TESTS_FAILED
        return result

    @pytest.hookimpl(trylast=True)  # after pytest-benchmark's tables, so that ours end the run
    def pytest_terminal_summary(self, terminalreporter: TerminalReporter) -> None:
        """Write the report, the comparison and where files were written."""
        if not self.rows:
            return
        json_path = self.config.getoption("benchmark_json", None)
        timed = self.config._benchmarksession.benchmarks  # type: ignore[attr-defined]
        if json_path is not None and not timed and not self.from_workers:
            self.reported.append(f"{json_path}: not written, because nothing was timed")
        terminalreporter.section("smallnet")
        terminalreporter.write_line("\n".join(self._report()))
        if self.compared:
            terminalreporter.section("compared")
        for line in self.compared + self.reported:
            terminalreporter.write_line(line)

    def _document(self) -> dict[str, Any]:
        """Return what --benchmark-json saves, whether it was asked for or not."""
        hook, session = self.config.hook, self.config._benchmarksession  # type: ignore[attr-defined]
        document: dict[str, Any] = hook.pytest_benchmark_generate_json(
            config=self.config,
            benchmarks=session.benchmarks,
            include_data=True,
            machine_info=session.get_machine_info(),
            commit_info=hook.pytest_benchmark_generate_commit_info(config=self.config),
        )
        hook.pytest_benchmark_update_json(
            config=self.config, benchmarks=session.benchmarks, output_json=document
        )
        return json.loads(json.dumps(document, default=str))  # as it comes back from the file

    def _run_file(self) -> RunFile:
        return RunFile(path=Path("this run"), document=check_document(self._document()))

    def _comparison(self) -> Comparison:
        """Compare with the old run; ValueError where nothing can be compared."""
        from smallnet_core.runs.accepted import accept
        from smallnet_core.runs.compare import compare

        assert self.baseline is not None, "--compare was given"
        old, thresholds = self.baseline.run, self.baseline.thresholds
        return accept(
            compare(old, self._run_file(), thresholds=thresholds, partial=self.partial),
            self.baseline.accepted,
            folder=self.config.rootpath,
            earlier=lambda: runs_in(self.config.getoption("benchmark_storage", STORAGE))[0],
        )

    def _confirm(self, items: Iterable[pytest.Item]) -> None:
        """Time rows that became slower once more, each by its test; the second time counts."""
        from smallnet_core.runs.readings import timing_label
        from smallnet_core.runs.rows import Change

        with contextlib.suppress(ValueError):  # compare() will say it
            self.slower = {
                row.label: row
                for row in self._comparison().of(Change.REGRESSION)
                if row.kind == "rounds"
            }
        alarmed = {label.partition(": ")[0] for label in self.slower}
        tests = {
            key[0]
            for key, row in self._rows.items()
            if row.get("claim") is None and timing_label(row) in alarmed
        }
        for item in items:
            if item.nodeid in tests:
                self._run_again(item)

    def _run_again(self, item: pytest.Item) -> None:
        """Run a test again, unseen; its rows and times replace those of the first time."""
        benchmarks = self.config._benchmarksession.benchmarks  # type: ignore[attr-defined]
        before = list(benchmarks)
        reports = runtestprotocol(item, log=False, nextitem=None)
        added = benchmarks[len(before) :]
        if all(report.passed for report in reports):
            for report in reports:
                self.pytest_runtest_logreport(report)
            names = {one.fullname for one in added}
            before = [one for one in before if one.fullname not in names] + added
        benchmarks[:] = before

    def _compare(self) -> bool:
        """Keep what changed since the old run, in lines; return whether that fails the run."""
        from smallnet_core.report import compare as compare_report

        assert self.baseline is not None, "--compare was given"
        try:
            comparison = self.comparison = self._comparison()
        except ValueError as error:
            self.compared = [f"--compare: {error}"]
            return True
        self.compared = [
            *self.baseline.left_out,
            *self.baseline.run.remarks,
            *unused_patterns(comparison),
            *compare_report.confirmed_lines(comparison, self.slower),
            *compare_report.terminal_lines(comparison, verbose=self.config.get_verbosity() > 0),
        ]
        return fails(comparison.counts, self.config.option.fail_on or fail_on_default())

    def _write_report(self) -> None:
        """Write what --report asks for; if that fails, a line at the end says why."""
        if self.report_folder is None:
            return
        try:
            paths = write_report(self._run_file(), self.report_folder, self.comparison)
            self.reported = [f"report: {paths[0]}"]
        except Exception as error:  # hours of measuring must not end in a traceback
            self.reported = [f"--report: {type(error).__name__}: {error}"]

    def _write_untimed(self) -> None:
        """Write --benchmark-json where pytest-xdist keeps pytest-benchmark from it."""
        from smallnet_core.system.files import replace_file

        path = self.config.getoption("benchmark_json", None)
        if path is not None and self.from_workers:
            replace_file(Path(path), json.dumps(self._document(), indent=4).encode())

    def _track_verdicts(self) -> None:
        """Log the rows to the tracker of ``--track``."""
        from smallnet_core.lab.track import track_verdicts

        if self.settings.track is not None:
            failure = track_verdicts(self.settings.track, self.rows)
            self.untracked = [] if failure is None else [failure]

    def _report(self) -> list[str]:
        if self.config.option.tables == "short":
            return report.short_lines(self.rows, KNOWN_MISSES, complaints=self.complaints)
        verbose = self.config.get_verbosity() > 0
        return report.terminal_lines(
            self.rows, KNOWN_MISSES, verbose=verbose, complaints=self.complaints
        )

    # pytest-benchmark

    @pytest.hookimpl(optionalhook=True)
    def pytest_benchmark_update_machine_info(self, machine_info: dict[str, Any]) -> None:
        """Add the environment of the run to the saved JSON."""
        if self.rows:  # not when only an older run is loaded: importing torch is slow
            from smallnet_core.system.machine import environment, resolve_device

            found = environment(resolve_device(self.settings.device))
            machine_info["smallnet"] = found.as_dict()

    @pytest.hookimpl(optionalhook=True, tryfirst=True)
    def pytest_benchmark_compare_machine_info(self, compared_benchmark: dict[str, Any]) -> None:
        """Remove our part before pytest-benchmark compares: the new run has none yet."""
        compared_benchmark["machine_info"].pop("smallnet", None)

    @pytest.hookimpl(optionalhook=True)
    def pytest_benchmark_update_json(self, output_json: dict[str, Any]) -> None:
        """Add all rows, including those without a benchmark, and all runs to the saved JSON."""
        output_json["smallnet"] = {"schema": SCHEMA, "rows": self.rows, "runs": self.runs}

    @pytest.hookimpl(optionalhook=True, tryfirst=True)
    def pytest_benchmark_group_stats(
        self, benchmarks: Sequence[dict[str, Any]], group_by: str
    ) -> list[tuple[str, list[dict[str, Any]]]] | None:
        """Return the groups of pytest-benchmark's tables; None where those that it makes will do.

        Beside a report of one screen there are none at all, but for those who ask for them.
        """
        if not self.rows:
            return None
        if self.config.option.tables == "short":
            environment = os.environ.get("PYTEST_ADDOPTS", "").split()
            given = [*map(str, self.config.invocation_params.args), *environment]
            if not any(arg.startswith(TIMING_OPTIONS) for arg in given):
                return []
        shown = [
            bench
            for bench in benchmarks
            if bench["group"] in TIMED or not bench["extra_info"].get("smallnet", {}).get("claim")
        ]
        if len(shown) == len(benchmarks) or group_by != "group":
            return None
        shown.sort(key=lambda bench: bench["name"])
        groups = grouped(shown, lambda bench: bench["group"])
        return sorted(groups.items(), key=lambda item: item[0] or "")


def uncaptured(config: pytest.Config) -> contextlib.AbstractContextManager[None]:
    """Return a context in which pytest captures no output."""
    capture = config.pluginmanager.getplugin("capturemanager")
    if capture is None:  # -p no:capture
        return contextlib.nullcontext()
    found: contextlib.AbstractContextManager[None] = capture.global_and_fixture_disabled()
    return found
