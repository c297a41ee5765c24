"""What the course's hub adds to JupyterHub: who may log in, as whom servers run, and what is refused.

Used by ``jupyterhub_config.py``; ``hub.py`` prepares the folder that both work in.
"""

from __future__ import annotations

import contextlib
import grp
import ipaddress
import os
import pwd
import resource
import secrets
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import bcrypt
from jupyterhub.auth import DummyAuthenticator
from jupyterhub.spawner import LocalProcessSpawner, SimpleLocalProcessSpawner
from nativeauthenticator import NativeAuthenticator
from nativeauthenticator.handlers import LoginHandler
from nativeauthenticator.orm import UserInfo
from traitlets import Integer, Unicode

COURSE = "generative-models"  # the name of the course, and of the folder in which students find the labs
NAME = (
    r"^[a-z][a-z0-9_-]{0,30}$"  # an account's name: what Debian takes for a user, and nbgrader for a student
)
GROUP = "coursehub"  # of the accounts that the hub has made; into no other one does it let anybody


class Refused(SystemExit):
    """The hub does not start, and says why."""

    def __init__(self, why: str):
        super().__init__(f"The hub does not start: {why}")


# --- what is refused -----------------------------------------------------------------------------------


def is_loopback(url: str) -> bool:
    """Whether a bind address can be reached from this machine alone; an unclear one is not."""
    host = urlsplit(url if "//" in url else f"//{url}").hostname or ""
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


def check_address(url: str, *, dummy: bool, shared_user: bool, encrypted: bool) -> None:
    """Refuse to listen where others are before the hub is fit for it.

    Parameters
    ----------
    url : str
        Where the hub will listen.
    dummy : bool
        Whether one password opens every account.
    shared_user : bool
        Whether all servers run as one user, who can read everything.
    encrypted : bool
        Whether passwords cross the network encrypted.

    Raises
    ------
    Refused
        With what to change.
    """
    if is_loopback(url):
        return
    where = f"{url} can be reached from other machines, and"
    if dummy:
        raise Refused(
            f"{where} the dummy authenticator lets everybody be anybody; it is for tests on 127.0.0.1"
        )
    if shared_user:
        raise Refused(
            f"{where} all servers would run as one user, so that students could read each other and the "
            "gradebook; start it as root, or set another spawner in local_config.py"
        )
    if not encrypted:
        raise Refused(
            f"{where} passwords would cross the network in the clear; set c.JupyterHub.ssl_key and ssl_cert, "
            "or let it listen on 127.0.0.1 behind a web server that has them (COURSE_HUB_TLS_ELSEWHERE=1 "
            "if that server is another machine)"
        )


# --- who may log in ------------------------------------------------------------------------------------


def read_accounts(file: Path) -> dict[str, str]:
    """Names and first passwords, one pair a line; a line that starts with # is a remark."""
    pairs = (line.split() for line in file.read_text().splitlines() if line.strip() and line[0] != "#")
    return {name: password for name, password in pairs}


def add_accounts(file: Path, names: list[str]) -> list[str]:
    """Write a first password for each name that has none yet, into a file that only its owner reads."""
    known = read_accounts(file) if file.exists() else {}
    new = [name for name in dict.fromkeys(names) if name not in known]
    with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "a") as stream:
        if not known:
            stream.write(
                "# First passwords: tell each person theirs; change it under /hub/change-password.\n"
            )
        stream.writelines(f"{name} {secrets.token_urlsafe(9)}\n" for name in new)
    return new


class _NoTimer:
    """Stands for the statistics that JupyterHub 6 no longer keeps, and the login page still asks for."""

    def timer(self, name: str) -> _NoTimer:
        return self

    def start(self) -> _NoTimer:
        return self

    def stop(self, send: bool = True) -> None:
        pass


class CourseLogin(LoginHandler):
    """The login page of nativeauthenticator 1.3, mended for JupyterHub 6."""

    statsd = _NoTimer()


class CourseAuthenticator(NativeAuthenticator):
    """Accounts with passwords, kept by the hub: those of the class exist before anybody can sign up as them.

    Whoever else signs up waits until the instructor lets them in (``/hub/authorize``).
    """

    accounts_file = Unicode(config=True, help="Names and first passwords, one pair a line.")

    def __init__(self, *arguments: Any, **settings: Any):
        super().__init__(*arguments, **settings)
        for name, password in read_accounts(Path(self.accounts_file)).items():
            if UserInfo.find(self.db, name) is None:
                code = bcrypt.hashpw(password.encode(), bcrypt.gensalt())
                self.db.add(UserInfo(username=name, password=code, is_authorized=True))
        self.db.commit()

    def get_handlers(self, app: Any) -> list[tuple[str, type]]:
        return [(path, CourseLogin if path == "/login" else page) for path, page in super().get_handlers(app)]


class LoopbackDummyAuthenticator(DummyAuthenticator):
    """One password for all accounts, for tests: it serves nobody from outside, however the hub is started."""

    def __init__(self, *arguments: Any, **settings: Any):
        super().__init__(*arguments, **settings)
        if len(self.password) < 8:
            raise Refused("the dummy authenticator needs a password (COURSE_HUB_DUMMY_PASSWORD)")
        if self.parent is not None:
            check_address(self.parent.bind_url, dummy=True, shared_user=True, encrypted=False)


# --- as whom servers run -------------------------------------------------------------------------------


def unix_account(name: str, home: Path) -> pwd.struct_passwd:
    """Find or make the account of a student; an account that the hub has not made is none of its business.

    Parameters
    ----------
    name : str
        The name, which `NAME` allows.
    home : Path
        Its home, made closed to others.

    Returns
    -------
    pwd.struct_passwd
        The account.

    Raises
    ------
    ValueError
        If the name is taken by somebody else, such as ``www-data``.
    """
    try:
        account = pwd.getpwnam(name)
    except KeyError:
        make = ["useradd", "--home-dir", str(home), "--shell", "/bin/bash", "--groups", GROUP, name]
        subprocess.run(["groupadd", "--force", "--system", GROUP], check=True, capture_output=True)
        subprocess.run(make, check=True, capture_output=True)
        account = pwd.getpwnam(name)
    if name not in grp.getgrnam(GROUP).gr_mem or account.pw_uid < 1000:
        raise ValueError(f"{name} is an account of this machine that the hub has not made; take another name")
    if not home.exists():
        home.mkdir(mode=0o700)
        os.chown(home, account.pw_uid, account.pw_gid)
    return account


class LimitedSpawner(LocalProcessSpawner):
    """What one student's processes may use, kept by the kernel for each process."""

    data_limit_mb = Integer(4096, config=True, help="Memory of one process, in MiB: one kernel, mostly.")
    process_limit = Integer(512, config=True, help="Processes and threads of one student.")
    file_limit_mb = Integer(2048, config=True, help="Size of one file, in MiB.")
    homes = Unicode(config=True, help="Folder that holds one folder for each account.")

    def make_preexec_fn(self, name: str) -> Any:
        become = super().make_preexec_fn(name)
        limits = [
            (resource.RLIMIT_CORE, 0),
            (resource.RLIMIT_DATA, self.data_limit_mb << 20),
            (resource.RLIMIT_FSIZE, self.file_limit_mb << 20),
        ]
        if os.getuid() == 0:  # counted for each user: as an ordinary user it would count everything of theirs
            limits.append((resource.RLIMIT_NPROC, self.process_limit))

        def prepare() -> None:
            os.umask(
                0o022
            )  # homes are closed; feedback in the exchange is found by its name, and must be read
            os.nice(5)  # the hub answers while kernels compute
            for kind, value in limits:
                hard = resource.getrlimit(kind)[1]
                value = value if hard == resource.RLIM_INFINITY else min(value, hard)
                resource.setrlimit(kind, (value, value))
            become()

        return prepare


class CourseSpawner(LimitedSpawner):
    """Each server runs as a Unix account of its own: the kernel keeps students apart."""

    async def start(self) -> Any:
        unix_account(self.user.name, Path(self.homes) / self.user.name)
        return await super().start()


class OneUserSpawner(LimitedSpawner, SimpleLocalProcessSpawner):
    """All servers run as the user who started the hub: to try it out, without any wall between accounts."""

    async def start(self) -> Any:
        home = Path(self.homes) / self.user.name
        home.mkdir(mode=0o700, exist_ok=True)
        self.home_dir = str(home)
        return await super().start()
