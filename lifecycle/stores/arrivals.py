"""When predictions were answered, whichever time their rows are of.

>>> from lifecycle.stores import ids
>>> token = ids.issue(b"s" * 32, model="churn", version=7, time=1_760_000_000_000_000)
>>> rows = pl.DataFrame({"prediction_id": [f"{token}.0", "by hand"], "time": [0, 5]})
>>> rows.select(arrivals("churn")).to_series().to_list()
[1760000000000000, 5]

The log's `time` is that of the row where the model has a column of times, which may lie years
back. An id tells when it was issued, in milliseconds; see the layout in `stores.ids`.
"""

import polars as pl

from lifecycle.stores import ids


def arrivals(model: str) -> pl.Expr:
    """Microseconds since 1970 UTC at which a row was answered: by its id, else its `time`.

    Args:
        model: the name that the ids were issued for.
    """
    token = pl.col("prediction_id")
    text = token.str.slice(28, 12).str.replace_all("-", "+", literal=True)
    raw = text.str.replace_all("_", "/", literal=True).str.decode("base64", strict=False)
    held = raw.bin.head(8)
    issued = pl.when(held.bin.size() == 8).then(held)
    ticks = issued.bin.reinterpret(dtype=pl.Int64, endianness="big") * 1000
    ours = token.str.starts_with(ids.beginning(model))
    return pl.when(ours).then(ticks).fill_null(pl.col("time").cast(pl.Int64)).alias("at")
