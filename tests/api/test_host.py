"""What is found out about the machine, and the notes made of it."""

from pathlib import Path

import psutil
import pytest

from mcp_core.api.host import Disk, disk_of, free_memory
from mcp_core.api.notes import notes
from mcp_core.settings import Settings, load_settings

pytestmark = pytest.mark.unit

GB = 1_000_000_000


def machine(root: Path, *, mounts: str = "", cgroup: str = "", files: dict[str, str] | None = None) -> Path:
    """A machine's own files under `root`."""
    (root / "proc" / "self").mkdir(parents=True)
    (root / "proc" / "self" / "mountinfo").write_text(mounts)
    (root / "proc" / "self" / "cgroup").write_text(cgroup)
    for name, text in (files or {}).items():
        path = root / "sys" / "fs" / "cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def mount(point: Path | str, kind: str) -> str:
    return f"36 35 98:0 / {point} rw,noatime master:1 - {kind} /dev/root rw\n"


def settings_at(path: Path, **values: str) -> Settings:
    given = {"MCP_DATA_DIR": str(path), **values}
    return load_settings(given, directory=path.parent)


@pytest.mark.parametrize(
    ("kind", "kept"), [("ext4", "yes"), ("nfs4", "yes"), ("tmpfs", "no"), ("ramfs", "no"), ("overlay", "container")]
)
def test_a_disk_is_known_by_its_file_system(tmp_path: Path, kind: str, kept: str) -> None:
    data = tmp_path / "data"
    root = machine(tmp_path / "machine", mounts=mount("/", "xfs") + mount(data, kind) + mount("/other", "tmpfs"))
    assert disk_of(data / "deeper", root=root) == Disk(kind, kept)
    assert disk_of(tmp_path / "data2", root=root) == Disk("xfs", "yes")


def test_of_two_mounts_on_a_point_the_later_counts(tmp_path: Path) -> None:
    root = machine(tmp_path / "machine", mounts=mount("/", "overlay") + "nonsense\n" + mount("/", "ext4"))
    assert disk_of(tmp_path, root=root).kind == "ext4"


def test_a_clone_on_community_cloud_keeps_nothing(tmp_path: Path) -> None:
    root = machine(tmp_path / "machine", mounts=mount("/", "ext4"))
    (root / "mount" / "src").mkdir(parents=True)
    assert disk_of(tmp_path, root=root) == Disk("ext4", "no")


def test_a_machine_that_tells_nothing_is_taken_to_be_well(tmp_path: Path) -> None:
    assert disk_of(tmp_path, root=tmp_path / "nothing") == Disk("", "yes")
    assert free_memory(root=tmp_path / "nothing") == pytest.approx(psutil.virtual_memory().available, rel=0.5)


@pytest.mark.parametrize(
    ("cgroup", "files"),
    [
        (
            "0::/app/run\n",
            {
                "app/run/memory.max": "max\n",
                "app/run/memory.current": "5\n",
                "app/memory.max": "1000000",
                "app/memory.current": "900000",
                "app/memory.stat": "anon 1\ninactive_file 50000\n",
            },
        ),
        ("0::/\n", {"memory.max": "1000000", "memory.current": "850000"}),
        (
            "9:cpu:/x\n4:memory:/x\n0::/\n",
            {
                "memory/x/memory.limit_in_bytes": "1000000",
                "memory/x/memory.usage_in_bytes": "900000",
                "memory/x/memory.stat": "total_inactive_file 50000\ninactive_file nonsense\n",
                "memory/memory.limit_in_bytes": "9223372036854771712",
                "memory/memory.usage_in_bytes": "900000",
            },
        ),
    ],
    ids=["nested", "own namespace", "version 1"],
)
def test_memory_is_what_the_control_group_leaves(tmp_path: Path, cgroup: str, files: dict[str, str]) -> None:
    assert free_memory(root=machine(tmp_path, cgroup=cgroup, files=files)) == 150_000


def test_a_group_above_its_limit_leaves_nothing(tmp_path: Path) -> None:
    files = {"memory.max": "1000", "memory.current": "2000", "memory.stat": "inactive_file nonsense\n"}
    assert free_memory(root=machine(tmp_path, cgroup="0::/\n", files=files)) == 0


def limited(root: Path, free: int, kind: str = "ext4") -> Path:
    files = {"memory.max": str(4 * GB), "memory.current": str(4 * GB - free)}
    return machine(root, mounts=mount("/", kind), cgroup="0::/\n", files=files)


def test_there_is_nothing_to_say_where_all_is_well(tmp_path: Path) -> None:
    assert notes(settings_at(tmp_path / "data"), root=limited(tmp_path / "machine", 2 * GB)) == []


def test_what_a_disk_would_lose_is_named_with_its_setting(tmp_path: Path) -> None:
    (note,) = notes(settings_at(tmp_path / "data"), root=limited(tmp_path / "machine", 2 * GB, "tmpfs"))
    assert (note.topic, note.level) == ("disk", "warning")
    assert "the history, remembered answers and the master key will be lost" in note.text
    for name in ("MCP_DATABASE_URL", "MCP_REDIS_URL", "MCP_MASTER_KEY"):
        assert name in note.hint


def test_what_is_kept_elsewhere_is_not_at_stake(tmp_path: Path) -> None:
    root = limited(tmp_path / "machine", 2 * GB, "overlay")
    outside = {
        "MCP_DATABASE_URL": "postgresql://db/panel",
        "MCP_CACHE_BACKEND": "redis",
        "MCP_REDIS_URL": "redis://cache",
    }
    (note,) = notes(settings_at(tmp_path / "data", **outside), root=root)
    assert note.level == "info"
    assert "the master key would be lost with the container" in note.text
    assert "history" not in note.text
    assert "mounted volume" in note.hint
    assert notes(settings_at(tmp_path / "data", MCP_MASTER_KEY="a long secret", **outside), root=root) == []


@pytest.mark.parametrize(
    ("free", "model", "running", "words"),
    [
        (300_000_000, "", False, "Only 300 MB of memory are free, and the local model needs about 400 MB."),
        (300_000_000, "", True, ""),
        (300_000_000, "off", False, ""),
        (100_000_000, "off", False, "Only 100 MB of memory are free: a larger run may end the app."),
    ],
)
def test_little_memory_is_told_in_time(tmp_path: Path, free: int, model: str, running: bool, words: str) -> None:
    settings = settings_at(tmp_path / "data", MCP_LOCAL_MODEL=model)
    found = notes(settings, model_running=running, root=limited(tmp_path / "machine", free))
    assert [note.text for note in found] == [words] * bool(words)
    assert all(note.topic == "memory" and note.level == "warning" and note.hint for note in found)
