"""Parquet files and folders of them, read column by column in bounded memory.

>>> import tempfile
>>> with tempfile.TemporaryDirectory() as folder:
...     pl.DataFrame({"age": [31, 45]}).write_parquet(f"{folder}/one.parquet")
...     pl.DataFrame({"age": [0.5], "plan": ["a"]}).write_parquet(f"{folder}/two.parquet")
...     table = opened(Path(folder))
...     table.columns, [chunk.to_list() for chunk in table.column("age").read()]
({'age': Float64, 'plan': String}, [[31.0, 45.0, 0.5]])

The parts of a folder are one table: a column that a part lacks is null there, and types are widened
to what holds all of them. Keys in the names of folders (`plan=a/`) are columns where they are asked
for. A folder of the prediction log is the table of its features.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from lifecycle.drift.columns import EXACT_ROWS, Column
from lifecycle.engines.tables import Table
from lifecycle.errors import DataError
from lifecycle.stores.datasets import INDEX

LOG = b"lifecycle.schema"  # what every file of the prediction log is marked with
FEATURES = "features"
CODE_BYTES = 4.0  # a text column of fewer bytes a row is one of few levels, kept as their numbers
FAILURES = (OSError, pa.ArrowException, pl.exceptions.PolarsError, ValueError)


@dataclass(frozen=True)
class Part:
    """One file.

    Attributes:
        path: of the file.
        metadata: its footer.
        schema: polars types of its columns; of the prediction log its features first.
        features: which of them are fields of the log's `features`.
        keys: what its folders' names say.
    """

    path: Path
    metadata: Any
    schema: Mapping[str, pl.DataType]
    features: frozenset[str] = frozenset()
    keys: Mapping[str, str] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """How many rows."""
        return int(self.metadata.num_rows)

    def read(self, name: str, groups: Sequence[int], most: int) -> Iterator[pl.Series]:
        """One column of some row groups, in chunks of at most so many rows."""
        rows = sum(self.metadata.row_group(group).num_rows for group in groups)
        if name not in self.schema:
            value = self.keys.get(name)
            yield pl.Series(name, [value], dtype=pl.String if value else pl.Null).new_from_index(
                0, rows
            )
            return
        inner = name in self.features
        coded = [name] if not inner and self._few(name) else []
        path = f"{FEATURES}.{name}" if inner else name
        try:
            with pq.ParquetFile(self.path, metadata=self.metadata, read_dictionary=coded) as file:
                if rows <= most:
                    table = file.read_row_groups(list(groups), columns=[path], use_threads=False)
                    yield self._series(table, name)
                    return
                found = file.iter_batches(most, list(groups), [path], use_threads=False)
                for batch in found:
                    yield self._series(pa.Table.from_batches([batch]), name)
        except FAILURES as error:
            raise damaged(self.path, error) from error

    def _series(self, table: pa.Table, name: str) -> pl.Series:
        found = pl.from_arrow(table.column(FEATURES if name in self.features else name))
        assert isinstance(found, pl.Series)
        return (found.struct.field(name) if name in self.features else found).alias(name)

    def _few(self, name: str) -> bool:
        """Whether a text column is stored as the numbers of few levels."""
        if self.schema[name] != pl.String:
            return False
        size = 0
        for group in range(self.metadata.num_row_groups):
            stored = self.metadata.row_group(group)
            columns = (stored.column(at) for at in range(stored.num_columns))
            column = next(item for item in columns if item.path_in_schema == name)
            if "DICTIONARY" not in " ".join(column.encodings):
                return False
            size += column.total_uncompressed_size
        return size < CODE_BYTES * self.rows


def opened(path: Path, most: int = EXACT_ROWS) -> Table:
    """A file or a folder as one table; only footers are read.

    Args:
        path: of the file or folder.
        most: rows that are read at once, of one column.

    Raises:
        DataError: a file is missing, empty or damaged, or two parts of a folder hold columns of
            one name and types that do not go together; names the file.
    """
    files = _files(path) if path.is_dir() else [path]
    parts = [_part(file, path) for file in files]
    if any(part.features for part in parts):
        parts = _logged(parts, path)
    types = _union(parts)
    main = {name: kind for name, kind in types.items() if _is_main(name, parts)}
    more = {name: kind for name, kind in types.items() if name not in main}
    more |= {name: pl.String() for part in parts for name in part.keys if name not in types}
    rows = sum(part.rows for part in parts)

    def column(name: str) -> Column:
        kind = types.get(name)

        def read() -> Iterator[pl.Series]:
            for pieces in _pieces(parts, most):
                yield from _chunks(name, pieces, kind, most)

        return Column(name, rows, read, kind, rows <= most)

    return Table(str(path), rows, main, more, column=column, whole=rows <= most)


def _files(folder: Path) -> list[Path]:
    """The folder's files, by name; hidden ones and those of a log's labels are left out."""
    found = [
        file
        for file in sorted(folder.rglob("*.parquet"))
        if not any(name[0] in "._" for name in file.relative_to(folder).parts)
    ]
    if not found:
        raise DataError("the folder holds no Parquet file", where=folder, fix="check the path")
    return found


def _part(path: Path, root: Path) -> Part:
    try:
        if not path.stat().st_size:
            raise DataError("the file is empty", where=path, fix="check the export that wrote it")
        metadata = pq.read_metadata(path)
        empty = pl.from_arrow(metadata.schema.to_arrow_schema().empty_table())
    except FAILURES as error:
        if isinstance(error, DataError):
            raise
        raise damaged(path, error) from error
    assert isinstance(empty, pl.DataFrame)
    stored = metadata.metadata or {}
    levels = json.loads(stored.get(b"pandas", b"{}")).get("index_columns", [])
    schema = {
        name: kind
        for name, kind in empty.schema.items()
        if not (name in levels and INDEX.fullmatch(name))
    }
    folders = path.relative_to(root).parts[:-1] if path != root else ()
    pairs = (unquote(name).partition("=") for name in folders)
    keys = {name: value for name, mark, value in pairs if mark and name}
    features = schema.get(FEATURES)
    if LOG not in stored or not isinstance(features, pl.Struct):
        return Part(path, metadata, schema, keys=keys)
    inner = {item.name: _instance(item.dtype) for item in features.fields}
    others = {name: kind for name, kind in schema.items() if name not in (*inner, FEATURES)}
    return Part(path, metadata, inner | others, frozenset(inner), keys)


def _instance(kind: Any) -> pl.DataType:
    made = kind() if isinstance(kind, type) else kind
    assert isinstance(made, pl.DataType)
    return made


def _logged(parts: list[Part], root: Path) -> list[Part]:
    """The parts of one model's log; a log keeps labels beside them."""
    kept = [part for part in parts if part.features]
    models = {part.keys.get("model", "") for part in kept}
    if len(models) > 1:
        listed = ", ".join(sorted(models))
        raise DataError(
            f"the folder is the log of several models: {listed}",
            where=root,
            fix="name the folder of one of them, model=NAME",
        )
    return kept


def _is_main(name: str, parts: Sequence[Part]) -> bool:
    """Whether a column is compared without being asked for: of a log, only features are."""
    return any(name in (part.features or part.schema) for part in parts)


def _union(parts: Sequence[Part]) -> dict[str, pl.DataType]:
    """Types that hold all parts' values, by column, in the order in which they are met."""
    types: dict[str, pl.DataType] = {}
    for part in parts:
        for name, kind in part.schema.items():
            known = types.setdefault(name, kind)
            if known == kind:
                continue
            try:
                both = [pl.DataFrame(schema={name: item}) for item in (known, kind)]
                types[name] = pl.concat(both, how="vertical_relaxed").schema[name]
            except pl.exceptions.PolarsError as error:
                raise DataError(
                    f"column {name!r} is {kind} here and {known} in other parts",
                    where=part.path,
                    fix="write all parts with the same types",
                ) from error
    return types


Piece = tuple[Part, list[int]]


def _pieces(parts: Sequence[Part], most: int) -> Iterator[list[Piece]]:
    """Row groups of parts that are read together: at most so many rows, or one group."""
    pieces: list[Piece] = []
    held = 0
    for part in parts:
        for group in range(part.metadata.num_row_groups):
            rows = part.metadata.row_group(group).num_rows
            if pieces and held + rows > most:
                yield pieces
                pieces, held = [], 0
            if not pieces or pieces[-1][0] is not part:
                pieces.append((part, []))
            pieces[-1][1].append(group)
            held += rows
    if pieces or not held:
        yield pieces


def _chunks(
    name: str, pieces: list[Piece], kind: pl.DataType | None, most: int
) -> Iterator[pl.Series]:
    """A column of what is read together, as one chunk; a larger row group in several."""
    if len(pieces) == 1:
        for series in pieces[0][0].read(name, pieces[0][1], most):
            coded = series.dtype == pl.Categorical and kind == pl.String
            yield series if coded or kind is None else series.cast(kind)
        return
    found = [series for part, groups in pieces for series in part.read(name, groups, most)]
    same = kind is None or all(series.dtype == found[0].dtype for series in found)
    coded = bool(found) and same and found[0].dtype == pl.Categorical
    cast = [series if coded or kind is None else series.cast(kind) for series in found]
    yield pl.concat(cast) if cast else pl.Series(name, [], dtype=kind)


def damaged(path: Path, error: Exception) -> DataError:
    """What is said of a file that cannot be read."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return DataError(
        f"the Parquet file cannot be read: {lines[0]}", where=path, fix="write it again"
    )
