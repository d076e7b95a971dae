"""What is watched of a rollout: one row of `GUARDS` a guard, and how their texts are read.

>>> watched = parse("errors:carrier=UA")
>>> watched.guard.name, watched.column, watched.value, watched.kind
('errors', 'carrier', 'UA', 'event')
>>> parse("latency<=50").limit
50.0

A text is `NAME[:COLUMN[=VALUE]][<=LIMIT]`. With a column the guard looks at the rows of one value
of that feature; without a value `expand` makes one guard of each.

To add a guard, write a `Guard` with a function of rows and one line in `GUARDS`, and the tests in
`tests/conformance/test_guards.py` run it; users name their own as "mypkg.guards:refunds", which is
a `Guard` or just the function. The function gets a polars frame of rows (see `COLUMNS`) and the
limit, and gives one value a row: true for an event or a number; null leaves the row out.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from lifecycle.errors import ConfigError
from lifecycle.named import named, nearest

if TYPE_CHECKING:
    import polars as pl

MOST = 20  # values of a column that are watched one by one

# what a guard's function may read; a frame has at least those that the guard `needs`
COLUMNS = (
    "prediction", "score", "error", "latency_ms", "label", "known", "features", "key", "time",
)  # fmt: skip

Values = Callable[["pl.DataFrame", float | None], "pl.Series"]


@dataclass(frozen=True)
class Guard:
    """A thing to watch.

    Attributes:
        name: as users write it.
        about: one line for people.
        values: rows and the limit to one value a row; null: the row does not count.
        kind: `event`, a share of units, or `number`, a mean. With a limit all are events: the
            number lies above the limit, unless `values` looks at the limit itself.
        needs: the columns that `values` reads.
        labelled: only rows with a label are units.
        by_request: a request is one row, however many rows it has.
        worse: 1 when more is worse, -1 when less is, 0 when either is.
        limit: whether a text may name one: `no`, `may` or `must`.
        log: the numbers are logarithms, so that a margin of 2 is a difference of log 2.
        negligible: a rate of events that counts as none.
        slight: of logarithms, how much more than the champion's mean, in its unit, counts as none.
        certify: whether a step-up waits for its certificate.
    """

    name: str
    about: str
    values: Values
    kind: Literal["event", "number"] = "event"
    needs: tuple[str, ...] = COLUMNS
    labelled: bool = False
    by_request: bool = False
    worse: int = 1
    limit: Literal["no", "may", "must"] = "no"
    log: bool = False
    negligible: float = 0.002
    slight: float = 0.0
    certify: bool = True


@dataclass(frozen=True)
class Watched:
    """A guard as a rollout watches it: of all rows or of one value of a column."""

    guard: Guard
    text: str
    column: str = ""
    value: str | None = None  # None: of each value, which `expand` makes guards of
    limit: float | None = None

    @property
    def kind(self) -> str:
        """`event` or `number`."""
        return "event" if self.limit is not None else self.guard.kind

    @property
    def certify(self) -> bool:
        """Whether a step-up waits for its certificate.

        Rows of one value do not: they can only take a version back. All rows vouch for them
        together, where the certificate of a rare value alone would hold up a step for months.
        """
        ratio = self.kind == "event" or self.guard.log  # of what else is a margin of times worse?
        return self.guard.certify and ratio and not self.column

    def values(self, rows: "pl.DataFrame") -> "pl.Series":
        """One value a row: true for an event, or a number; null leaves the row out.

        Raises:
            ConfigError: the guard's function fails, or gives something else.
        """
        import polars as pl

        try:
            found = self.guard.values(rows, self.limit)
        except Exception as error:
            raise self._wrong(f"{type(error).__name__}: {error}") from error
        if not isinstance(found, pl.Series) or len(found) != len(rows):
            raise self._wrong(f"it gives no series of {len(rows)} values")
        if found.dtype not in (pl.Null, pl.Boolean) and not found.dtype.is_numeric():
            raise self._wrong(f"it gives {found.dtype}, neither numbers nor true and false")
        if self.kind == "number":
            found = found.cast(pl.Float64)
            return found.set((~found.is_finite()).fill_null(value=False), None)
        if self.limit is not None and found.dtype.is_numeric():
            found = found > self.limit
        elif (
            found.dtype.is_numeric()
            and not found.cast(pl.Float64).drop_nulls().is_in([0.0, 1.0]).all()
        ):
            raise self._wrong("it gives numbers, and counts events")
        return found.cast(pl.Boolean)

    def _wrong(self, what: str) -> ConfigError:
        return ConfigError(
            f"guard {self.text!r} cannot be computed: {what}",
            where="[rollout] guards",
            fix="its function gets a polars frame and the limit, and gives one value a row: true "
            'for an event, or a number where its Guard has kind="number" or the text a limit',
        )


def parse(text: str) -> Watched:
    """Read `NAME[:COLUMN[=VALUE]][<=LIMIT]`.

    >>> parse("mypkg.guards:refunds:plan=pro")  # doctest: +IGNORE_EXCEPTION_DETAIL
    Traceback (most recent call last):
    ConfigError: guard 'mypkg.guards:refunds' cannot be imported

    Raises:
        ConfigError: there is no such guard, names the nearest; or its limit is missing, is no
            number, or is more than it takes.
    """
    head, limit = text.strip(), None
    if found := re.fullmatch(r"(.+?)<=([^<=]*)", head, re.DOTALL):
        head, limit = found[1], found[2].strip()
    name, colon, rest = head.partition(":")
    if name not in GUARDS and colon:
        if "." not in name and nearest(name, GUARDS).startswith("did you mean"):
            colon = ""  # a misspelt name, no module
        else:
            attribute, colon, rest = rest.partition(":")
            name = f"{name}:{attribute}"
    guard = _guard(name)
    column, equals, value = rest.partition("=") if colon else ("", "", "")
    if colon and not column:
        raise _wrong(text, "names no column", "write it as errors:carrier=UA")
    number = _limit(text, guard, limit)
    if number is not None:
        guard = replace(guard, worse=1)  # what lies above the limit, also of what more is better
    return Watched(guard, text.strip(), column, value if equals else None, number)


def _guard(name: str) -> Guard:
    found: Any = named(name, GUARDS, kind="guard")
    if isinstance(found, Guard):
        return found
    if callable(found) and not isinstance(found, type):
        about = (found.__doc__ or "").strip().partition("\n")[0]

        def values(rows: "pl.DataFrame", _: float | None) -> "pl.Series":
            given: pl.Series = found(rows)
            return given

        return Guard(name, about, values, limit="may")
    raise ConfigError(
        f"guard {name!r} is neither a Guard nor a function of rows",
        where=name,
        fix="see lifecycle.rollout.guards for what one looks like",
    )


def _limit(text: str, guard: Guard, limit: str | None) -> float | None:
    if limit is None:
        if guard.limit == "must":
            raise _wrong(text, "needs a limit", f"write it as {text.strip()}<=5")
        return None
    if guard.limit == "no":
        raise _wrong(text, "takes no limit", f"leave out <={limit}")
    try:
        number = float(limit)
    except ValueError:
        number = float("nan")
    if not abs(number) < float("inf"):
        raise _wrong(text, f"has the limit {limit!r}, no number", "write it as latency<=50")
    return number


def _wrong(text: str, what: str, fix: str) -> ConfigError:
    return ConfigError(f"guard {text.strip()!r} {what}", where="[rollout] guards", fix=fix)


def expand(texts: Sequence[str], values_of: Callable[[str], Sequence[str]]) -> tuple[str, ...]:
    """The guards with a column and no value as one guard a value; each guard once.

    >>> expand(["errors", "errors:plan"], lambda column: ["pro", "free"])
    ('errors', 'errors:plan=pro', 'errors:plan=free')

    Args:
        texts: as `parse` reads them.
        values_of: a column's values, the most frequent first; the first 20 are watched.

    Raises:
        ConfigError: a text cannot be read, a column has no values, or a value is one that a text
            cannot hold.
    """
    found: dict[str, None] = {}
    for text in texts:
        watched = parse(text)
        if not watched.column or watched.value is not None:
            found[watched.text] = None
            continue
        values = list(values_of(watched.column))[:MOST]
        if not values:
            raise _wrong(
                text,
                f"looks at {watched.column!r}, of which no value is known",
                f"name its values, as in {watched.column}=VALUE, or answer requests first",
            )
        head, limit = watched.text, ""
        if watched.limit is not None:
            head, _, end = watched.text.rpartition("<=")
            limit = f"<={end}"
        for value in values:
            made = f"{head}={value}{limit}"
            if parse(made).value != value:
                raise _wrong(text, f"cannot name the value {value!r}", "watch another column")
            found[made] = None
    return tuple(found)


def _errors(rows: "pl.DataFrame", _: float | None) -> "pl.Series":
    return rows["error"].is_not_null()


def _invalid(rows: "pl.DataFrame", _: float | None) -> "pl.Series":
    """No answer, a score that is none, a class that is none; failed requests are errors instead."""
    import polars as pl

    answer, score = rows["prediction"], rows["score"]
    unknown = ~rows["known"].cast(pl.Boolean)
    bad = answer.is_null() | _not_finite(answer) | unknown.fill_null(value=False)
    if isinstance(score.dtype, pl.List):
        inside = score.list.eval((pl.element() >= 0) & (pl.element() <= 1)).list.all()
        bad |= score.is_not_null() & ~inside.fill_null(value=False)
        bad |= score.list.eval(pl.element().is_null()).list.any().fill_null(value=False)
    elif score.dtype.is_numeric():
        number = score.cast(pl.Float64)
        bad |= (score.is_not_null() & ~number.is_between(0.0, 1.0)).fill_null(value=False)
        bad |= number.is_nan().fill_null(value=False)
    return bad.set(rows["error"].is_not_null(), None)


def _not_finite(values: "pl.Series") -> "pl.Series":
    import polars as pl

    if not values.dtype.is_float():
        return pl.Series([False], dtype=pl.Boolean).new_from_index(0, len(values))
    return (~values.is_finite()).fill_null(value=False)


def _latency(rows: "pl.DataFrame", limit: float | None) -> "pl.Series":
    """The logarithm of milliseconds; with a limit, whether it is exceeded."""
    taken = _number(rows["latency_ms"])
    if limit is not None:
        return taken > limit
    return taken.clip(1e-3).log()  # under a microsecond no clock tells anything


def _label_error(rows: "pl.DataFrame", limit: float | None) -> "pl.Series":
    """Classes: another than the label, or none; with a limit, further away than it."""
    if limit is not None:
        return _error_size(rows, None)
    return _as_text(rows["prediction"]).ne_missing(_as_text(rows["label"]))


def _as_text(values: "pl.Series") -> "pl.Series":
    """Classes as text, so that 1, 1.0 and true are one class, as models and people write them."""
    import polars as pl

    if values.dtype == pl.Boolean:
        values = values.cast(pl.Int64)
    elif values.dtype.is_float() and (values.drop_nulls() == values.drop_nulls().floor()).all():
        values = values.cast(pl.Int64, strict=False)
    return values.cast(pl.String)


def _error_size(rows: "pl.DataFrame", _: float | None) -> "pl.Series":
    return (_number(rows["prediction"]) - _number(rows["label"])).abs()


def _label(rows: "pl.DataFrame", _: float | None) -> "pl.Series":
    return _number(rows["label"])


def _score(rows: "pl.DataFrame", _: float | None) -> "pl.Series":
    """The score; of several classes the largest; of a regression the answer."""
    import polars as pl

    score = rows["score"]
    if isinstance(score.dtype, pl.List):
        score = score.list.max()
    if score.null_count() == len(score) and rows["prediction"].dtype.is_numeric():
        score = rows["prediction"]
    return _number(score)


def _number(values: "pl.Series") -> "pl.Series":
    import polars as pl

    return values.cast(pl.Float64, strict=False)


# what a name stands for, resolved as in `lifecycle.named`
GUARDS: Mapping[str, str] = {
    "errors": "lifecycle.rollout.guards:ERRORS",
    "invalid": "lifecycle.rollout.guards:INVALID",
    "latency": "lifecycle.rollout.guards:LATENCY",
    "label_error": "lifecycle.rollout.guards:LABEL_ERROR",
    "error_size": "lifecycle.rollout.guards:ERROR_SIZE",
    "label": "lifecycle.rollout.guards:LABEL",
    "score": "lifecycle.rollout.guards:SCORE",
}

ERRORS = Guard(
    "errors", "the model failed on the request", _errors, needs=("error",), by_request=True
)
INVALID = Guard(
    "invalid",
    "the answer is missing or not finite, a score lies outside 0 … 1, a class is unknown",
    _invalid,
    needs=("prediction", "score", "error", "known"),
)
LATENCY = Guard(
    "latency",
    "how long the model took, as the logarithm of milliseconds, of which 0.5 more count as none;"
    " with a limit, that it took longer",
    _latency,
    kind="number",
    needs=("latency_ms",),
    by_request=True,
    limit="may",
    log=True,
    negligible=0.01,
    slight=0.5,
)
LABEL_ERROR = Guard(
    "label_error",
    "the answer is not the label; of a regression, further from it than the limit",
    _label_error,
    needs=("prediction", "label"),
    labelled=True,
    limit="may",
)
ERROR_SIZE = Guard(
    "error_size",
    "how far a regression's answer is from the label",
    _error_size,
    kind="number",
    needs=("prediction", "label"),
    labelled=True,
    limit="may",
)
LABEL = Guard(
    "label",
    "the label itself, of which more is better; with a limit, that it lies above, which is worse",
    _label,
    kind="number",
    needs=("label",),
    labelled=True,
    worse=-1,
    limit="may",
    certify=False,
)
SCORE = Guard(
    "score",
    "the score, of several classes the largest, of a regression the answer",
    _score,
    kind="number",
    needs=("score", "prediction"),
    worse=0,
    limit="may",
    certify=False,
)
