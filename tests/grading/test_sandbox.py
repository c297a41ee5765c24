"""Who makes the boxes, what happens where nobody can, and what limits whole boxes."""

import os
import shutil
import sys
from pathlib import Path

import pytest
from nbgrader.api import Gradebook
from tiny_lab import ANSWERS, LAB, submit

from coursekit import cli
from coursekit.grading import cgroups, sandbox, seccomp
from coursekit.grading.config import COURSE_ID
from coursekit.grading.run import grade
from coursekit.grading.sandbox import Box, Bubblewrap, Container, Limits, SandboxMissing, Unprotected, backend


@pytest.fixture
def without_tools(monkeypatch):
    """No program but Python's own can be found."""
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent))
    monkeypatch.delenv("COURSEKIT_SANDBOX", raising=False)


# --- without bubblewrap -----------------------------------------------------------------------


def test_without_bubblewrap_the_grader_refuses_and_says_what_to_install(course, without_tools, capsys):
    submit(course, "ann", ANSWERS)
    with pytest.raises(SandboxMissing, match="apt-get install bubblewrap"):
        grade(LAB, course=course, progress=False)
    assert cli.main(["grade", LAB, "--course", str(course)]) == 1
    printed = capsys.readouterr()
    assert "apt-get install bubblewrap" in printed.err + printed.out
    assert "--unsafe-no-sandbox" in printed.err + printed.out
    assert not (course / "autograded").exists()


def test_without_a_box_only_when_asked_for_and_with_a_warning(course, monkeypatch):
    """The one path that is not sandboxed still scores in a second process, and says what it is."""
    monkeypatch.setenv(
        "COURSEKIT_SANDBOX", "docker:nobody/asks"
    )  # what was asked for on the command line wins
    submit(course, "ann", ANSWERS)
    submit(course, "bob", {"double": "def double(x):\n    import os\n    os._exit(3)"})
    with pytest.warns(UserWarning, match="WITHOUT a sandbox, with all your own rights"):
        summary = grade(LAB, course=course, workers=0, progress=False, unsafe=True)
    assert summary.done == 2
    with Gradebook(f"sqlite:///{course}/gradebook.db", COURSE_ID) as book:
        earned = {s: book.find_submission(LAB, s).score for s in ("ann", "bob")}
    assert earned == {"ann": 5.0, "bob": 0.0}


# --- the choice of a backend ------------------------------------------------------------------


def test_bubblewrap_is_the_default_and_another_way_is_named(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}")
    monkeypatch.delenv("COURSEKIT_SANDBOX", raising=False)
    assert isinstance(backend(), Bubblewrap)
    for engine in ("docker", "podman"):
        monkeypatch.setenv("COURSEKIT_SANDBOX", f"{engine}:example.org/labs:1")
        chosen = backend()
        assert isinstance(chosen, Container)
        assert chosen.name == engine
    with pytest.warns(UserWarning, match="WITHOUT a sandbox"):
        assert isinstance(backend(unsafe=True), Unprotected)


@pytest.mark.parametrize("setting", ["docker", "docker:", "chroot:image", "bwrap2"])
def test_a_setting_that_names_no_way_is_refused(monkeypatch, setting):
    monkeypatch.setenv("COURSEKIT_SANDBOX", setting)
    with pytest.raises(ValueError, match=r"expected bwrap, docker:IMAGE or podman:IMAGE"):
        backend()


@pytest.mark.parametrize("engine", ["docker", "podman"])
def test_an_engine_that_is_not_installed_is_named(monkeypatch, without_tools, engine):
    monkeypatch.setenv("COURSEKIT_SANDBOX", f"{engine}:image")
    with pytest.raises(SandboxMissing, match=f"{engine} is not installed"):
        backend()


def test_a_container_is_as_closed_as_a_box(monkeypatch, tmp_path):
    """What is said to the engine; that it does it is for `test_container.py`."""
    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}")
    package = Path(sandbox.__file__).parents[1]
    closed = package / "density"
    limits = Limits(memory_mb=100, processes=7, file_mb=3, open_files=50, cpu_s=9, scratch_mb=5)
    data = tmp_path / "numbers.csv"
    box = Box(tmp_path / "s", (data,), hidden=(closed,), env={"A": "1"}, limits=limits, uid=12345)
    command = Container("docker", "labs:1").command(["/usr/bin/python3", "-m", "x", "y"], box)
    text = " ".join(command)
    assert command[-5:] == ["labs:1", "python", "-m", "x", "y"]
    for option in (
        "--network none --ipc private --read-only",
        "--cap-drop ALL --security-opt no-new-privileges --pids-limit 7",
        f"--memory {100 + sandbox.LIBRARIES_MB}m --memory-swap {100 + sandbox.LIBRARIES_MB}m",
        "--user 12345:12345",
        "--ulimit fsize=3145728 --ulimit nofile=50 --ulimit cpu=9 --ulimit core=0",
        f"--volume {data}:/lab/numbers.csv:ro",
        f"--volume {package}:/opt/course/coursekit:ro",
        "--tmpfs /opt/course/coursekit/density:ro,size=1m",
        "--env A=1",
    ):
        assert option in text
    writable = [part for part in command if part.startswith("/") and ":" in part and ":ro" not in part]
    assert [part.partition(":")[0] for part in writable] == ["/tmp", "/lab", str(tmp_path / "s")]


# --- limits -----------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [0, -1, 1.5, "2", None])
def test_a_limit_is_a_whole_number_above_zero(value):
    with pytest.raises(ValueError, match="memory_mb: got"):
        Limits(memory_mb=value)


def test_boxes_of_processes_side_by_side_have_users_of_their_own(monkeypatch):
    monkeypatch.setattr(os, "getuid", lambda: 0)
    users = {sandbox.fresh_uid(0), sandbox.fresh_uid(1)}
    monkeypatch.setattr(os, "getpid", lambda: 4242)
    users |= {sandbox.fresh_uid(0), sandbox.fresh_uid(1)}
    assert len(users) == 4
    assert min(users) >= 61_000


def tree(folder: Path, files: dict[str, str]) -> None:
    for name, content in files.items():
        folder.joinpath(name).parent.mkdir(parents=True, exist_ok=True)
        folder.joinpath(name).write_text(content)


def test_control_groups_of_version_2_are_found_above_one_that_has_members(tmp_path):
    tree(
        tmp_path, {"user/cgroup.subtree_control": "cpu memory pids", "user/shell/cgroup.subtree_control": ""}
    )
    mounts = f"1 0 0:1 / {tmp_path} rw - cgroup2 cgroup2 rw"
    found = cgroups.groups(mounts, "0::/user/shell")
    assert found is not None
    group = found.make(memory_mb=10, processes=5)
    (folder,) = tmp_path.glob("user/coursekit-*")
    kept = {path.name: path.read_text() for path in folder.iterdir()}
    assert kept == {
        "memory.max": str(10 << 20),
        "pids.max": "5",
        "memory.oom.group": "1",
        "memory.swap.max": "0",
    }
    (folder / "memory.events").write_text("oom 1\noom_kill 2\n")
    (folder / "cpu.stat").write_text("usage_usec 1500000\nuser_usec 1\n")
    assert group.out_of_memory()
    assert group.cpu_s() == 1.5


def test_control_groups_of_version_1_have_a_folder_for_each_controller(tmp_path):
    for name in ("memory", "pids", "cpu"):
        tree(tmp_path / name, {"here/cgroup.procs": ""})
    mounts = "\n".join(
        f"1 0 0:1 / {tmp_path}/{n} rw - cgroup cgroup rw,{n}" for n in ("memory", "pids", "cpu")
    )
    found = cgroups.groups(mounts, "3:memory:/here\n2:pids:/here\n1:cpu:/here")
    assert found is not None
    group = found.make(memory_mb=10, processes=5)
    (memory,) = tmp_path.glob("memory/here/coursekit-*")
    assert (memory / "memory.limit_in_bytes").read_text() == str(10 << 20)
    assert [path.read_text() for path in tmp_path.glob("pids/here/coursekit-*/pids.max")] == ["5"]
    assert len(group.members) == 3
    (memory / "memory.oom_control").write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 0\n")
    assert not group.out_of_memory()


def test_no_control_groups_where_none_may_be_made(tmp_path):
    assert cgroups.groups("", "0::/") is None
    tree(tmp_path, {"cgroup.subtree_control": "cpu"})  # memory and processes are not handed down
    assert cgroups.groups(f"1 0 0:1 / {tmp_path} rw - cgroup2 cgroup2 rw", "0::/") is None


def test_the_filter_allows_what_it_does_not_name():
    program = seccomp.program()
    assert len(program) % 8 == 0
    assert len(program) // 8 < 4096  # the system's own limit
