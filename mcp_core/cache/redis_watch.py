"""Hearing from other processes what they changed in the shared cache."""

import threading
from collections.abc import Callable
from typing import Any

from loguru import logger
from redis.exceptions import RedisError

__all__ = ["EVERYTHING", "Watcher"]

EVERYTHING = "*"
"""Stands for all keys in a message `<id of the sender> <key>`."""

_POLL_SECONDS = 0.25
_FIRST_WAIT_SECONDS = 0.5
_LONGEST_WAIT_SECONDS = 5.0


class Watcher:
    """A thread that calls `forget(key)` for every change another cache object announces, `forget(None)` for all.

    It also forgets everything whenever it has (re)subscribed: what was said before it has missed.
    """

    def __init__(self, db: Any, channel: str, own_id: str, forget: Callable[[str | None], None]) -> None:
        self._db = db
        self._channel = channel
        self._own_id = own_id
        self._forget = forget
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="cache-watch", daemon=True)

    def start(self) -> None:
        """Begin to listen."""
        self._thread.start()

    def stop(self) -> None:
        """Stop listening; returns when the thread has ended, which takes about a second at most."""
        self._stopped.set()
        self._thread.join(timeout=5.0)

    def _run(self) -> None:
        wait = _FIRST_WAIT_SECONDS
        while not self._stopped.is_set():
            pubsub = self._db.pubsub()
            try:
                pubsub.subscribe(self._channel)
                while not self._stopped.is_set():
                    message = pubsub.get_message(timeout=_POLL_SECONDS)
                    if message is not None:
                        wait = _FIRST_WAIT_SECONDS
                        self._hear(message)
            except (RedisError, OSError) as error:
                logger.debug("Changes by other processes are not heard for {} s: {}", wait, error)
                self._stopped.wait(wait)
                wait = min(2 * wait, _LONGEST_WAIT_SECONDS)
            finally:
                pubsub.close()

    def _hear(self, message: dict[str, Any]) -> None:
        if message["type"] == "subscribe":
            self._forget(None)
        elif message["type"] == "message":
            sender, _, key = message["data"].decode("utf-8", "replace").partition(" ")
            if sender != self._own_id:
                self._forget(None if key == EVERYTHING else key)
