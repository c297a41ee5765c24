"""From the book's button to the gradebook and back, through a real hub: REST and a kernel's websocket."""

import json
import os
import re

import hub_box
import pytest
import requests
from hub_box import LAB, ROOT, Hub
from walk import COURSE, NOTEBOOK, WRONG, answers, do_the_lab, link_of, post, scores

pytestmark = [pytest.mark.needs("npm")]


@pytest.fixture(scope="module")
def hub():
    box = Hub(["ada", "bob"])
    try:
        yield box.prepare().start()
    finally:
        box.keep("end-to-end")
        box.remove()


class TestClass:
    """One class on one hub, in the order of a term."""

    def test_accounts_open_with_their_password_only(self, hub):
        ada, bob = hub.students
        assert hub.login(ada).answer.status_code == 302
        assert hub.login(ada, "not the password").answer.status_code != 302
        assert hub.login(bob, hub.password(ada)).answer.status_code != 302
        assert requests.get(f"{hub.url}/hub/api/users", timeout=60).status_code == 403

    def test_whoever_signs_up_waits_for_the_instructor(self, hub):
        eve = requests.Session()
        eve.get(f"{hub.url}/hub/signup", timeout=hub_box.PATIENCE)
        name, password = f"eve-{hub.students[0][-4:]}", "a rather long password 42"
        form = {"username": name, "signup_password": password, "signup_password_confirmation": password}
        form["_xsrf"] = eve.cookies.get("_xsrf", path="/hub/")
        assert eve.post(f"{hub.url}/hub/signup", data=form, timeout=hub_box.PATIENCE).status_code == 200
        assert hub.login(name, password).answer.status_code != 302
        teacher = hub.login(hub.instructor)
        page = teacher.get(f"{hub.url}/hub/authorize", timeout=hub_box.PATIENCE)
        assert name in page.text
        assert teacher.get(f"{hub.url}/hub/authorize/{name}", timeout=hub_box.PATIENCE).status_code == 200
        assert hub.login(name, password).answer.status_code == 302
        ada = hub.login(hub.students[0])  # a student lets nobody in
        assert ada.get(f"{hub.url}/hub/authorize/{name}", timeout=hub_box.PATIENCE).status_code in (403, 404)

    def test_the_first_student_does_the_lab_from_the_book_s_button(self, hub):
        ada, _ = hub.students
        do_the_lab(hub, ada, answers("right"), link_of(hub), run=True)
        verdict = post(hub, ada, "validate", path=NOTEBOOK)
        verdict = json.loads(verdict) if isinstance(verdict, str) else verdict
        assert not any(verdict.get(key) for key in ("failed", "changed", "type_changed")), verdict
        post(hub, ada, "submit", course_id=COURSE, assignment_id=LAB)
        (listed,) = [
            row
            for row in hub.user(ada, f"/assignments?course_id={COURSE}")["value"]
            if row["status"] == "submitted"
        ]
        assert listed["assignment_id"] == LAB

    def test_the_second_student_gets_one_task_wrong(self, hub):
        _, bob = hub.students
        do_the_lab(hub, bob, answers("one wrong"), link_of(hub), run=False)
        post(hub, bob, "submit", course_id=COURSE, assignment_id=LAB)

    def test_a_student_s_lab_has_no_formgrader(self, hub):
        ada, _ = hub.students
        assert hub.user(ada, "/formgrader/api/assignments", ok=False).status_code == 404

    def test_a_student_cannot_enter_another_s_server(self, hub):
        ada, bob = hub.students
        for owner in (ada, hub.instructor):
            answer = hub.request(f"/user/{owner}/api/contents", token=hub.tokens[bob], ok=False)
            assert answer.status_code in (403, 404), answer.text[:300]
        answer = hub.request(f"/hub/api/users/{ada}/tokens", "POST", token=hub.tokens[bob], ok=False, json={})
        assert answer.status_code in (403, 404)

    @pytest.mark.skipif(os.getuid() != 0, reason="only root's hub has accounts that the kernel keeps apart")
    def test_a_student_reads_nothing_that_is_not_theirs(self, hub):
        ada, bob = hub.students
        course = hub.home(hub.instructor) / "course"
        assert (course / "gradebook.db").exists()
        tried = {
            "another's notebook": hub.home(ada) / NOTEBOOK,
            "another's home": hub.home(ada),
            "the homes": hub.home(ada).parent,
            "the inbound folder": hub.dir / "exchange" / COURSE / "inbound",
            "the gradebook": course / "gradebook.db",
            "the solutions": course / "source" / LAB / f"{LAB}.ipynb",
            "the course's key": course / ".course_key",
            "the hub's database": hub.dir / "hub.sqlite",
            "the cookie's secret": hub.dir / "cookie_secret",
            "the proxy's token": hub.dir / "proxy_token",
            "the passwords": hub.dir / "accounts.txt",
            "the site's settings": hub.dir / "local_config.py",
        }
        hidden = [ROOT / "labs", ROOT / "tests", ROOT / ".git"]
        probe = """
import os
def attempt(path):
    try:
        return "read " + str(len(os.listdir(path) if os.path.isdir(path) else open(path, "rb").read()))
    except OSError as error:
        return type(error).__name__
"""
        with hub.kernel(bob) as kernel:
            kernel.run(probe)
            assert kernel.run(f"print(attempt({str(hub.home(bob) / NOTEBOOK)!r}))").startswith("read")
            for what, path in tried.items():
                assert kernel.run(f"print(attempt({str(path)!r}))").strip() in (
                    "PermissionError",
                    "FileNotFoundError",
                ), what
            for path in hidden:
                assert kernel.run(f"print(attempt({str(path)!r}))").strip() == "FileNotFoundError"
            # nor write where it would count
            for path in (
                hub.dir / "exchange" / COURSE / "outbound" / LAB / "x",
                course / "x",
                hub.home(ada) / "x",
            ):
                assert kernel.run(f"open({str(path)!r}, 'w')", fails=True).startswith("PermissionError")

    def test_the_instructor_collects_grades_and_releases(self, hub):
        name = hub.instructor
        hub.spawn(name)
        collected = hub.user(name, f"/formgrader/api/assignment/{LAB}/collect", "POST")
        assert collected["success"], collected
        with hub.kernel(name, "course") as kernel:
            kernel.run("import subprocess")
            for words in (["grade", LAB, "--workers", "1"], ["feedback", LAB]):
                code = f"done = subprocess.run(['coursekit', *{words!r}], capture_output=True, text=True)\n"
                code += "print(done.stdout, done.stderr)\nassert done.returncode == 0"
                kernel.run(code)
        released = hub.user(name, f"/formgrader/api/assignment/{LAB}/release_feedback", "POST")
        assert released["success"], released

    def test_the_points_are_exactly_right(self, hub):
        ada, bob = hub.students
        worth, found = hub_box.points(), scores(hub)
        total = sum(worth.values())
        assert found[ada]["code_score"] == found[ada]["max_code_score"] == total
        assert found[bob]["code_score"] == total - worth[f"{WRONG}-test"]
        assert found[ada]["needs_manual_grade"]

    def test_each_student_fetches_their_own_feedback(self, hub):
        total, worth = sum(hub_box.points().values()), hub_box.points()[f"{WRONG}-test"]
        for name, score in zip(hub.students, (total, total - worth), strict=True):
            post(hub, name, "fetch_feedback", course_id=COURSE, assignment_id=LAB)
            folder = hub.user(name, f"/api/contents/{COURSE}/{LAB}/feedback")["content"][0]["path"]
            files = hub.user(name, f"/api/contents/{folder}")["content"]
            (page,) = [file["path"] for file in files if file["name"].endswith(".html")]
            text = hub.user(name, f"/api/contents/{page}?type=file&format=text")["content"]
            assert f"{score:g}" in text
            assert "BEGIN HIDDEN" not in text

    @pytest.mark.skipif(os.getuid() != 0, reason="only root's hub has accounts that the kernel keeps apart")
    def test_the_feedback_of_others_cannot_be_found(self, hub):
        _, bob = hub.students
        folder = hub.dir / "exchange" / COURSE / "feedback"
        with hub.kernel(bob) as kernel:
            assert kernel.run(f"import os; os.listdir({str(folder)!r})", fails=True).startswith(
                "PermissionError"
            )

    def test_what_a_kernel_prints_is_on_no_port_of_the_machine(self, hub):
        ada, _ = hub.students
        with hub.kernel(ada) as kernel:
            kernel.run("import ipykernel, json")
            assert (
                kernel.run("print(json.loads(ipykernel.get_connection_info())['transport'])").strip() == "ipc"
            )

    def test_the_device_is_named_in_the_hub(self, hub):
        ada, _ = hub.students
        with hub.kernel(ada) as kernel:
            kernel.run("import subprocess")
            said = kernel.run("print(subprocess.getoutput('coursekit doctor'))")
        (line,) = [line for line in said.splitlines() if line.startswith("device")]
        assert re.match(r"device\s+(cpu|cuda: .+|mps)", line)
