"""What every history keeps to when it is written: once, in order, by the owner, and durable when told."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from mcp_core.errors import ConfigurationError, StoreError
from mcp_core.models import Outage, Run, RunEvent, RunOutput, RunStatus, new_id, utcnow
from mcp_core.store import RunFilter, Store, open_store
from mcp_core.store.schema import SCHEMA_VERSION
from tests.store.backends import OnPostgreSQL, OnSQLite
from tests.store.samples import events_of, finished, running

pytestmark = pytest.mark.integration


def _span() -> tuple[Any, Any]:
    return utcnow() - timedelta(hours=2), utcnow() + timedelta(hours=1)


class WritingContract:
    def test_values_no_database_likes_come_back(self, store: Store) -> None:
        odd = {"nul": "a\0b", "half": "\ud800", "infinite": float("inf"), "big": 10**40, "z": 1, "a": 2}
        run = finished(name="a\0b", config=odd, output=RunOutput(text="tail\0", data=["\udfff", "é"]))
        store.create_run(run)
        found = store.get_run(run.id)
        assert found is not None
        assert found.config == odd
        assert list(found.config) == list(odd)
        assert found.output == run.output
        assert found.name == "a\ufffdb"

    def test_what_json_cannot_hold_is_refused(self, store: Store) -> None:
        with pytest.raises(StoreError, match="cannot be kept"):
            store.create_run(running(config={"a": object()}))
        assert store.count() == 0

    def test_a_number_too_large_for_the_database_fails_alone(self, store: Store) -> None:
        too_large = finished(usage={"input_tokens": 2**70})
        store.save_run(too_large, wait=False)
        kept = finished()
        assert store.save_run(kept) is True
        assert store.get_run(too_large.id) is None
        assert store.count() == 1

    def test_creating_is_done_once_by_id(self, store: Store) -> None:
        run = running()
        assert store.create_run(run) is True
        assert store.create_run(run.model_copy(update={"name": "other"})) is False
        assert store.get_run(run.id) == run

    def test_a_run_created_final_counts(self, store: Store) -> None:
        run = finished()
        assert store.create_run(run) is True
        assert store.create_run(run) is False
        assert store.totals(*_span()).runs == 1

    def test_a_final_run_never_changes(self, store: Store) -> None:
        run = finished()
        assert store.save_run(run) is True
        for status in RunStatus:
            assert store.save_run(run.model_copy(update={"status": status})) is False
        assert store.get_run(run.id) == run
        assert store.totals(*_span()).runs == 1

    def test_only_the_owner_changes_a_run(self, store: Store) -> None:
        run = running(owner=None)
        store.create_run(run)
        mine = run.model_copy(update={"owner": "me"})
        assert store.save_run(mine) is True
        for stranger in ("you", None):
            assert store.save_run(finished(id=run.id, owner=stranger)) is False
        assert store.get_run(run.id) == mine
        assert store.save_run(finished(id=run.id, owner="me")) is True

    def test_what_a_run_is_stays_as_first_stored(self, store: Store) -> None:
        run = running()
        store.create_run(run)
        later = run.model_copy(update={"name": "other", "actor_id": "x", "created_at": utcnow(), "tags": ("new",)})
        assert store.save_run(later) is True
        assert store.get_run(run.id) == run.model_copy(update={"tags": ("new",)})

    def test_finishing_keeps_the_events_and_drops_the_tokens(self, store: Store) -> None:
        run = running()
        store.save_run(run)
        store.add_events(run.id, events_of(run, "queued", "started", "token", "token"))
        assert [event.kind for event in store.events(run.id)] == ["queued", "started", "token", "token"]
        told = events_of(run, "queued", "started", "token", "token", "token", "finished")
        assert store.save_run(finished(id=run.id), events=told) is True
        assert [event.seq for event in store.events(run.id)] == [1, 2, 6]
        store.add_events(run.id, events_of(run, "token", "log", first=7))
        assert [event.kind for event in store.events(run.id)] == ["queued", "started", "finished", "log"]

    def test_refused_records_leave_no_events(self, store: Store) -> None:
        run = finished()
        store.save_run(run)
        assert (
            store.save_run(run.model_copy(update={"status": RunStatus.FAILED}), events=events_of(run, "retry")) is False
        )
        assert store.events(run.id) == []

    def test_events_keep_their_order_and_first_content(self, store: Store) -> None:
        run = running()
        store.create_run(run)
        first = events_of(run, "started", "log", "log")
        store.add_events(run.id, first[::-1])
        store.add_events(run.id, events_of(run, "other", "other", "other", "other"))
        assert store.events(run.id)[:3] == first
        assert [event.seq for event in store.events(run.id, after_seq=2)] == [3, 4]
        assert [event.seq for event in store.events(run.id, after_seq=1, limit=2)] == [2, 3]
        assert store.events(run.id, limit=0) == []

    def test_events_belong_to_a_run(self, store: Store) -> None:
        run = running()
        with pytest.raises(StoreError, match="no such run"):
            store.add_events(run.id, events_of(run, "started"))
        with pytest.raises(StoreError, match="cannot be stored with"):
            store.add_events(new_id(), events_of(run, "started"))

    def test_deferred_records_are_written_by_the_next_writer(self, store: Store) -> None:
        run = running(status="queued")
        assert store.save_run(run, events=events_of(run, "queued"), wait=False) is None
        started = run.model_copy(update={"status": RunStatus.RUNNING})
        assert store.save_run(started, events=events_of(run, "started", "token", first=2), wait=False) is None
        assert store.get_run(run.id) is None
        done = finished(id=run.id)
        assert store.save_run(done, events=events_of(run, "finished", first=4)) is True
        assert [event.kind for event in store.events(run.id)] == ["queued", "started", "finished"]
        found = store.get_run(run.id)
        assert found is not None
        assert found.status is RunStatus.SUCCEEDED

    def test_a_deferred_record_after_the_final_one_is_ignored(self, store: Store) -> None:
        run = finished()
        store.save_run(run, wait=False)
        store.save_run(run.model_copy(update={"status": RunStatus.RUNNING}), wait=False)
        store.flush()
        assert store.get_run(run.id) == run

    def test_deferred_events_follow_their_run(self, store: Store) -> None:
        run = running()
        store.save_run(run, wait=False)
        store.add_events(run.id, events_of(run, "started"), wait=False)
        store.save_run(run, wait=False)
        store.flush()
        assert [event.kind for event in store.events(run.id)] == ["started"]

    def test_many_deferred_records_do_not_pile_up(self, store: Store) -> None:
        for _ in range(1002):
            store.save_run(running(), wait=False)
        assert store.count() >= 1000

    def test_one_failing_write_does_not_fail_its_neighbours(self, store: Store) -> None:
        good, lost = [finished() for _ in range(5)], running()
        for run in good[:3]:
            store.save_run(run, wait=False)
        store.add_events(lost.id, events_of(lost, "started"), wait=False)
        for run in good[3:]:
            store.save_run(run, wait=False)
        last = finished()
        assert store.save_run(last) is True
        assert store.count() == 6
        assert store.totals(*_span()).runs == 6

    def test_sixteen_threads_write_together(self, store: Store) -> None:
        start = threading.Barrier(16)

        def work(number: int) -> list[Run]:
            start.wait()
            written = []
            for _ in range(10):
                run = running(actor_id=f"actor-{number}")
                assert store.create_run(run) is True
                assert store.create_run(run) is False
                done = finished(id=run.id, created_at=run.created_at, actor_id=run.actor_id, model=None)
                assert store.save_run(done, events=events_of(run, "finished")) is True
                written.append(done)
            return written

        with ThreadPoolExecutor(16) as pool:
            everything = [run for written in pool.map(work, range(16)) for run in written]
        stored = {run.id: run for run in store.iter_runs()}
        assert stored == {run.id: run for run in everything}
        assert store.totals(*_span()).runs == 160
        assert all(store.events(run.id) for run in everything[::20])

    def test_deleting_takes_what_belongs_to_a_run(self, store: Store) -> None:
        parent, open_run = finished(), running()
        child = finished(parent_id=parent.id)
        again = finished(retry_of=parent.id)
        for run in (parent, child, again, open_run):
            assert store.save_run(run, events=events_of(run, "finished")) is True
            store.put_artifact(run.id, "out.txt", "text/plain", b"x")
        assert store.delete_runs([parent.id, open_run.id, new_id()]) == 1
        assert store.get_run(parent.id) is None
        assert store.events(parent.id) == []
        with pytest.raises(StoreError, match="no file"):
            store.get_artifact(parent.id, "out.txt")
        assert store.get_run(child.id) == child.model_copy(update={"parent_id": None})
        assert store.get_run(again.id) == again.model_copy(update={"retry_of": None})
        assert store.get_run(open_run.id) == open_run
        assert store.totals(*_span()).runs == 3

    def test_a_parent_has_to_exist(self, store: Store) -> None:
        with pytest.raises(StoreError):
            store.create_run(running(parent_id=new_id()))

    def test_artifacts_are_kept_to_the_byte(self, store: Store) -> None:
        run = running()
        store.create_run(run)
        content = bytes(range(256)) * 40
        artifact = store.put_artifact(run.id, "plot.png", "image/png", content)
        assert (artifact.size_bytes, len(artifact.sha256)) == (10_240, 64)
        assert store.get_artifact(run.id, "plot.png") == content
        store.put_artifact(run.id, "plot.png", "image/png", b"")
        assert store.get_artifact(run.id, "plot.png") == b""
        with pytest.raises(StoreError):
            store.put_artifact(new_id(), "plot.png", "image/png", content)

    def test_drafts_last_until_they_expire(self, store: Store) -> None:
        payload = {"text": "a\0b", "n": [1, 2.5, None]}
        kept = store.put_draft("me", payload)
        gone = store.put_draft("me", payload, ttl_seconds=-1)
        assert store.get_draft(kept) == payload
        assert store.get_draft(gone) is None
        assert store.get_draft("\0") is None
        assert len(kept) >= 24
        assert store.put_draft("me", payload) != kept
        with pytest.raises(ConfigurationError, match="characters"):
            store.put_draft("me", {"text": "x" * 5_000_001})

    def test_what_people_choose_is_kept_for_each_of_them(self, store: Store, url: str, tmp_path: Path) -> None:
        assert store.get_preference("ann", "columns") is None
        store.put_preference("ann", "columns", ["name", "a\0\ud800é"])
        store.put_preference("bob", "columns", {"n": 1.5})
        store.put_preference("ann", "rows", 25)
        store.put_preference("ann", "columns", ["cost"])
        store.close()
        with open_store(url, data_dir=tmp_path) as again:
            assert again.get_preference("ann", "columns") == ["cost"]
            assert again.get_preference("bob", "columns") == {"n": 1.5}
            again.put_preference("ann", "columns", None)
            assert again.get_preference("ann", "columns") is None
            assert again.get_preference("ann", "rows") == 25
            assert again.get_preference("\0", "\ud800") is None
            with pytest.raises(ConfigurationError, match="20,000"):
                again.put_preference("ann", "columns", "x" * 20_000)
            with pytest.raises(ConfigurationError, match="1 to 100"):
                again.put_preference("ann", "k" * 101, 1)

    def test_a_closed_history_refuses(self, store: Store) -> None:
        pending = running()
        store.save_run(pending, wait=False)
        store.close()
        store.close()
        for use in (
            lambda: store.create_run(running()),
            lambda: store.save_run(running(), wait=False),
            lambda: store.get_run(pending.id),
        ):
            with pytest.raises(StoreError, match="closed"):
                use()

    def test_closing_writes_what_is_pending(self, store: Store, url: str, tmp_path: Path) -> None:
        run = running()
        store.save_run(run, wait=False)
        store.close()
        with open_store(url, data_dir=tmp_path) as again:
            assert again.get_run(run.id) == run

    def test_doctor_is_told_where_it_is(self, store: Store) -> None:
        store.save_run(finished())
        info = store.info()
        assert set(info) == {"dialect", "place", "size_bytes", "runs", "schema_version"}
        assert info["runs"] == 1
        assert info["size_bytes"] > 10_000
        assert info["schema_version"] == SCHEMA_VERSION

    def test_an_event_of_any_data_comes_back(self, store: Store) -> None:
        run = running()
        store.create_run(run)
        event = RunEvent(run_id=run.id, seq=1, kind="log", at=utcnow(), data={"text": "\0\ud800é", "n": {"a": [1]}})
        store.add_events(run.id, [event])
        assert store.events(run.id) == [event]

    def test_nothing_to_store_is_fine(self, store: Store) -> None:
        run = running()
        store.create_run(run)
        store.add_events(run.id, [])
        store.flush()
        assert store.delete_runs([]) == 0
        assert store.count(RunFilter()) == 1

    def test_simulated_outages_begin_are_replaced_and_end(self, store: Store) -> None:
        now = utcnow()
        first = Outage(provider="acme", actor_id="a\0b", since=now, until=now + timedelta(hours=1))
        second = first.model_copy(update={"until": now + timedelta(hours=2), "actor_id": "ada"})
        other = second.model_copy(update={"provider": "aaa"})
        over = second.model_copy(update={"provider": "over", "until": now - timedelta(seconds=1)})
        for outage in (first, second, over, other):
            store.outages.put(outage)
        assert store.outages.active() == [other, second]
        assert [store.outages.end(name) for name in ("acme", "acme", "over", "nobody")] == [True, False, False, False]
        assert store.outages.active() == [other]


class TestOnSQLite(OnSQLite, WritingContract):
    pass


class TestOnPostgreSQL(OnPostgreSQL, WritingContract):
    pass
