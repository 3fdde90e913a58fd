"""Files that runs produced."""

import hashlib

from sqlalchemy import select

from mcp_core.errors import StoreError
from mcp_core.models import Artifact
from mcp_core.store.codec import plain
from mcp_core.store.engine import Database
from mcp_core.store.rollups import Rollups
from mcp_core.store.schema import artifacts
from mcp_core.store.statements import Statement, Transaction, insert
from mcp_core.store.writer import Operation, Writer

__all__ = ["Artifacts"]

_MOST_BYTES = 256 * 1024 * 1024


class Artifacts:
    """Artifacts by run and name; they go when their run goes."""

    def __init__(self, database: Database, writer: Writer[Rollups]) -> None:
        self._database = database
        self._writer = writer
        put = insert(artifacts, database.engine)
        self._put = Statement(
            put.on_conflict_do_update(
                index_elements=list(artifacts.primary_key.columns),
                set_={c.name: put.excluded[c.name] for c in artifacts.columns if not c.primary_key},
            ),
            database.engine,
        )

    def put(self, run_id: str, name: str, media_type: str, content: bytes) -> Artifact:
        """Store a file with a run, replacing one of the same name."""
        if len(content) > _MOST_BYTES:
            raise StoreError(
                f"The file {name!r} of run {run_id} has {len(content):,} bytes; the history keeps {_MOST_BYTES:,}.",
                hint="Write large files to a directory of your own and return their path.",
            )
        artifact = Artifact(
            name=plain(name),
            media_type=plain(media_type),
            size_bytes=len(content),
            sha256=hashlib.sha256(content).hexdigest(),
        )
        row = {
            "run_id": run_id,
            "name": artifact.name,
            "media_type": artifact.media_type,
            "size": artifact.size_bytes,
            "sha256": artifact.sha256,
            "content": content,
        }

        def apply(transaction: Transaction, _: Rollups) -> None:
            transaction.execute(self._put, row)

        self._writer.run(Operation(apply, key=run_id))
        return artifact

    def get(self, run_id: str, name: str) -> bytes:
        """The file's bytes."""
        wanted = select(artifacts.c.content).where(artifacts.c.run_id == plain(run_id), artifacts.c.name == plain(name))
        with self._database.reading() as connection:
            content = connection.execute(wanted).scalar()
        if content is None:
            raise StoreError(f"Run {run_id} has no file {name!r}.", hint="It may have been deleted with its run.")
        return bytes(content)
