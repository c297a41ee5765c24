"""A real hub for a test: JupyterHub, its proxy and the servers of a class, all of which end with the test.

As root every account is a Unix account of its own with a name that nobody else has, removed afterwards.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import requests
import websocket

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 420.0  # seconds that anything may take on a machine with other work
LAB = "inverse_cdf"
ARTIFACTS = ROOT / "_build" / "hub-tests"  # logs and screenshots of the last run


def wait_for(what: str, ready: Callable[[], Any]) -> Any:
    """Ask again until there is an answer."""
    until = time.monotonic() + PATIENCE
    while not (answer := ready()):
        if time.monotonic() > until:
            raise TimeoutError(f"not within {PATIENCE:.0f} s: {what}")
        time.sleep(0.3)
    return answer


@dataclass
class Hub:
    """A running hub and its folder."""

    students: Sequence[str]
    settings: dict[str, str] = field(default_factory=dict)
    labs: Sequence[str] = (LAB,)
    wrap: Sequence[str] = ()  # what the command is started with

    def __post_init__(self) -> None:
        tag = secrets.token_hex(2)
        self.instructor = f"teacher-{tag}"
        self.students = [f"{name}-{tag}" for name in self.students]
        self.root = Path(tempfile.mkdtemp(prefix="coursehub-"))
        self.root.chmod(0o711)
        self.dir = self.root / "hub"
        self.log = self.root / "hub.log"
        self.token = secrets.token_hex(16)
        self.tokens: dict[str, str] = {}
        self.process: subprocess.Popen[bytes] | None = None
        self.url = ""

    # --- life ------------------------------------------------------------------------------------------

    def prepare(self) -> Hub:
        """Make the hub's folder, with a service through which the test asks."""
        self.command("--prepare-only", check=True)
        self.local_config(f"""
c.JupyterHub.services.append({{"name": "tests", "api_token": "{self.token}"}})
scopes = ["admin:users", "admin:servers", "tokens", "access:servers", "read:hub", "proxy"]
c.JupyterHub.load_roles.append({{"name": "tests", "services": ["tests"], "scopes": scopes}})
""")
        return self

    def local_config(self, text: str) -> None:
        """Add to the site's own settings."""
        file = self.dir / "local_config.py"
        file.write_text((file.read_text() if file.exists() else "c = get_config()\n") + text)
        file.chmod(0o600)
        owner = self.dir.stat()
        os.chown(file, owner.st_uid, owner.st_gid)

    def command(self, *options: str, check: bool = False, **popen: Any) -> Any:
        """Run deploy/hub.py, to its end or in the background."""
        names = self.root / "students.txt"
        names.write_text("\n".join(self.students))
        command = [*self.wrap, sys.executable, str(ROOT / "deploy" / "hub.py"), "--dir", str(self.dir)]
        command += ["--instructor", self.instructor, "--students", str(names), "--labs", *self.labs, *options]
        env = {k: v for k, v in os.environ.items() if not k.startswith(("JUPYTER", "COURSEKIT", "PYTEST"))}
        env |= {"PYTHONPATH": str(ROOT), **self.settings}
        if popen:
            return subprocess.Popen(command, env=env, cwd="/", **popen)
        done = subprocess.run(command, env=env, cwd="/", capture_output=True, text=True, check=False)
        if check and done.returncode:
            raise AssertionError(done.stdout[-2000:] + done.stderr[-4000:])
        return done

    def start(self, *options: str) -> Hub:
        """Start hub and proxy, and wait until they answer."""
        with self.log.open("ab") as log:
            self.process = self.command(
                "--port",
                "0",
                *options,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        seen = self.log.read_text().count("The hub: ")

        def address() -> str:
            if self.process.poll() is not None:
                raise AssertionError(f"the hub ended:\n{self.log.read_text()[-6000:]}")
            lines = [line for line in self.log.read_text().splitlines() if line.startswith("The hub: ")]
            return lines[-1].split()[2] if len(lines) > seen else ""

        self.url = wait_for("the hub's address", address)
        wait_for("the hub", self.answers)
        return self

    def answers(self) -> bool:
        """Whether the hub answers through the proxy."""
        if self.process is not None and self.process.poll() is not None:
            raise AssertionError(f"the hub ended:\n{self.log.read_text()[-6000:]}")
        with contextlib.suppress(requests.RequestException):
            return requests.get(f"{self.url}/hub/api/", timeout=20).status_code == 200
        return False

    def processes(self) -> list[psutil.Process]:
        """Everything that this hub has started: it all has the hub's folder in its environment."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                if process.environ().get("COURSE_HUB_DIR") == str(self.dir):
                    found.append(process)
        return found

    def stop(self) -> None:
        """End the hub; whatever outlives it is killed, process group by process group."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(60)
        for _ in range(3):
            for process in self.processes():
                with contextlib.suppress(psutil.Error, ProcessLookupError):
                    group = os.getpgid(process.pid)
                    if group != os.getpgrp():
                        os.killpg(group, signal.SIGKILL)
            time.sleep(0.2)
        if self.process is not None:
            self.process.wait(60)
        self.process = None

    def keep(self, name: str) -> None:
        """Keep what the hub said, for whoever asks why a test failed."""
        ARTIFACTS.mkdir(parents=True, exist_ok=True)
        if self.log.exists():
            shutil.copy(self.log, ARTIFACTS / f"{name}.log")

    def remove(self) -> None:
        """End everything and take back the accounts."""
        self.stop()
        if os.getuid() == 0:
            for name in (self.instructor, *self.students):
                subprocess.run(["userdel", "--force", name], capture_output=True, check=False)
        shutil.rmtree(self.root, ignore_errors=True)

    # --- people ----------------------------------------------------------------------------------------

    def password(self, name: str) -> str:
        import course_hub

        return course_hub.read_accounts(self.dir / "accounts.txt")[name]

    def home(self, name: str) -> Path:
        return self.dir / "homes" / name

    def api(self, path: str, method: str = "GET", **options: Any) -> Any:
        """Ask the hub's REST API as the test's service."""
        return self.request(f"/hub/api{path}", method, token=self.token, **options)

    def request(self, path: str, method: str = "GET", *, token: str, ok: bool = True, **options: Any) -> Any:
        """Ask the hub or a server; the answer's JSON, or (with ``ok=False``) the answer itself."""
        headers = {"Authorization": f"token {token}"}
        answer = requests.request(method, self.url + path, headers=headers, timeout=PATIENCE, **options)
        if not ok:
            return answer
        assert answer.status_code < 300, f"{method} {path}: {answer.status_code} {answer.text[:2000]}"
        with contextlib.suppress(ValueError):  # nbgrader sends JSON under the name of HTML
            return answer.json()
        return answer.text

    def login(self, name: str, password: str | None = None) -> requests.Session:
        """Log in as a browser does; the session has the cookies."""
        session = requests.Session()
        session.get(f"{self.url}/hub/login", timeout=PATIENCE)
        form = {
            "username": name,
            "password": self.password(name) if password is None else password,
            "_xsrf": session.cookies.get("_xsrf", path="/hub/"),
        }
        session.answer = session.post(
            f"{self.url}/hub/login", data=form, timeout=PATIENCE, allow_redirects=False
        )
        return session

    def spawn(self, *names: str) -> None:
        """Start servers, all at once, and wait until they are ready."""
        for name in names:
            self.api(f"/users/{name}", "POST", ok=False)
            answer = self.api(f"/users/{name}/server", "POST", ok=False)
            assert answer.status_code in (201, 202, 400), answer.text
        for name in names:
            wait_for(f"the server of {name}", lambda name=name: self.is_ready(name))
            self.tokens[name] = self.api(f"/users/{name}/tokens", "POST", json={"note": "test"})["token"]

    def is_ready(self, name: str) -> bool:
        server = self.api(f"/users/{name}")["servers"].get("")
        return bool(server and server["ready"])

    def user(self, name: str, path: str, method: str = "GET", **options: Any) -> Any:
        """Ask a student's server as that student."""
        return self.request(f"/user/{name}{path}", method, token=self.tokens[name], **options)

    # --- kernels ---------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def kernel(self, name: str, folder: str = "") -> Any:
        """A kernel on a student's server, reached through hub and proxy."""
        body = {"name": "python3", "path": folder}
        kernel = Kernel(self, name, self.user(name, "/api/kernels", "POST", json=body)["id"])
        try:
            yield kernel
        finally:
            kernel.close()
            self.user(name, f"/api/kernels/{kernel.id}", "DELETE")


class Kernel:
    """A connection to a kernel by websocket."""

    def __init__(self, hub: Hub, name: str, identity: str):
        self.id, self.hub, self.name = identity, hub, name
        self.connect()

    def connect(self) -> None:
        address = f"{self.hub.url.replace('http', 'ws', 1)}/user/{self.name}/api/kernels/{self.id}/channels"
        header = [f"Authorization: token {self.hub.tokens[self.name]}"]
        self.socket = websocket.create_connection(address, header=header, timeout=PATIENCE)

    def close(self) -> None:
        self.socket.close()

    def run(self, code: str, *, fails: bool = False) -> str:
        """Run a cell; what it printed, or (with ``fails``) its error."""
        identity, printed = uuid.uuid4().hex, []
        header = {"msg_id": identity, "msg_type": "execute_request", "username": "t", "session": "t"}
        header |= {"version": "5.3", "date": ""}
        content = {
            "code": code,
            "silent": False,
            "store_history": True,
            "allow_stdin": False,
            "stop_on_error": True,
        }
        message = {
            "header": header,
            "parent_header": {},
            "metadata": {},
            "content": content,
            "channel": "shell",
        }
        self.socket.send(json.dumps(message))
        reply, idle = None, False
        while reply is None or not idle:
            answer = json.loads(self.socket.recv())
            if answer["parent_header"].get("msg_id") != identity:
                continue
            if answer["msg_type"] == "stream":
                printed.append(answer["content"]["text"])
            elif answer["msg_type"] == "status":
                idle = answer["content"]["execution_state"] == "idle"
            elif answer["msg_type"] == "execute_reply":
                reply = answer["content"]
        if fails:
            assert reply["status"] == "error", reply
            return f"{reply['ename']}: {reply['evalue']}"
        assert reply["status"] == "ok", f"{reply}\n{code}\n{''.join(printed)}"
        return "".join(printed)


# --- answers to the lab ----------------------------------------------------------------------------------


def marks(cell: dict[str, Any]) -> dict[str, Any]:
    return cell["metadata"].get("nbgrader", {})


def reference(lab: str = LAB) -> dict[str, str]:
    """The instructor's answers, by cell."""
    cells = json.loads((ROOT / "labs" / "source" / lab / f"{lab}.ipynb").read_text())["cells"]
    return {
        marks(cell)["grade_id"]: "".join(
            line
            for line in cell["source"]
            if not line.strip().startswith(("### BEGIN SOLUTION", "### END SOLUTION"))
        )
        for cell in cells
        if marks(cell).get("solution")
    }


def fill(notebook: dict[str, Any], answers: dict[str, str]) -> dict[str, Any]:
    """Put answers into a student's notebook."""
    for cell in notebook["cells"]:
        if marks(cell).get("grade_id") in answers:
            cell["source"] = answers[marks(cell)["grade_id"]]
    return notebook


def points(lab: str = LAB) -> dict[str, float]:
    """Points of each task that a machine grades."""
    cells = json.loads((ROOT / "labs" / "source" / lab / f"{lab}.ipynb").read_text())["cells"]
    return {
        marks(cell)["grade_id"]: marks(cell)["points"]
        for cell in cells
        if marks(cell).get("grade") and not marks(cell).get("solution")
    }
