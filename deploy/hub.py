"""Start the course's hub on this machine: ``make hub``, or ``python deploy/hub.py --help``.

The first start prepares a folder: accounts with first passwords, the instructor's copy of the course, the
exchange, and the repository of released labs that the book's launch buttons pull. Later starts leave all that
as it is, and add what is new. Started as root, every account is a Unix account of its own; started as an
ordinary user, all servers run as that user, which is for trying it out alone.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "deploy"), str(ROOT / "book" / "_ext"), str(ROOT)]
import course_hub  # noqa: E402
import notebooks  # noqa: E402

from coursekit.grading import linux  # noqa: E402
from coursekit.grading.sandbox import interpreter_paths, visible_paths  # noqa: E402

PROXY = "configurable-http-proxy"
PROXY_VERSION = "5.3.0"
BIN = Path(sys.executable).parent


def say(text: str) -> None:
    print(text, flush=True)


# --- the proxy -----------------------------------------------------------------------------------------


def find_proxy(folder: Path) -> str:
    """The proxy in the search path or in a folder; where it is missing, npm puts it into that folder."""
    local = folder / "node_modules" / ".bin" / PROXY
    installed = shutil.which(PROXY)
    if installed and installed.startswith("/usr/"):
        return installed
    if local.exists():
        return str(local)
    if shutil.which("npm") is None:
        raise course_hub.Refused(f"{PROXY} and npm are missing; on Debian: sudo apt-get install npm")
    say(f"Installing {PROXY} {PROXY_VERSION} into {folder}")
    folder.mkdir(parents=True, exist_ok=True)
    quiet = ["--no-fund", "--no-audit", "--no-save", "--loglevel=error"]
    subprocess.run(
        ["npm", "install", *quiet, "--prefix", str(folder), f"{PROXY}@{PROXY_VERSION}"], check=True
    )
    return str(local)


# --- the folder ----------------------------------------------------------------------------------------


def check_folder(state: Path) -> None:
    """Refuse a folder that graded student code, or (as root) a student cannot be kept from or let into."""
    if seen := [path for path in visible_paths() if state.is_relative_to(path)]:
        raise course_hub.Refused(
            f"{state} lies in {seen[0]}, which graded code can read; choose another --dir"
        )
    closed = [path for path in (state, *state.parents) if path.exists() and not path.stat().st_mode & 1]
    if os.getuid() == 0 and closed and closed != [state]:
        raise course_hub.Refused(f"{closed[-1]} is closed to students, whose homes would lie below it")


def prepare(state: Path, instructor: str, students: Sequence[str]) -> list[str]:
    """Make what is missing in the hub's folder; return the names of accounts that are new."""
    wrong = [name for name in (instructor, *students) if not re.match(course_hub.NAME, name)]
    if wrong:
        raise course_hub.Refused(f"{', '.join(wrong)}: names are lower-case letters, digits, - and _")
    state.mkdir(parents=True, exist_ok=True)
    state.chmod(0o711)  # others pass through to what is theirs, and list nothing
    for name, mode in {"homes": 0o711, "etc": 0o755, "exchange": 0o1777, "notebooks.git": 0o755}.items():
        (state / name).mkdir(exist_ok=True)
        (state / name).chmod(mode)
    for name in ("proxy_token", "hub.sqlite", "cookie_secret", "local_config.py"):
        if (state / name).exists():
            (state / name).chmod(0o600)
    token = state / "proxy_token"
    if not token.exists():
        token.touch(mode=0o600)
        token.write_text(secrets.token_hex(32))
    new = course_hub.add_accounts(state / "accounts.txt", [instructor, *students])
    for name in (instructor, *students):
        home = state / "homes" / name
        if os.getuid() == 0:
            course_hub.unix_account(name, home)
        home.mkdir(mode=0o700, exist_ok=True)
    write_settings(state, instructor)
    return new


def write_settings(state: Path, instructor: str) -> None:
    """Settings of Jupyter and nbgrader: students get the assignment list, the instructor the formgrader."""
    exchange = f"""\
import os
c = get_config()
c.Exchange.root = {str(state / "exchange")!r}
c.Exchange.path_includes_course = True
c.CourseDirectory.course_id = {course_hub.COURSE!r}
c.KernelManager.transport = "ipc"
"""
    one_user = 'c.CourseDirectory.student_id = os.environ.get("JUPYTERHUB_USER", "*")\n'
    course = f"""\
from pathlib import Path
from coursekit.grading.config import course_config
course = Path({str(state / "homes" / instructor / "course")!r})
c.merge(course_config(course, course_id={course_hub.COURSE!r}))
c.ExchangeCollect.check_owner = {os.getuid() == 0}
"""
    hidden = {
        "student": ["formgrader", "course_list", "create-assignment", "course-list"],
        "instructor": ["course_list", "course-list"],
    }
    # Over TCP anybody on the machine could listen to a kernel; these sockets lie in a closed folder.
    server = {"KernelManager": {"transport": "ipc"}}
    for role, extra in {"student": "" if os.getuid() == 0 else one_user, "instructor": course}.items():
        folder = state / "etc" / role
        off = {f"nbgrader.server_extensions.{n}": False for n in hidden[role] if "-" not in n}
        plugins = {f"@jupyter/nbgrader:{name}": True for name in hidden[role] if "_" not in name}
        plugins["@jupyterlab/apputils-extension:announcements"] = True  # asks nobody, fetches nothing
        files = {
            "nbgrader_config.py": exchange + extra,
            "jupyter_server_config.d/course.json": json.dumps({"ServerApp": {"jpserver_extensions": off}}),
            "jupyter_server_config.json": json.dumps(server),
            "labconfig/page_config.json": json.dumps({"disabledExtensions": plugins}),
        }
        for name, text in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text + "\n")
    # git serves a repository to users who do not own it only if it is named here.
    (state / "etc" / "gitconfig").write_text(f"[safe]\n\tdirectory = {state / 'notebooks.git'}\n")
    for path in (state / "etc").rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)


def as_account(name: str, state: Path, command: Sequence[str], cwd: Path) -> None:
    """Run a command as an account of the hub, with the settings of the instructor."""
    who = {"user": name, "group": name, "extra_groups": []} if os.getuid() == 0 else {}
    kept = {k: v for k, v in os.environ.items() if k in ("LANG", "LC_ALL", "TZ", "PYTHONPATH", "TMPDIR")}
    env = kept | {
        "HOME": str(state / "homes" / name),
        "USER": name,
        "PATH": f"{BIN}:/usr/local/bin:/usr/bin:/bin",
        "JUPYTER_CONFIG_PATH": str(state / "etc" / "instructor"),
        "GIT_CONFIG_SYSTEM": str(state / "etc" / "gitconfig"),
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(
        command, cwd=cwd, env=env, capture_output=True, text=True, check=False, umask=0o022, **who
    )
    if done.returncode:
        raise course_hub.Refused(
            f"{' '.join(command[-3:])} failed:\n{done.stdout[-2000:]}{done.stderr[-4000:]}"
        )


def copy_course(state: Path, instructor: str, labs: Sequence[str]) -> None:
    """Give the instructor a copy of the course, closed to everybody else."""
    course = state / "homes" / instructor / "course"
    if course.exists():
        return
    made = course.with_name(".course-in-the-making")
    shutil.rmtree(made, ignore_errors=True)
    shutil.copytree(ROOT / "labs", made, ignore=lambda folder, names: _not_ours(Path(folder), names, labs))
    if os.getuid() == 0:
        for path in (made, *made.rglob("*")):
            shutil.chown(path, instructor, instructor)
    made.chmod(0o700)
    made.rename(course)
    students = course.with_name("students")
    notebooks.write(students)
    if os.getuid() == 0:
        for path in (students, *students.rglob("*")):
            shutil.chown(path, instructor, instructor)


def release_labs(state: Path, instructor: str, labs: Sequence[str]) -> None:
    """Release the labs that are not out yet: into the exchange, and where the launch buttons pull from."""
    course, published = (state / "homes" / instructor / name for name in ("course", "students"))
    outbound = state / "exchange" / course_hub.COURSE / "outbound"
    wanted = [lab for lab in labs if not (outbound / lab).exists()]
    if wanted:
        say(f"Releasing {', '.join(wanted)} (once)")
        command = [str(BIN / "coursekit"), "release", *wanted, "--output", str(published)]
        as_account(instructor, state, command, course)
        for lab in wanted:
            as_account(instructor, state, [str(BIN / "nbgrader"), "release_assignment", lab], course)
    publish(state, instructor, published)


def _not_ours(folder: Path, names: list[str], labs: Sequence[str]) -> list[str]:
    """What of ``labs/`` is generated, or a lab that was not asked for."""
    if folder == ROOT / "labs":
        return [name for name in names if name not in ("source", "nbgrader_config.py")]
    if folder == ROOT / "labs" / "source":
        return [name for name in names if name not in labs]
    return [name for name in names if name.startswith(".")]


def publish(state: Path, instructor: str, folder: Path) -> None:
    """Commit the students' folder, and let the hub's repository hold what it holds."""
    bare = state / "notebooks.git"
    if os.getuid() == 0:
        shutil.chown(bare, instructor, instructor)
    git = [
        "git",
        "-c",
        "user.name=course",
        "-c",
        "user.email=course@localhost",
        "-c",
        "init.defaultBranch=main",
    ]
    script = f"""
    set -e
    [ -d .git ] || {" ".join(git)} init --quiet
    git add --all
    git diff --cached --quiet || {" ".join(git)} commit --quiet -m 'Labs as released'
    [ -f '{bare}/HEAD' ] || {" ".join(git)} init --quiet --bare '{bare}'
    git push --quiet --force '{bare}' HEAD:main
    git -C '{bare}' symbolic-ref HEAD refs/heads/main
    chmod -R a+rX '{bare}'
    """
    as_account(instructor, state, ["sh", "-c", script], folder)


# --- what students see of this folder ------------------------------------------------------------------


def closed_view(state: Path) -> None:
    """Leave for a view of the file system in which the checkout holds no solutions (root only).

    Students' servers need the environment and the package; the labs' source, the tests and the history hold
    every answer. In the view of the hub, and so of all servers, the checkout shows what is needed alone.
    """
    needed = [*interpreter_paths(), ROOT / "deploy", ROOT / "_build" / "proxy"]
    needed = [path for path in needed if path.exists()]
    linux.unshare(linux.NEWNS)
    linux.mount("none", "/", "", linux.REC | linux.PRIVATE)
    held = {path: os.open(path, os.O_PATH) for path in needed}
    if state.is_relative_to(ROOT):
        held[state] = os.open(state, os.O_PATH)
    covered = {ROOT}
    for path in needed:  # and where only root may enter, a way through
        covered |= {p for p in path.parents if not p.stat().st_mode & 1}
    for place in sorted(covered):
        if not any(place != other and place.is_relative_to(other) for other in covered):
            linux.mount("tmpfs", str(place), "tmpfs", 0, "mode=755,size=4m")
    for path, descriptor in held.items():
        if any(path.is_relative_to(place) for place in covered):
            path.mkdir(parents=True, exist_ok=True)
            linux.mount(f"/proc/self/fd/{descriptor}", str(path), "", linux.BIND | linux.REC)
        os.close(descriptor)


def end_old_culler(state: Path) -> None:
    """End the idle culler that a killed hub has left behind; the hub starts its own."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            culler = "jupyterhub_idle_culler" in process.cmdline()
            if culler and process.environ().get("COURSE_HUB_DIR") == str(state):
                process.kill()


# --- start ---------------------------------------------------------------------------------------------


def free_port() -> int:
    """A port of loopback that nobody uses at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def ports(state: Path, wanted: int) -> tuple[int, int, int]:
    """Ports of proxy, hub and the proxy's API: the same after a restart, because servers rely on them."""
    file = state / "ports.json"
    known = json.loads(file.read_text()) if file.exists() else [0, 0, 0]
    chosen = [wanted or known[0] or free_port(), known[1] or free_port(), known[2] or free_port()]
    file.write_text(json.dumps(chosen))
    return chosen[0], chosen[1], chosen[2]


def options() -> argparse.Namespace:
    is_root = os.getuid() == 0
    parser = argparse.ArgumentParser(prog="hub.py", description="Start the course's hub on this machine.")
    default = Path("/srv/coursehub") if is_root else ROOT / "_build" / "hub"
    parser.add_argument("--dir", type=Path, default=default, help="the hub's folder (default: %(default)s)")
    parser.add_argument("--ip", default="127.0.0.1", help="address to listen on (default: this machine only)")
    parser.add_argument("--port", type=int, default=8000, help="port to listen on; 0 takes a free one")
    parser.add_argument("--instructor", default="instructor", metavar="NAME")
    parser.add_argument(
        "--students", type=Path, metavar="FILE", help="names, one a line; two to try by default"
    )
    parser.add_argument("--labs", nargs="+", metavar="LAB", help="labs to release; all by default")
    parser.add_argument("--prepare-only", action="store_true", help="prepare the folder and stop")
    return parser.parse_args()


def main() -> None:
    chosen = options()
    state = chosen.dir.resolve()
    names = ["student1", "student2"]
    if chosen.students:
        names = [line.strip() for line in chosen.students.read_text().splitlines() if line.strip()]
    elif (state / "accounts.txt").exists():
        names = [
            name for name in course_hub.read_accounts(state / "accounts.txt") if name != chosen.instructor
        ]
    labs = chosen.labs or sorted(path.parent.name for path in (ROOT / "labs" / "source").glob("*/*.ipynb"))
    os.environ["PATH"] = f"{BIN}:{os.environ.get('PATH', '')}"
    check_folder(state)
    proxy = find_proxy(ROOT / "_build" / "proxy")
    new = prepare(state, chosen.instructor, names)
    copy_course(state, chosen.instructor, labs)
    if os.getuid() == 0:
        closed_view(state)
    release_labs(state, chosen.instructor, labs)
    if chosen.prepare_only:
        say(f"{state} is ready.")
        return
    port, inner, api = ports(state, chosen.port)
    os.environ |= {
        "COURSE_HUB_DIR": str(state),
        "COURSE_HUB_IP": chosen.ip,
        "COURSE_HUB_PORT": str(port),
        "COURSE_HUB_INNER_PORT": str(inner),
        "COURSE_HUB_PROXY_PORT": str(api),
        "COURSE_HUB_PROXY": proxy,
        "COURSE_HUB_INSTRUCTOR": chosen.instructor,
    }
    if os.getuid() != 0:
        say("All accounts share your own rights: try it out alone. As root, each is a user of its own.")
    say(f"The hub: http://{chosen.ip}:{port}    accounts and first passwords: {state}/accounts.txt")
    if new:
        say(f"New accounts: {', '.join(new)}")
    end_old_culler(state)
    os.chdir(state)
    os.umask(0o077)  # the hub's database holds what passwords and tokens are checked against
    command = [sys.executable, "-m", "jupyterhub", "-f", str(ROOT / "deploy" / "jupyterhub_config.py")]
    os.execv(command[0], command)


if __name__ == "__main__":
    main()
