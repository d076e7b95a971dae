"""Whatever is wrong with what a verb is given: one clear error, exit 1, nothing half-written."""

import contextlib
import socket
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

Frame = pd.DataFrame
Cli = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture(autouse=True)
def here(in_world: Path) -> Iterator[Path]:
    """The world as working folder; checked to be as it was when the test is over."""
    before = state(in_world)
    yield in_world
    assert state(in_world) == before


def state(folder: Path) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Every file and all that the registry says, but for runs that are marked as failed."""
    ignored = ("mlflow.db", "bad.")
    every = [str(path.relative_to(folder)) for path in folder.rglob("*")]
    found = [path for path in every if "lifecycle-log/checks" not in path]  # whose turn it is
    runs = "select run_uuid from runs where status = 'FAILED'"
    queries = (
        "select run_uuid, status from runs where status != 'FAILED'",
        "select name, version from model_versions",
        "select name, version, key, value from model_version_tags",
        "select name, alias, version from registered_model_aliases",
        f"select key, value from params where run_uuid not in ({runs})",
    )
    with contextlib.closing(sqlite3.connect(folder / "mlflow.db")) as database:
        rows = [row for query in queries for row in database.execute(query)]
        failed = [row[0] for row in database.execute(runs)]
    kept = [
        name
        for name in found
        if not name.startswith(ignored) and not any(run in name for run in failed)
    ]
    return sorted(kept), sorted(rows, key=str)


def refused(cli: Cli, arguments: list[str], *words: str) -> dict[str, Any]:
    """The error that a command ends with, which must hold the words."""
    code, told = cli(*arguments)
    assert code == 1, told
    assert set(told) == {"error"}
    error: dict[str, Any] = told["error"]
    assert error["type"] != "LifecycleError", f"no error of ours: {error}"
    assert "unexpected" not in error["what"]
    for word in words:
        assert word in error["message"], error["message"]
    assert len(error["message"]) < 700
    return error


def without(column: str) -> Callable[[Frame], Frame]:
    return lambda frame: frame.drop(columns=column)


def having(**values: Any) -> Callable[[Frame], Frame]:
    return lambda frame: frame.assign(**values)


def one_class_last(frame: Frame) -> Frame:
    target = frame["churned"].to_numpy(copy=True)
    target[-200:] = 0
    return frame.assign(churned=target)


def gaps(frame: Frame) -> Frame:
    target = frame["churned"].astype(float)
    target.iloc[3] = np.nan
    return frame.assign(churned=target)


FRAMES: list[tuple[str, Callable[[Frame], Frame], tuple[str, ...]]] = [
    ("missing target", without("churned"), ("churned",)),
    ("constant target", having(churned=1), ("churned", "always 1")),
    ("null target", having(churned=None), ("churned",)),
    ("a gap in the target", gaps, ("churned", "1")),
    ("one class held out", one_class_last, ("class",)),
    ("missing time", without("ts"), ("ts",)),
    ("unparseable time", having(ts="soon"), ("ts", "soon")),
    ("null time", having(ts=None), ("ts",)),
    ("missing key", without("customer_id"), ("customer_id",)),
    ("no features", lambda frame: frame[["customer_id", "ts", "churned"]], ("bad.csv",)),
    ("no rows", lambda frame: frame.head(0), ("no rows",)),
    ("one row", lambda frame: frame.head(1), ("row",)),
]


@pytest.mark.parametrize("verb", ["train", "retrain"])
@pytest.mark.parametrize("row", FRAMES, ids=lambda row: row[0])
def test_rows_that_cannot_be_trained_on(verb, row, make_churn, cli):
    _, change, words = row
    change(make_churn(600)).to_csv("bad.csv", index=False)
    refused(cli, [verb, "churn", "--data", "bad.csv"], "bad.csv", *words)


FILES: list[tuple[str, str, bytes, tuple[str, ...]]] = [
    ("empty csv", "bad.csv", b"", ("bad.csv", "empty")),
    ("empty parquet", "bad.parquet", b"", ("bad.parquet", "empty")),
    ("newline", "bad.csv", b"\n", ("bad.csv",)),
    ("header only", "bad.csv", b"customer_id,ts,tenure,churned\n", ("bad.csv", "no rows")),
    ("twins", "bad.csv", b"a,b,a\n1,2,3\n4,5,6\n", ("bad.csv", "'a'", "2 times")),
    ("no parquet", "bad.parquet", b"PAR1 no more PAR1", ("bad.parquet", "Parquet")),
    ("binary", "bad.csv", bytes(range(128, 256)) * 9, ("bad.csv",)),
    ("ragged", "bad.csv", b"a,b\n1,2\n3,4,5,6\n", ("bad.csv",)),
    ("ending", "bad.xlsx", b"PK", (".xlsx",)),
]
READERS = {
    "train": ["train", "churn", "--data", "{}"],
    "validation": ["train", "churn", "--data", "good.parquet", "--validation", "{}"],
    "retrain": ["retrain", "churn", "--data", "{}"],
    "evaluate": ["evaluate", "churn", "--data", "{}"],
    "score": ["score", "churn", "--input", "{}", "--output", "bad.out.csv"],
    "feedback": ["feedback", "churn", "--labels", "{}"],
    "monitor": ["monitor", "churn", "--live", "{}"],
    "drift reference": ["drift", "{}", "live.parquet"],
    "drift current": ["drift", "live.parquet", "{}"],
    "init": ["init", "{}", "--output", "bad.toml"],
}


@pytest.mark.parametrize("verb", READERS)
@pytest.mark.parametrize("row", FILES, ids=lambda row: row[0])
def test_files_that_are_none(verb, row, cli):
    kind, name, content, words = row
    Path(name).write_bytes(content)
    if kind == "header only" and verb in ("monitor", "drift current"):
        code, told = cli(*[part.format(name) for part in READERS[verb]])
        assert code == 3, "live rows that have not come are no evidence, not an error"
        assert "no live rows" in str(told)
        return
    words = words if ".xlsx" not in words else ("bad.xlsx",)
    refused(cli, [part.format(name) for part in READERS[verb]], *words)
    assert not Path("bad.out.csv").exists()
    assert not Path("bad.toml").exists()


@pytest.mark.parametrize("verb", READERS)
def test_files_that_are_not_there(verb, cli):
    refused(
        cli,
        [part.format("gone.csv") for part in READERS[verb]],
        "gone.csv",
        "Next: check the path",
    )


@pytest.mark.parametrize("verb", READERS)
def test_a_folder_where_a_file_should_be(verb, cli):
    Path("bad.csv").unlink(missing_ok=True)
    Path("bad.csv").mkdir()
    try:
        refused(cli, [part.format("bad.csv") for part in READERS[verb]], "bad.csv")
    finally:
        Path("bad.csv").rmdir()


INPUTS: list[tuple[str, Callable[[Frame], Frame], tuple[str, ...]]] = [
    ("missing column", without("tenure"), ("tenure", "missing")),
    ("text for a number", having(tenure="long"), ("tenure",)),
    ("required column all null", having(tenure=None), ("tenure",)),
    ("unparseable time", having(ts="soon"), ("ts", "soon")),
]


@pytest.mark.parametrize("verb", ["score", "evaluate", "monitor"])
@pytest.mark.parametrize("row", INPUTS, ids=lambda row: row[0])
def test_rows_that_the_model_cannot_take(verb, row, make_churn, cli):
    _, change, words = row
    if verb == "monitor" and "soon" not in words:
        return  # what has changed is its finding
    if verb == "evaluate" and "soon" in words:
        return  # it does not look at the time
    change(make_churn(80)).to_csv("bad.csv", index=False)
    refused(cli, [part.format("bad.csv") for part in READERS[verb]], *words)
    assert not Path("bad.out.csv").exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (without("churned"), ("churned",)),
        (gaps, ("churned",)),
        (having(churned="perhaps"), ("churned", "perhaps")),
    ],
)
def test_rows_that_nothing_can_be_judged_by(change, words, make_churn, cli):
    change(make_churn(80)).to_csv("bad.csv", index=False)
    refused(cli, ["evaluate", "churn", "--data", "bad.csv"], *words)


ABSENT = {
    "ghost": ("ghost",),
    "churn/9": ("churn/9",),
    "churn@nobody": ("nobody",),
    "models:/ghost@champion": ("ghost",),
    "models:/churn/9": ("churn/9",),
}
REFS = {
    "gate": ["gate", "{}"],
    "promote": ["promote", "{}", "--to", "staging"],
    "promote by force": ["promote", "{}", "--to", "staging", "--force", "--reason", "r"],
    "score": ["score", "{}", "--input", "live.parquet", "--output", "bad.out.csv"],
    "serve": ["serve", "{}", "--port", "0"],
    "adopt": ["adopt", "{}"],
    "evaluate": ["evaluate", "{}", "--data", "good.parquet"],
    "evaluate against": ["evaluate", "churn", "--against", "{}", "--data", "good.parquet"],
}
NAMES = {
    "rollback": ["rollback", "ghost", "--reason", "r"],
    "history": ["history", "ghost"],
    "status": ["status", "ghost"],
    "monitor": ["monitor", "ghost"],
    "monitor a file": ["monitor", "ghost", "--live", "live.parquet"],
}


@pytest.mark.parametrize("verb", REFS)
@pytest.mark.parametrize("ref", ABSENT)
def test_references_to_what_does_not_exist(verb, ref, cli):
    error = refused(cli, [part.format(ref) for part in REFS[verb]], *ABSENT[ref])
    assert error["type"] == "ModelNotFound"
    assert error["fix"] or "did you mean" in error["what"] or "known" in error["what"], error


@pytest.mark.parametrize("verb", NAMES)
def test_names_that_do_not_exist(verb, cli):
    error = refused(cli, NAMES[verb], "ghost")
    assert error["type"] == "ModelNotFound"


def test_feedback_for_what_was_never_predicted(cli):
    pd.DataFrame({"prediction_id": ["p1.x.0"], "label": [1]}).to_csv("bad.csv", index=False)
    refused(cli, ["feedback", "ghost", "--labels", "bad.csv"])
    refused(cli, ["feedback", "churn", "--labels", "bad.csv"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["promote", "churn/1", "--to", "moon"], ("moon",)),
        (["promote", "churn/1", "--to", "staging", "--force"], ("reason",)),
        (["rollback", "churn", "--reason", "r"], ("churn",)),
        (["monitor", "churn", "--since", "soon"], ("soon",)),
        (["monitor", "churn", "--until", "soon"], ("soon",)),
        (["monitor", "churn", "--since", "2026-03-01", "--until", "2026-02-01"], ()),
        (["train", "churn", "--data", "good.parquet", "--candidate", "xgbost"], ("xgbost",)),
        (["train", "churn", "--data", "good.parquet", "--candidate", "no.such:M"], ("no.such",)),
        (["train", "churn", "--data", "good.parquet", "--candidate", "json:dumps"], ("json:d",)),
        (["adopt", "churn/1"], ("churn/1",)),
        (["drift", "live.parquet", "good.parquet", "--time", "when"], ("when",)),
    ],
)  # fmt: skip
def test_values_that_make_no_sense(arguments, words, cli):
    refused(cli, arguments, *words)


@pytest.mark.parametrize("parent", ["a file", "no folder"])
@pytest.mark.parametrize(
    ("arguments"),
    [
        ["score", "churn", "--input", "live.parquet", "--output", "{}/scores.parquet"],
        ["score", "churn", "--input", "live.parquet", "--output", "bad.o.csv", "--log", "{}/log"],
        ["drift", "good.parquet", "live.parquet", "--html", "{}/drift.html"],
        ["monitor", "churn", "--live", "live.parquet", "--html", "{}/drift.html"],
        ["feedback", "churn", "--labels", "bad.labels.csv", "--log", "{}/log"],
        ["serve", "churn", "--port", "0", "--log", "{}/log"],
        ["init", "good.parquet", "--output", "{}/lifecycle.toml"],
    ],
)
def test_places_that_cannot_be_written(parent, arguments, cli):
    place = "good.parquet" if parent == "a file" else "/proc/none"
    Path("bad.labels.csv").write_text("prediction_id,label\nx,1\n")
    refused(cli, [part.format(place) for part in arguments], place)


def closed() -> tuple[str, Callable[[], None]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}", lambda: None


def silent() -> tuple[str, Callable[[], None]]:
    hole = socket.socket()
    hole.bind(("127.0.0.1", 0))
    hole.listen(64)
    return f"http://127.0.0.1:{hole.getsockname()[1]}", hole.close


def unwell() -> tuple[str, Callable[[], None]]:
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    class Unwell(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(503)
            self.send_header("Content-Length", "7")
            self.end_headers()
            self.wfile.write(b"unwell\n")

        do_POST = do_GET  # noqa: N815 - http.server's name

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Unwell)
    threading.Thread(target=server.serve_forever, daemon=True).start()

    def end() -> None:
        server.shutdown()
        server.server_close()

    return f"http://127.0.0.1:{server.server_port}", end


DOWN = {"closed": closed, "silent": silent, "unwell": unwell}
TALKERS = {
    "train": ["train", "churn", "--data", "good.parquet"],
    "gate": REFS["gate"],
    "promote": REFS["promote"],
    "rollback": ["rollback", "churn", "--reason", "r"],
    "history": ["history", "churn"],
    "score": REFS["score"],
    "serve": REFS["serve"],
    "status": ["status"],
    "status of one": ["status", "churn"],
    "adopt": REFS["adopt"],
    "evaluate": REFS["evaluate"],
    "monitor": ["monitor", "churn"],
    "monitor a file": ["monitor", "churn", "--live", "live.parquet"],
    "retrain": ["retrain", "churn", "--data", "good.parquet"],
    "retrain if flagged": ["retrain", "churn", "--data", "good.parquet", "--if-flagged"],
}


@pytest.mark.parametrize("how", DOWN)
@pytest.mark.parametrize("verb", TALKERS)
def test_a_registry_that_is_down(verb, how, monkeypatch, cli):
    address, end = DOWN[how]()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    if how == "silent":
        monkeypatch.setenv("LIFECYCLE_TRACKING_TIMEOUT", "1")
    started = time.monotonic()
    try:
        error = refused(cli, [part.format("churn/1") for part in TALKERS[verb]], address)
    finally:
        end()
    assert time.monotonic() - started < 10
    assert error["type"] == "RegistryUnavailable"
    assert "mlflow server" in error["fix"]
