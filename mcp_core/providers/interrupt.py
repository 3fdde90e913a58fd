"""Connections that can be cut from another thread, so that a cancelled call ends at once, wherever it waits.

A blocked `recv` cannot be talked out of waiting; shutting its socket down ends it at once. So each connection keeps a
second handle of its socket, and tells the call that uses it. Looking up a name and connecting have no socket to shut:
they happen in a thread of their own, which a cancelled call leaves behind.
"""

import socket
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from types import TracebackType
from typing import Any, Self

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

from mcp_core.control import CancelToken

__all__ = ["ActiveCall", "InterruptibleAdapter"]

_here = threading.local()


class ActiveCall:
    """One exchange with a server on this thread; while it is entered, its token can cut it off.

    Nothing but the connection in use is touched: one that has gone back to its pool, or on to another call, is safe.
    """

    def __init__(self, cancel: CancelToken) -> None:
        self._cancel = cancel
        self._lock = threading.Lock()
        self._line: _Line | None = None
        self._stack = ExitStack()
        self.interrupted = threading.Event()

    def __enter__(self) -> Self:
        self._outer = getattr(_here, "call", None)
        _here.call = self
        self._stack.enter_context(self._cancel.on_cancel(self.interrupt))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()
        _here.call = self._outer
        self._take(None)

    def interrupt(self) -> None:
        """Cut the connection in use, now and for the rest of the call."""
        self.interrupted.set()
        with self._lock:
            line = self._line
        if line is not None:
            line.shut(self)

    def use(self, line: "_Line") -> None:
        """Note that this call goes over `line` from now on."""
        self._take(line)
        if self.interrupted.is_set():
            line.shut(self)

    def settimeout(self, seconds: float) -> bool:
        """Let the connection in use wait no longer than this for the next bytes; returns whether it is still open."""
        with self._lock:
            line = self._line
        return line is not None and line.settimeout(seconds)

    def _take(self, line: "_Line | None") -> None:
        with self._lock:
            before, self._line = self._line, line
        if before is not line and before is not None:
            before.leave(self)
        if line is not None:
            line.enter(self)


class _Line:
    """A second handle of a connection's socket, and the call that may shut it."""

    def __init__(self, connected: socket.socket, connection: Any) -> None:
        self._lock = threading.Lock()
        self._handle: socket.socket | None = connected.dup()
        self._connection = connection
        self._owner: ActiveCall | None = None
        self._closed = False

    def enter(self, call: ActiveCall) -> None:
        with self._lock:
            self._owner = call

    def leave(self, call: ActiveCall) -> None:
        with self._lock:
            if self._owner is call:
                self._owner = None
                if self._closed:
                    self._drop()

    def shut(self, call: ActiveCall) -> None:
        with self._lock:
            if self._owner is call and self._handle is not None:
                with suppress(OSError):  # the other side was faster
                    self._handle.shutdown(socket.SHUT_RDWR)

    def settimeout(self, seconds: float) -> bool:
        connected = self._connection.sock
        if connected is None:
            return False
        with suppress(OSError):  # the other side was faster
            connected.settimeout(seconds)
        return True

    def close(self) -> None:
        # A server may close after its answer: the connection is closed then while its call still reads the body.
        with self._lock:
            self._closed = True
            if self._owner is None:
                self._drop()

    def _drop(self) -> None:
        if self._handle is not None:
            self._handle.close()
            self._handle = None


class _Interruptible(HTTPConnection):
    _line: _Line | None = None

    def _new_conn(self) -> socket.socket:
        connected = _connect(self, super()._new_conn)
        self._line = _Line(connected, self)
        self._enter()
        return connected

    def request(self, *args: Any, **kwargs: Any) -> None:
        self._enter()
        super().request(*args, **kwargs)

    def close(self) -> None:
        line, self._line = self._line, None
        super().close()
        if line is not None:
            line.close()

    def _enter(self) -> None:
        call: ActiveCall | None = getattr(_here, "call", None)
        if call is not None and self._line is not None:
            call.use(self._line)


class _InterruptibleTLS(_Interruptible, HTTPSConnection):
    pass


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Interruptible


class _TLSPool(HTTPSConnectionPool):
    ConnectionCls = _InterruptibleTLS


_POOLS = {"http": _Pool, "https": _TLSPool}


class InterruptibleAdapter(HTTPAdapter):
    """`requests` over connections that an `ActiveCall` can cut, straight and through proxies."""

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **pool_kwargs: Any) -> None:
        """As in `requests`, with our kind of connection."""
        super().init_poolmanager(connections, maxsize, block, **pool_kwargs)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, proxy: str, **proxy_kwargs: Any) -> Any:
        """As in `requests`, with our kind of connection."""
        manager = super().proxy_manager_for(proxy, **proxy_kwargs)
        manager.pool_classes_by_scheme = _POOLS
        return manager


def _connect(connection: HTTPConnection, connect: Callable[[], socket.socket]) -> socket.socket:
    call: ActiveCall | None = getattr(_here, "call", None)
    if call is None:
        return connect()
    attempt = _Attempt(connect)
    timeout = connection.timeout if isinstance(connection.timeout, int | float) else None
    with call._cancel.on_cancel(attempt.settled.set):
        attempt.start()
        attempt.settled.wait(timeout)
    result = attempt.take()
    if isinstance(result, socket.socket):
        return result
    if result is not None:
        raise result
    if call.interrupted.is_set():
        raise NewConnectionError(connection, "the call was stopped while it was connecting")
    raise ConnectTimeoutError(connection, f"Connection to {connection.host} timed out. (connect timeout={timeout})")


class _Attempt(threading.Thread):
    """Connects in the background. What comes after nobody waits any more is closed."""

    def __init__(self, connect: Callable[[], socket.socket]) -> None:
        super().__init__(name="mcp-connect", daemon=True)
        self._connect = connect
        self._lock = threading.Lock()
        self._taken = False
        self._result: socket.socket | Exception | None = None
        self.settled = threading.Event()

    def run(self) -> None:
        result: socket.socket | Exception
        try:
            result = self._connect()
        except Exception as error:  # noqa: BLE001  (raised again in the thread that waits)
            result = error
        with self._lock:
            self._result = result
            late = self._taken
        self.settled.set()
        if late and isinstance(result, socket.socket):
            result.close()

    def take(self) -> socket.socket | Exception | None:
        with self._lock:
            self._taken = True
            return self._result
