"""Migrations of the history, one file a version in `versions`, applied when a store is opened.

A new one is written by hand: `revision` is the next four digits, `down_revision` the one before, and
`schema.SCHEMA_VERSION` rises with it. A released migration never changes.
"""

__all__: list[str] = []
