"""The worker pool: bounded, first in first out, and able to replace a stuck thread."""

import threading

import pytest

from mcp_core.api.workers import WorkerPool
from mcp_core.errors import ResourceLimitError

pytestmark = pytest.mark.unit


def test_jobs_begin_in_order_and_no_more_than_size_at_once() -> None:
    began: list[int] = []
    running = 0
    most = 0
    lock = threading.Lock()
    done = threading.Event()

    def work(job: int) -> None:
        nonlocal running, most
        with lock:
            began.append(job)
            running += 1
            most = max(most, running)
        threading.Event().wait(0.002)
        with lock:
            running -= 1
            if len(began) == 50 and running == 0:
                done.set()

    pool = WorkerPool(work, size=3, limit=100, name="test")
    for job in range(50):
        pool.put(job)
    assert done.wait(10)
    assert sorted(began) == list(range(50))
    assert all(abs(place - job) <= 3 for place, job in enumerate(began))
    assert most <= 3
    assert pool.close() == []


def test_a_full_queue_refuses_and_a_job_can_be_taken_out() -> None:
    gate = threading.Event()
    began = threading.Event()

    def work(job: str) -> None:
        began.set()
        gate.wait(10)

    pool = WorkerPool(work, size=1, limit=2, name="test")
    pool.put("running")
    assert began.wait(60)
    pool.put("a")
    pool.put("b")
    with pytest.raises(ResourceLimitError, match="waiting already are 2 runs"):
        pool.put("c")
    assert pool.waiting() == ["a", "b"]
    assert pool.remove("a")
    assert not pool.remove("a")
    assert not pool.remove("running")
    assert pool.close() == ["b"]
    with pytest.raises(ResourceLimitError, match="shutting down"):
        pool.put("d")
    gate.set()


def test_what_a_free_worker_is_about_to_begin_takes_no_place() -> None:
    gate = threading.Event()
    pool: WorkerPool[str] = WorkerPool(lambda _: _wait(gate), size=2, limit=1, name="test", actor_queued=1)
    for job in ("a", "b", "c"):
        pool.put(job)
    assert pool.state().waiting == 1
    with pytest.raises(ResourceLimitError):
        pool.put("d")
    left = pool.close()
    assert left[-1] == "c"
    gate.set()


def test_a_stuck_thread_is_replaced_and_ends_when_it_returns() -> None:
    gate = threading.Event()
    done = threading.Event()

    def work(job: str) -> None:
        if job == "stuck":
            gate.wait(10)
        else:
            done.set()

    pool = WorkerPool(work, size=1, limit=5, name="replace")
    pool.put("stuck")
    pool.put("next")
    assert not done.wait(0.1)
    pool.replace("stuck")
    pool.replace("stuck")
    assert done.wait(60)
    gate.set()
    for _ in range(200):
        if sum(t.name.startswith("replace-") for t in threading.enumerate()) == 1:
            break
        threading.Event().wait(0.02)
    assert sum(t.name.startswith("replace-") for t in threading.enumerate()) == 1
    done.clear()
    pool.put("last")
    assert done.wait(60)
    pool.close()


def test_a_caller_does_its_job_itself_where_that_delays_nobody() -> None:
    gate = threading.Event()
    began = threading.Event()
    threads: dict[str, str] = {}

    def work(job: str) -> None:
        threads[job] = threading.current_thread().name
        if job == "slow":
            began.set()
            gate.wait(10)

    pool = WorkerPool(work, size=1, limit=5, name="lent")
    assert pool.do("mine")
    assert threads["mine"] == threading.current_thread().name
    pool.put("slow")
    assert began.wait(60)
    assert not pool.do("too many"), "one at a time, wherever it is done"
    pool.put("next")
    gate.set()
    while "next" not in threads:
        threading.Event().wait(0.01)
    pool.close()
    assert not pool.do("closed")


def test_a_queue_goes_on_when_a_callers_job_is_over() -> None:
    done = threading.Event()
    pool: WorkerPool[str]

    def work(job: str) -> None:
        if job == "mine":
            pool.put("queued meanwhile")
            assert not done.wait(0.1), "it waits for the one place"
        else:
            done.set()

    pool = WorkerPool(work, size=1, limit=5, name="lent")
    assert pool.do("mine")
    assert done.wait(60)
    pool.close()


def _wait(gate: threading.Event) -> None:
    gate.wait(60)


def test_threads_of_one_job_that_wait_aside_free_its_worker_once() -> None:
    aside, back, over = threading.Barrier(3), threading.Barrier(3), threading.Event()

    def work(job: str) -> None:
        def call() -> None:
            with pool.aside(job):
                aside.wait(60)
                back.wait(60)

        calls = [threading.Thread(target=call) for _ in range(2)]
        for one in calls:
            one.start()
        for one in calls:
            one.join(60)
        all_back.set()
        over.wait(60)

    all_back = threading.Event()
    pool: WorkerPool[str] = WorkerPool(work, size=1, limit=2, name="test")
    pool.put("a")
    aside.wait(60)
    assert (pool.state().busy, pool.state().aside) == (0, 1)
    back.wait(60)
    assert all_back.wait(60)
    assert (pool.state().busy, pool.state().aside) == (1, 0)
    over.set()
    pool.close()


def test_a_job_that_was_ended_over_its_head_has_no_worker_to_give() -> None:
    inside, go, seen = threading.Event(), threading.Event(), []

    def work(job: str) -> None:
        inside.set()
        go.wait(60)
        with pool.aside(job):
            seen.append(pool.state().busy)

    pool: WorkerPool[str] = WorkerPool(work, size=1, limit=1, name="test")
    caller = threading.Thread(target=pool.do, args=("a",))
    caller.start()
    assert inside.wait(60)
    pool.replace("a")
    go.set()
    caller.join(60)
    assert seen == [0]
    assert pool.state().busy == 0
