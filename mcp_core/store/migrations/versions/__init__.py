"""One module a version of the schema."""

__all__: list[str] = []
