"""The pytest plugin: options, fixtures, and the report at the end. Never imports torch at load."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable, Generator, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from smallnet_core import judging, report
from smallnet_core.claims import CLAIMS
from smallnet_core.claims.goals import GOALS
from smallnet_core.claims.known_misses import KNOWN_MISSES
from smallnet_core.cli import FAIL_ON
from smallnet_core.lab.settings import Settings, cache_folder, check_device, data_folder
from smallnet_core.recipes import RECIPE_KINDS
from smallnet_core.records import Claim, Measurement, NotMeasured, Rule, Status, Verdict
from smallnet_core.runs.file import SCHEMA, RunFile, check_document, read_run_file

if TYPE_CHECKING:
    from _pytest.terminal import TerminalReporter

    from smallnet_core.lab.workbench import Workbench

__all__ = ["claim_params"]

DATASETS = ("digits", "cifar10", "cifar100")
TABLES = ("short", "all")
# Whoever gives one of these wants pytest-benchmark's own tables.
TIMING_OPTIONS = (
    "--benchmark-columns",
    "--benchmark-verbose",
    "--benchmark-sort",
    "--benchmark-group-by",
    "--benchmark-name",
    "--benchmark-histogram",
    "--benchmark-cprofile",
    "--benchmark-compare",
)

_rows_key = pytest.StashKey[list[dict[str, Any]]]()
_settings_key = pytest.StashKey["Settings"]()
_workbench_key = pytest.StashKey["Workbench"]()
_old_key = pytest.StashKey["RunFile | None"]()
_compared_key = pytest.StashKey[list[str]]()


def claim_params(claims: Iterable[Claim]) -> list[Any]:
    """``parametrize`` values for claims: the id as value and as test id, the dataset as marker."""
    return [
        pytest.param(
            claim.id,
            id=claim.id,
            marks=[getattr(pytest.mark, claim.dataset)] if claim.dataset else [],
        )
        for claim in claims
    ]


# Options


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("smallnet", "smallnet: models, data and training")
    group.addoption(
        "--recipe",
        default="tuned",
        metavar="{" + ",".join(RECIPE_KINDS) + "}",
        help="how networks are trained on CIFAR: our tuned recipes, or the paper's to the letter; "
        "digits always takes its quick ones. Default: tuned",
    )
    group.addoption(
        "--seeds", default="1", metavar="N", help="runs of each recipe, a seed each. Default: 1"
    )
    group.addoption(
        "--retrain", action="store_true", help="train anew even what cache or zoo could give"
    )
    group.addoption(
        "--train-budget",
        default="15",
        metavar="MIN",
        help="a training estimated to take longer is not started, its claims are not measured; "
        "0 trains nothing. Default: 15 minutes for one model",
    )
    group.addoption(
        "--data-dir",
        metavar="DIR",
        help="where CIFAR is, in torchvision's python layout or the official binary one. "
        "Default: SMALLNET_DATA, else the user's cache, where a download goes",
    )
    group.addoption(
        "--model-cache",
        metavar="DIR",
        help="where trained models are kept. Default: SMALLNET_CACHE, else the user's cache",
    )
    group.addoption(
        "--device", default="auto", help="auto, cpu, cuda or cuda:N. Default: a GPU if there is one"
    )
    group.addoption("--offline", action="store_true", help="download nothing")
    group.addoption(
        "--no-recorded",
        action="store_true",
        help="leave what was not measured empty, instead of showing what earlier runs recorded",
    )
    group.addoption(
        "--tables",
        default="short",
        metavar="{" + ",".join(TABLES) + "}",
        help="the report at the end: one screen, or every table with remarks. Default: short",
    )
    group.addoption(
        "--compare",
        metavar="OLD.json",
        help="at the end, say what changed since a saved run, and whether it can be chance",
    )
    group.addoption(
        "--fail-on",
        metavar="{" + ",".join(FAIL_ON) + "}",
        help="with --compare: what fails the run. Default: regression where CI is set, else "
        "nothing",
    )


def pytest_configure(config: pytest.Config) -> None:
    rows = config.stash.setdefault(_rows_key, [])
    config.pluginmanager.register(_Collector(rows))
    config.stash[_settings_key] = _settings(config)
    config.stash[_old_key] = _old_run(config)


def _settings(config: pytest.Config) -> Settings:
    """The options, checked as far as that goes without torch; raises pytest.UsageError."""
    kind = config.getoption("--recipe")
    if kind not in RECIPE_KINDS:
        raise pytest.UsageError(f"--recipe {kind}: expected one of {', '.join(RECIPE_KINDS)}")
    tables = config.getoption("--tables")
    if tables not in TABLES:
        raise pytest.UsageError(f"--tables {tables}: expected one of {', '.join(TABLES)}")
    try:
        device = check_device(config.getoption("--device"))
        data_dir = data_folder(config.getoption("--data-dir"))
        cache_dir = cache_folder(config.getoption("--model-cache"))
    except ValueError as error:
        raise pytest.UsageError(str(error)) from error
    return Settings(
        recipe_kind=kind,
        num_seeds=_number(config, "--seeds", int, "a whole number of at least 1", 1),
        retrain=config.getoption("--retrain"),
        train_budget_minutes=_number(config, "--train-budget", float, "minutes, 0 or more", 0.0),
        data_dir=data_dir,
        cache_dir=cache_dir,
        device=device,
        offline=config.getoption("--offline"),
        recorded=not config.getoption("--no-recorded"),
    )


def _old_run(config: pytest.Config) -> RunFile | None:
    """The file of ``--compare``, read before anything is measured; raises pytest.UsageError."""
    path, fail_on = config.getoption("--compare"), config.getoption("--fail-on")
    if fail_on is not None:
        if path is None:
            raise pytest.UsageError("--fail-on is for --compare OLD.json, which is not given")
        if fail_on not in FAIL_ON:
            raise pytest.UsageError(f"--fail-on {fail_on}: expected one of {', '.join(FAIL_ON)}")
    if path is None:
        return None
    try:
        return read_run_file(Path(os.path.expanduser(path)))
    except ValueError as error:
        raise pytest.UsageError(f"--compare {error}") from error


def _number(
    config: pytest.Config, option: str, kind: Callable[[str], Any], expected: str, least: float
) -> Any:
    text = config.getoption(option)
    try:
        value = kind(text)
    except ValueError:
        value = None
    if value is None or not least <= value < float("inf"):
        raise pytest.UsageError(f"{option} {text}: expected {expected}")
    return value


# The session


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> None:
    """Before the first test: what is wrong with device, cache or data is one line, exit code 4."""
    option = session.config.option
    if option.collectonly or (session.testsfailed and not option.continue_on_collection_errors):
        return
    items = [item for item in session.items if "workbench" in getattr(item, "fixturenames", ())]
    if not items and not option.device.startswith("cuda"):
        return
    bench = _make_workbench(session.config)
    if any(item.get_closest_marker("accuracy") for item in items):
        _check_cache(bench)
    for name in DATASETS:
        if any(item.get_closest_marker(name) for item in items):
            _check_dataset(session.config, bench, name)


def _make_workbench(config: pytest.Config) -> Workbench:
    if _workbench_key not in config.stash:
        from smallnet_core.lab.workbench import Workbench

        try:
            config.stash[_workbench_key] = Workbench(config.stash[_settings_key], _progress(config))
        except ValueError as error:
            raise pytest.UsageError(str(error)) from error
    return config.stash[_workbench_key]


def _progress(config: pytest.Config) -> Any:
    """A progress bar on the real standard error; a few notes where that is no terminal."""
    capture = config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        stream = os.fdopen(os.dup(2), "w", encoding="utf-8", errors="replace")
    from smallnet_core.training.progress import Notes, ProgressBar

    config.add_cleanup(stream.close)
    return ProgressBar(stream) if stream.isatty() else Notes(stream)


def _check_cache(bench: Workbench) -> None:
    try:
        bench.cache.check_writable()
    except OSError as error:
        raise pytest.UsageError(
            f"model cache {bench.cache.folder}: cannot be written ({error.strerror}); "
            "name another with --model-cache or SMALLNET_CACHE"
        ) from error


def _check_dataset(config: pytest.Config, bench: Workbench, name: str) -> None:
    from smallnet_core.data.datasets import DatasetError

    capture = config.pluginmanager.getplugin("capturemanager")
    try:
        # A download shows its progress: 170 MB in silence look like a hang.
        with capture.global_and_fixture_disabled():
            bench.dataset(name)
    except NotMeasured:
        pass  # the tests that need it say so, each for its claim
    except DatasetError as error:
        raise pytest.UsageError(str(error)) from error


@pytest.fixture(scope="session")
def workbench(pytestconfig: pytest.Config) -> Workbench:
    """Datasets, trained models and judged logits of this session."""
    return _make_workbench(pytestconfig)


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("gpu") is not None:
        import torch

        if not torch.cuda.is_available():
            pytest.skip("needs a GPU: torch sees none on this machine")


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
        if claim.rule is Rule.FAILS and (found := _recorded(request.node)):
            recorded = Status(found["verdict"])
            verdict = judging.held_to_record(verdict, recorded, found["measured"])
        row = verdict.as_row()
        benchmark.extra_info["smallnet"] = row
        _record(request.node, row)
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
    """Record a row that judges no claim: a latency, a speed."""

    def record_row(row: dict[str, Any]) -> None:
        row = {"claim": None, **row}
        benchmark.extra_info["smallnet"] = row
        _record(request.node, row)

    return record_row


def _record(item: pytest.Item, row: dict[str, Any]) -> None:
    item.user_properties.append(("smallnet", row))


def _claim_of(item: pytest.Item) -> Claim | None:
    callspec = getattr(item, "callspec", None)
    claim_id = "" if callspec is None else callspec.params.get("claim_id", "")
    return CLAIMS.get(claim_id) or GOALS.get(claim_id)


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """A claim whose test raises NotMeasured is a skip with its reason, and a row all the same.

    So is a benchmark of no claim, without the row. To any other test it is an error: a unit test
    that nothing was measured for has found something.
    """
    claim = _claim_of(pyfuncitem)
    try:
        return (yield)
    except NotMeasured as reason:
        text = str(reason)
        if claim is not None:
            row = judging.not_measured(claim, text).as_row()
            settings = pyfuncitem.config.stash[_settings_key]
            if settings.recorded and (found := _recorded(pyfuncitem)):
                row["recorded"] = found
                value = report.format_value(found["measured"], row["unit"])
                text = (
                    f"not measured here; recorded {value}, {found['verdict']}, "
                    f"{found['time'][:10]}, {found['trained_on']}"
                )
            _record(pyfuncitem, row)
        elif "benchmark" not in pyfuncitem.fixturenames:
            raise
        pytest.skip(text)
    except Exception as error:
        if claim is not None:
            broken = f"the test broke: {type(error).__name__}: {error}"
            _record(pyfuncitem, judging.not_measured(claim, broken).as_row())
        raise


def _recorded(item: pytest.Function) -> dict[str, Any] | None:
    """What the zoo's records say of the claim, judged by its own test; None where they are silent.

    The test runs once more, on records instead of trained networks and without a clock.
    """
    arguments = {name: item.funcargs[name] for name in item._fixtureinfo.argnames}
    if not arguments.keys() >= {"workbench", "judge"}:
        return None
    bench: Any = arguments["workbench"]
    verdicts: list[Verdict] = []

    def judge(claim: Claim, measurement: Measurement) -> Verdict:
        verdicts.append(judging.judge(claim, measurement))
        return verdicts[-1]

    bench.records.used.clear()
    try:
        item.obj(**arguments | {"workbench": bench.records, "judge": judge, "benchmark": _NoClock})
    except NotMeasured:
        return None
    [verdict] = verdicts
    records = [found.record for found in bench.records.used.values()]
    newest = max(records, key=lambda record: record["time"])
    kept = ("measured", "deviation", "difference", "interval", "seeds", "values", "num_images")
    row = verdict.as_row()
    return {
        **{name: row[name] for name in (*kept, "verdict", "reason", "recipe", "fingerprints")},
        "expected_miss": row["expected_miss"],
        "trained_on": ", ".join(sorted({r["environment"]["device_name"] for r in records})),
        "commit": (newest["commit"] or {}).get("id"),
        "time": newest["time"],
        "details": row["details"],
    }


class _NoClock:
    """What stands in for the ``benchmark`` fixture where nothing is timed."""

    group = None

    @staticmethod
    def pedantic(target: Callable[..., Any], args: Any = (), **_: Any) -> Any:
        return target(*args)


class _Collector:
    """Gathers the rows from test reports, which under xdist come from other processes."""

    def __init__(self, rows: list[dict[str, Any]]) -> None:
        self.rows = rows

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call":
            self.rows += [
                row
                for name, row in report.user_properties
                if name == "smallnet" and isinstance(row, dict)
            ]

    @pytest.hookimpl(trylast=True)  # after pytest-benchmark has saved, before the summary
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        old = session.config.stash[_old_key]
        if old is None or not self.rows:
            return
        lines, failed = _compare(session.config, old)
        session.config.stash[_compared_key] = lines
        if failed and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_benchmark_update_machine_info(
    config: pytest.Config, machine_info: dict[str, Any]
) -> None:
    if config.stash[_rows_key]:  # not when an older run is loaded to compare with: torch is slow
        from smallnet_core.system.machine import environment

        device = _make_workbench(config).device
        machine_info["smallnet"] = environment(device).as_dict()


def pytest_benchmark_update_json(config: pytest.Config, output_json: dict[str, Any]) -> None:
    """All rows, with those that have no benchmark because nothing was measured; all runs."""
    bench = config.stash.get(_workbench_key, None)
    output_json["smallnet"] = {
        "schema": SCHEMA,
        "rows": config.stash[_rows_key],
        "runs": [] if bench is None else bench.run_records(),
    }


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish() -> Generator[None, object, object]:
    """Where nothing was timed pytest-benchmark saves nothing, and crashes on its own warning."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Not saving anything")
        return (yield)


def _compare(config: pytest.Config, old: RunFile) -> tuple[list[str], bool]:
    """What changed since the old run, in lines, and whether that fails the run."""
    from smallnet_core.cli import fail_on_default, fails, read_thresholds
    from smallnet_core.report import compare as compare_report
    from smallnet_core.runs.compare import compare

    document = check_document(_document(config))
    new = RunFile(path=Path("this run"), document=document)
    try:
        comparison = compare(old, new, thresholds=read_thresholds(config.inipath))
    except ValueError as error:
        return [f"--compare: {error}"], True
    lines = compare_report.terminal_lines(comparison, verbose=config.get_verbosity() > 0)
    return lines, fails(comparison, config.getoption("--fail-on") or fail_on_default())


def _document(config: pytest.Config) -> dict[str, Any]:
    """What --benchmark-json would save, whether it was asked for or not."""
    session = config._benchmarksession  # type: ignore[attr-defined]
    commit = config.hook.pytest_benchmark_generate_commit_info(config=config)
    document: dict[str, Any] = config.hook.pytest_benchmark_generate_json(
        config=config,
        benchmarks=session.benchmarks,
        include_data=True,
        machine_info=session.get_machine_info(),
        commit_info=commit,
    )
    config.hook.pytest_benchmark_update_json(
        config=config, benchmarks=session.benchmarks, output_json=document
    )
    # As it would come back from the file: tuples are lists, and so on.
    found: dict[str, Any] = json.loads(json.dumps(document, default=str))
    return found


@pytest.hookimpl(tryfirst=True)
def pytest_benchmark_group_stats(
    config: pytest.Config, benchmarks: Sequence[dict[str, Any]], group_by: str
) -> list[tuple[str, list[dict[str, Any]]]] | None:
    """Leave the hundreds of counted and looked-up claims out of pytest-benchmark's tables.

    Beside a report of one screen it has no tables at all, but for those who ask for them.
    """
    if not config.stash[_rows_key]:
        return None
    if config.getoption("--tables") == "short":
        given = map(str, config.invocation_params.args)
        if not any(arg.startswith(TIMING_OPTIONS) for arg in given):
            return []
    shown = [
        b
        for b in benchmarks
        if b["group"] in ("training", "evaluation", "inference", "training speed")
    ]
    if len(shown) == len(benchmarks) or group_by != "group":
        return None
    groups: dict[str, list[dict[str, Any]]] = {}
    for bench in sorted(shown, key=lambda b: b["name"]):
        groups.setdefault(bench["group"], []).append(bench)
    return sorted(groups.items())


@pytest.hookimpl(trylast=True)  # after pytest-benchmark's tables: what a run ends with is ours
def pytest_terminal_summary(terminalreporter: TerminalReporter, config: pytest.Config) -> None:
    rows = config.stash[_rows_key]
    if not rows:
        return
    bench = config.stash.get(_workbench_key, None)
    terminalreporter.section("smallnet")
    complaints = [] if bench is None else bench.cache.complaints
    if config.getoption("--tables") == "short":
        lines = report.short_lines(
            rows, CLAIMS, GOALS, complaints=complaints, known_misses=KNOWN_MISSES
        )
    else:
        lines = report.terminal_lines(
            rows,
            CLAIMS,
            GOALS,
            verbose=config.get_verbosity() > 0,
            complaints=complaints,
            known_misses=KNOWN_MISSES,
        )
    for line in lines:
        terminalreporter.write_line(line)
    if _compared_key in config.stash:
        terminalreporter.section("compared")
        for line in config.stash[_compared_key]:
            terminalreporter.write_line(line)
    json_path = config.getoption("benchmark_json", None)
    timed = config._benchmarksession.benchmarks  # type: ignore[attr-defined]
    if json_path is not None and not timed:
        terminalreporter.write_line(f"{json_path}: not written, for nothing was timed")
