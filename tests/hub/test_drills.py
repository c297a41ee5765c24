"""What fails in a term, tried beforehand: hub, proxy, disk, hand-ins, backup."""

import os
import shutil
import signal
import subprocess
import time

import hub_box
import psutil
import pytest
import requests
from hub_box import LAB, Hub, wait_for
from walk import COURSE, NOTEBOOK, answers, post, scores

pytestmark = [pytest.mark.needs("npm")]
as_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can do this")


@pytest.fixture(scope="module")
def hub():
    box = Hub(["ada", "bob"], settings={"COURSE_HUB_KEEP_SERVERS": "1"})
    try:
        box.prepare().start()
        yield box
    finally:
        box.keep("drills")
        box.remove()


def fetch(hub, name):
    post(hub, name, "fetch", course_id=COURSE, assignment_id=LAB)


def hand_in(hub, name, answers):
    model = hub.user(name, f"/api/contents/{NOTEBOOK}")
    content = hub_box.fill(model["content"], answers)
    hub.user(name, f"/api/contents/{NOTEBOOK}", "PUT", json={"type": "notebook", "content": content})
    post(hub, name, "submit", course_id=COURSE, assignment_id=LAB)


def by_command(hub, word):
    """The processes of the hub whose command line has a word."""
    found = []
    for process in psutil.process_iter():
        try:
            if any(word in part for part in process.cmdline()) and str(hub.dir) in str(process.environ()):
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


class TestDrills:
    """In this order: the hub stays up from one to the next."""

    def test_kernels_and_files_survive_the_hub(self, hub):
        ada, bob = hub.students
        hub.spawn(ada, bob)
        fetch(hub, ada)
        with hub.kernel(ada) as kernel:
            kernel.run("memory = 42")
            servers = {process.pid for process in by_command(hub, "jupyterhub.singleuser")}
            assert len(servers) == 2

            hub.process.send_signal(signal.SIGKILL)
            hub.process.wait()
            kernel.run(
                "memory += 1; open('while-the-hub-is-away', 'w').close()"
            )  # the proxy still leads there

            hub.start()
            wait_for("the hub to find the server again", lambda: hub.is_ready(ada))
            kernel.close()
            kernel.connect()
            assert kernel.run("print(memory)").strip() == "43"
        cullers = "jupyterhub_idle_culler"  # the killed hub's has gone
        wait_for("one idle culler, the new hub's", lambda: len(by_command(hub, cullers)) == 1)
        assert servers == {process.pid for process in by_command(hub, "jupyterhub.singleuser")}
        assert hub.user(ada, "/api/contents/while-the-hub-is-away")["type"] == "file"
        assert hub.login(bob).answer.status_code == 302

    def test_the_hub_puts_a_killed_proxy_back(self, hub):
        ada, _ = hub.students
        with hub.kernel(ada) as kernel:
            kernel.run("memory = 7")
            (proxy,) = [p for p in by_command(hub, "configurable-http-proxy") if p.name() == "node"]
            proxy.kill()
            proxy.wait(hub_box.PATIENCE)
            wait_for("the new proxy", hub.answers)
            wait_for("the way to the server", lambda: reaches(hub, ada))
            kernel.connect()
            assert kernel.run("print(memory)").strip() == "7"

    @as_root
    def test_a_full_disk_harms_its_own_student_alone(self, hub):
        """A small file system stands for a quota: a write that does not fit is refused in the same way."""
        ada, bob = hub.students
        hub.api(f"/users/{bob}/server", "DELETE")
        wait_for("the end of the server", lambda: not hub.api(f"/users/{bob}")["servers"])
        home, small = hub.home(bob), "size=12m"
        owner = f"uid={home.stat().st_uid},gid={home.stat().st_gid},mode=700"
        inside = ["nsenter", f"--mount=/proc/{hub.process.pid}/ns/mnt"]
        subprocess.run(
            [*inside, "mount", "-t", "tmpfs", "-o", f"{small},{owner}", "tmpfs", str(home)], check=True
        )
        try:
            hub.spawn(bob)
            fetch(hub, bob)
            model = hub.user(bob, f"/api/contents/{NOTEBOOK}")
            with hub.kernel(bob) as kernel:
                said = kernel.run("open('big', 'wb').write(bytes(50_000_000))", fails=True)
                assert "No space left" in said
                refused = hub.user(
                    bob,
                    f"/api/contents/{NOTEBOOK}",
                    "PUT",
                    json={"type": "notebook", "content": model["content"]},
                    ok=False,
                )
                assert refused.status_code >= 400  # said, and not swallowed
                assert hub.user(bob, f"/api/contents/{NOTEBOOK}")["content"]["cells"]  # the old file is whole
                kernel.run("import os; os.remove('big')")
            hand_in(hub, bob, answers("one wrong"))
            assert hub.user(ada, f"/api/contents/{NOTEBOOK}")["type"] == "notebook"
        finally:
            hub.api(f"/users/{bob}/server", "DELETE", ok=False)
            wait_for("the end of the server", lambda: not hub.api(f"/users/{bob}")["servers"])
            subprocess.run([*inside, "umount", "--lazy", str(home)], check=True)

    def test_of_two_hand_ins_the_last_counts(self, hub):
        ada, bob = hub.students
        hub.spawn(ada, bob)
        hand_in(hub, ada, answers("one wrong"))
        time.sleep(1.1)  # nbgrader's time stamps have no smaller unit
        hand_in(hub, ada, answers("right"))

    def test_a_corrupt_hand_in_has_no_points_and_stops_nobody(self, hub):
        _, bob = hub.students
        if not (hub.home(bob) / NOTEBOOK).exists():
            fetch(hub, bob)
        (hub.home(bob) / NOTEBOOK).write_text('{"cells": [')
        time.sleep(1.1)
        post(hub, bob, "submit", course_id=COURSE, assignment_id=LAB)

    def test_a_late_hand_in_is_marked_late(self, hub):
        """The due date lies before all hand-ins of this test; the penalty is the course's own rule."""
        ada, bob = hub.students
        name = hub.instructor
        hub.spawn(name)
        meta = hub.user(name, f"/formgrader/api/assignment/{LAB}")
        body = {"duedate_notimezone": "2020-01-01T00:00:00", "duedate_timezone": "+0000"}
        hub.user(name, f"/formgrader/api/assignment/{LAB}", "PUT", json=meta | body)
        collected = hub.user(name, f"/formgrader/api/assignment/{LAB}/collect", "POST")
        assert collected["success"], collected
        with hub.kernel(name, "course") as kernel:
            kernel.run("import subprocess")
            grade = f"subprocess.run(['coursekit', 'grade', {LAB!r}, '--workers', '1'], **quiet)"
            kernel.run("quiet = {'capture_output': True, 'text': True}")
            said = kernel.run(f"done = {grade}; print(done.returncode, done.stdout, done.stderr)")
        worth, found = hub_box.points(), scores(hub)
        assert found[ada]["code_score"] == sum(worth.values()), said
        assert found[bob]["code_score"] == 0, said
        with hub.kernel(name, "course") as kernel:
            late = kernel.run(
                "from nbgrader.api import Gradebook\n"
                "with Gradebook('sqlite:///gradebook.db') as book:\n"
                f"    print(book.find_submission({LAB!r}, {ada!r}).total_seconds_late > 0)"
            )
        assert late.strip() == "True"

    def test_a_backup_brings_everything_back(self, hub):
        ada, _ = hub.students
        before = scores(hub)[ada]["code_score"]
        hub.stop()
        backup = hub.root / "backup.tar"
        subprocess.run(["tar", "-C", str(hub.dir.parent), "-cf", str(backup), hub.dir.name], check=True)
        shutil.rmtree(hub.dir)
        subprocess.run(["tar", "-C", str(hub.dir.parent), "-xpf", str(backup)], check=True)
        hub.start()
        assert hub.login(ada).answer.status_code == 302
        hub.spawn(ada, hub.instructor)
        assert scores(hub)[ada]["code_score"] == before
        assert hub.user(ada, f"/api/contents/{NOTEBOOK}")["content"]["cells"]


def reaches(hub, name):
    try:
        return hub.user(name, "/api/status", ok=False).status_code == 200
    except requests.RequestException:
        return False
