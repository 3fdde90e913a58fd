"""How writes are combined: one transaction for all who wait, one for each where a neighbour fails."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from mcp_core.errors import StoreError
from mcp_core.store.engine import Database, connect
from mcp_core.store.statements import Transaction
from mcp_core.store.writer import Operation, Writer

pytestmark = pytest.mark.integration


class Counted:
    """Counts the transactions begun, and what was done in each."""

    begun: list["Counted"]

    def __init__(self) -> None:
        self.values: list[int] = []
        Counted.begun.append(self)

    def write(self, transaction: Transaction) -> None:
        """Nothing to add up."""


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = connect("", data_dir=tmp_path)
    yield opened
    opened.close()


@pytest.fixture
def writer(database: Database) -> Writer[Counted]:
    Counted.begun = []
    return Writer(database, Counted)


def adding(value: int) -> Operation[int, Counted]:
    def apply(_: Transaction, closing: Counted) -> int:
        closing.values.append(value)
        return value * 2

    return Operation(apply)


def failing(error: BaseException) -> Operation[int, Counted]:
    def apply(_: Transaction, __: Counted) -> int:
        raise error

    return Operation(apply)


def test_callers_that_meet_share_one_transaction(writer: Writer[Counted]) -> None:
    answers: dict[int, int] = {}

    def work(value: int) -> None:
        answers[value] = writer.run(adding(value))

    threads = [threading.Thread(target=work, args=(value,)) for value in range(16)]
    with writer._lock:
        for thread in threads:
            thread.start()
        while len(writer._pending) < 16:
            threading.Event().wait(0.001)
    for thread in threads:
        thread.join()
    assert answers == {value: value * 2 for value in range(16)}
    assert [sorted(one.values) for one in Counted.begun] == [list(range(16))]


def test_a_failure_leaves_each_its_own_transaction(writer: Writer[Counted]) -> None:
    for value in range(3):
        writer.defer(adding(value))
    with pytest.raises(StoreError, match="no such thing"):
        writer.run(failing(StoreError("There is no such thing.")))
    assert [one.values for one in Counted.begun] == [[0, 1, 2], [0], [1], [2], []]


def test_a_foreign_exception_is_translated(writer: Writer[Counted]) -> None:
    with pytest.raises(StoreError, match="could not be written: too large"):
        writer.run(failing(OverflowError("too large")))


def test_a_lone_failure_is_not_tried_twice(writer: Writer[Counted]) -> None:
    with pytest.raises(StoreError):
        writer.run(failing(ValueError("bad")))
    assert len(Counted.begun) == 1


def test_when_the_database_goes_the_rest_fails_at_once(writer: Writer[Counted], database: Database) -> None:
    def leave(_: Transaction, __: Counted) -> int:
        database._closed = True
        raise ValueError("gone")

    operations = [Operation(leave), adding(1), adding(2)]
    for operation in operations:
        writer.defer(operation)
    writer.flush()
    assert [operation.done for operation in operations] == [True, True, True]
    assert ["closed" in str(operation.error) for operation in operations] == [True, True, True]
    assert len(Counted.begun) == 1


def test_a_stopped_writer_leaves_the_others_work(writer: Writer[Counted]) -> None:
    first, last = adding(1), adding(2)
    stop = failing(KeyboardInterrupt())
    writer.defer(first)
    writer.defer(stop)
    writer.defer(last)
    with pytest.raises(KeyboardInterrupt):
        writer.flush()
    assert not any(operation.done for operation in (first, stop, last))
    assert list(writer._pending) == [first, stop, last]
    stop.apply = last.apply
    assert writer.run(adding(3)) == 6
    assert Counted.begun[-1].values == [1, 2, 2, 3]


def test_later_work_absorbs_earlier_of_the_same_key(writer: Writer[Counted]) -> None:
    class Newest(Operation[int, Counted]):
        def __init__(self, value: int, key: str) -> None:
            super().__init__(adding(value).apply, key=key)

        def absorb(self, earlier: object) -> bool:
            return isinstance(earlier, Newest)

    class Fixed(Newest):
        def absorb(self, earlier: object) -> bool:
            return False

    operations = [Newest(1, "a"), Newest(2, "b"), Newest(3, "a"), Fixed(4, "b"), Newest(5, "a"), Newest(6, "b")]
    for operation in operations:
        writer.defer(operation)
    writer.flush()
    assert [one.values for one in Counted.begun] == [[5, 2, 6]]
    assert [operation.value for operation in operations] == [10, 4, 10, 12, 10, 12]


def test_closing_refuses_what_comes_later(writer: Writer[Counted]) -> None:
    writer.defer(adding(1))
    writer.close()
    assert [one.values for one in Counted.begun] == [[1]]
    for use in (writer.run, writer.defer):
        with pytest.raises(StoreError, match="closed"):
            use(adding(2))
