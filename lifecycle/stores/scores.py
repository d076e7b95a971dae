"""The output of batch scoring: finished parts in a folder beside it, then one file at once.

>>> import tempfile
>>> with tempfile.TemporaryDirectory() as folder:
...     with Parts(Path(folder) / "scores.csv", {"input": "live.csv"}) as parts:
...         parts.write(pl.DataFrame({"prediction": [1, 0]}))
...         parts.finish()
...     (Path(folder) / "scores.csv").read_text().split()
['prediction', '1', '0']

`OUTPUT.part/` holds `job.json` (what is scored by what), and `00000.parquet` and so on, each
renamed into its place when it is complete. A run that finds the same job goes on behind the last
part; one that finds another job refuses.
"""

import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import polars as pl

from lifecycle.errors import DataError, LogError


class Parts:
    """The parts of one output; a context manager that holds its lock.

    Attributes:
        job: names the job; the same when it is resumed.
        done: how many parts are finished.
        rows: how many rows they have.
    """

    def __init__(self, output: Path, identity: Mapping[str, Any]) -> None:
        self.output, self.folder = output, output.with_name(f"{output.name}.part")
        self.identity = json.loads(json.dumps(identity))
        self.done = self.rows = 0
        self.job = ""
        self._lock = -1

    def __enter__(self) -> "Parts":
        with self._failing():
            self.folder.mkdir(exist_ok=True)
            self._lock = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT, 0o640)
        try:
            self._take_up()
        except BaseException:
            os.close(self._lock)
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if not self.done:
            self.discard()
        os.close(self._lock)

    def _take_up(self) -> None:
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise DataError(
                "another run writes this output", where=self.output, fix="wait for it to end"
            ) from error
        manifest = self.folder / "job.json"
        if not manifest.exists():
            self.job = os.urandom(8).hex()
            content = json.dumps({"job": self.job, "identity": self.identity})
            with self._failing():
                draft = self.folder / ".job.tmp"
                draft.write_text(content, encoding="utf-8")
                draft.rename(manifest)
            return
        with self._failing():
            found = json.loads(manifest.read_text(encoding="utf-8"))
            self.job = found["job"]
            found = found["identity"]
        if found != self.identity:
            changed = sorted(key for key, mine in self.identity.items() if found.get(key) != mine)
            raise DataError(
                f"an interrupted run of another job is in the way ({', '.join(changed)} differs)",
                where=self.folder,
                fix="run that one again to finish it, or remove the folder to begin anew",
            )
        while (path := self._part(self.done)).exists():
            self.done += 1
            self.rows += int(pl.scan_parquet(path).select(pl.len()).collect().item())

    def _part(self, number: int) -> Path:
        return self.folder / f"{number:05}.parquet"

    def write(self, frame: pl.DataFrame) -> None:
        """Write the next part.

        Raises:
            LogError: the disk is full or gone; what was finished stays.
        """
        path = self._part(self.done)
        with self._failing():
            draft = path.with_suffix(".tmp")
            frame.write_parquet(draft)
            draft.rename(path)
        self.done += 1
        self.rows += len(frame)

    def finish(self) -> None:
        """Put the parts together, give the output its name, and remove the parts.

        Raises:
            LogError: the disk is full or gone; an output that was there before stays.
        """
        whole = self.folder / f"whole{self.output.suffix}"
        with self._failing():
            paths = [self._part(number) for number in range(self.done)]
            if self.output.suffix == ".csv":
                with whole.open("wb") as stream:
                    for number, path in enumerate(paths):
                        pl.read_parquet(path).write_csv(stream, include_header=number == 0)
            else:
                pl.scan_parquet(paths).sink_parquet(whole, maintain_order=True)
            with whole.open("rb") as written:
                os.fsync(written.fileno())
            whole.replace(self.output)
        self.discard()

    def discard(self) -> None:
        """Remove the parts."""
        shutil.rmtree(self.folder, ignore_errors=True)

    @contextmanager
    def _failing(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError, KeyError, pl.exceptions.PolarsError) as error:
            for draft in self.folder.glob("*.tmp"):
                with suppress(OSError):
                    draft.unlink()
            raise LogError(
                f"the output cannot be written: {error}",
                where=self.output,
                fix="free space or make the folder writable, then run it again: it goes on",
            ) from error
