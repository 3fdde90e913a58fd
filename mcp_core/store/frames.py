"""Rows as typed pandas frames. pandas is imported here alone, and only when a frame is asked for."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ColumnKind", "frame"]

ColumnKind = Literal["text", "category", "integer", "number", "time", "money", "nano_usd", "micros"]
"""How a column is stored and shown: `time` is microseconds since 1970, `money` a decimal as text, `nano_usd` an integer
of nano-dollars (shown in dollars), `micros` a duration in microseconds (shown in seconds)."""


def frame(rows: Sequence[Sequence[Any]], columns: Mapping[str, ColumnKind]) -> "pd.DataFrame":
    """A frame with one typed column for each of `columns`, also where there are no rows.

    Times are timezone-aware UTC; money and durations are floats, NaN where unknown.
    """
    import pandas as pd

    values = list(zip(*rows, strict=True)) if rows else [()] * len(columns)
    return pd.DataFrame(
        {name: _series(column, kind) for (name, kind), column in zip(columns.items(), values, strict=True)}
    )


def _series(values: Sequence[Any], kind: ColumnKind) -> "pd.Series[Any]":
    import pandas as pd

    match kind:
        case "time":
            return pd.Series(pd.to_datetime(pd.array(values, dtype="Int64"), unit="us", utc=True))
        case "integer":
            return pd.Series(values, dtype="int64")
        case "money":
            return pd.Series([None if value is None else float(value) for value in values], dtype="float64")
        case "nano_usd":
            return pd.Series(values, dtype="float64") / 1e9
        case "micros":
            return pd.Series(values, dtype="float64") / 1e6
        case "number":
            return pd.Series(values, dtype="float64")
        case "category":
            return pd.Series(values, dtype="str").astype("category")
        case "text":
            return pd.Series(values, dtype="str")
