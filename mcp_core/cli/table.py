"""Tables on a terminal, fitted to its width."""

import shutil
import sys
from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

__all__ = ["draw", "fit"]

_BETWEEN = 3
_LEAST = 8


def fit(
    headings: Sequence[str], rows: Sequence[Sequence[str]], width: int, *, whole: Sequence[str], drop: Sequence[str]
) -> dict[str, int]:
    """Which columns are shown, in their order, and how wide each is, so that the table is at most `width` wide.

    Args:
        whole: columns that are never shortened.
        drop: columns that may go, the first one first; then the widest others are shortened.
    """
    widths = {
        heading: max(len(heading), *(len(row[index]) for row in rows)) if rows else len(heading)
        for index, heading in enumerate(headings)
    }

    def too_wide() -> bool:
        return sum(widths.values()) + _BETWEEN * (len(widths) - 1) > width

    for heading in drop:
        if too_wide():
            del widths[heading]
    while too_wide():
        shrinkable = [heading for heading, wide in widths.items() if heading not in whole and wide > _LEAST]
        if not shrinkable:
            break
        widths[max(shrinkable, key=widths.__getitem__)] -= 1
    return widths


def draw(
    headings: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    right: Sequence[str],
    whole: Sequence[str],
    drop: Sequence[str],
) -> None:
    """Draw the table on standard output, a terminal."""
    width = shutil.get_terminal_size().columns
    shown = fit(headings, rows, width, whole=whole, drop=drop)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 2, 0, 0), show_edge=False)
    for heading, wide in shown.items():
        table.add_column(heading, justify="right" if heading in right else "left", no_wrap=True, width=wide)
    indices = [headings.index(heading) for heading in shown]
    for row in rows:
        table.add_row(*(Text(row[index]) for index in indices))
    # A table that cannot get narrower runs over rather than losing what must be whole.
    needed = sum(shown.values()) + _BETWEEN * (len(shown) - 1)
    Console(file=sys.stdout, highlight=False, width=max(width, needed)).print(table)
