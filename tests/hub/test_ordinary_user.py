"""The hub as an ordinary user starts it: to try it out, with every server under that user's own name."""

import os
import secrets
import subprocess
import sys

import pytest
from hub_box import LAB, ROOT, Hub
from walk import COURSE, answers, do_the_lab, link_of, post

pytestmark = pytest.mark.needs("npm")


@pytest.fixture(scope="module")
def hub():
    """Root's tests start it as somebody who is not root; elsewhere there is nothing to change."""
    box = Hub(["ada", "bob"])
    name = f"ordinary-{secrets.token_hex(2)}"
    try:
        if os.getuid() == 0:
            subprocess.run(["useradd", "--home-dir", str(box.root), "--shell", "/bin/sh", name], check=True)
            uid = int(subprocess.check_output(["id", "-u", name]))
            os.chown(box.root, uid, -1)
            box.wrap = (sys.executable, str(ROOT / "tests" / "grading" / "ordinary.py"), str(uid))
            box.settings |= {"HOME": str(box.root), "USER": name, "LOGNAME": name}
        yield box.prepare().start()
    finally:
        box.keep("ordinary-user")
        box.remove()
        if os.getuid() == 0:
            subprocess.run(["userdel", "--force", name], capture_output=True, check=False)


def test_a_lab_goes_from_the_button_to_the_instructor(hub):
    ada, _ = hub.students
    assert hub.process.poll() is None
    do_the_lab(hub, ada, answers("right"), link_of(hub), run=False)
    post(hub, ada, "submit", course_id=COURSE, assignment_id=LAB)
    hub.spawn(hub.instructor)
    collected = hub.user(hub.instructor, f"/formgrader/api/assignment/{LAB}/collect", "POST")
    assert collected["success"], collected
    rows = hub.user(hub.instructor, f"/formgrader/api/submissions/{LAB}")
    assert [row["student"] for row in rows if row["submitted"]] == [ada]
    assert all(process.uids().effective != 0 for process in hub.processes()) or os.getuid() == 0


def test_servers_run_as_that_user_and_hubs_for_others_are_refused(hub):
    uids = {process.uids().effective for process in hub.processes()}
    assert len(uids) == 1
    assert 0 not in uids
    done = hub.command("--ip", "0.0.0.0", "--port", "0")
    assert done.returncode != 0
    assert "as one user" in done.stdout + done.stderr
