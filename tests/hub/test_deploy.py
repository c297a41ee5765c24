"""What is deployed: addresses that are refused, accounts, Kubernetes values, and the image."""

import copy
import os
import re
import stat
import subprocess
import sys

import course_hub
import hub
import hub_box
import jsonschema
import pytest
import yaml
from hub_box import ROOT
from traitlets.config.loader import PyFileConfigLoader

DEPLOY = ROOT / "deploy"
LOCK = (ROOT / "requirements.txt").read_text()


# --- addresses -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8000", "http://localhost:1", "http://[::1]:8000", "127.0.0.2:80"]
)
def test_loopback_is_loopback(url):
    assert course_hub.is_loopback(url)
    course_hub.check_address(url, dummy=True, shared_user=True, encrypted=False)


@pytest.mark.parametrize(
    "url",
    [
        "http://0.0.0.0:8000",
        "http://:8000",
        "http://192.0.2.1",
        "http://[::]:8000",
        "http://127.0.0.1.example.org",
        "",
    ],
)
def test_other_addresses_are_refused_until_the_hub_is_fit_for_them(url):
    assert not course_hub.is_loopback(url)
    fit = {"dummy": False, "shared_user": False, "encrypted": True}
    course_hub.check_address(url, **fit)
    for unfit, why in [
        ({"dummy": True}, "dummy"),
        ({"shared_user": True}, "one user"),
        ({"encrypted": False}, "clear"),
    ]:
        with pytest.raises(course_hub.Refused, match=why):
            course_hub.check_address(url, **(fit | unfit))


def site(folder, local=""):
    """A hub's folder, with settings of the site."""
    folder.mkdir(exist_ok=True)
    (folder / "proxy_token").write_text("x" * 32)
    (folder / "accounts.txt").write_text("")
    (folder / "local_config.py").write_text("c = get_config()\n" + local)
    return folder


def read_settings(folder, monkeypatch, ip="127.0.0.1", local="", **settings):
    """Read the configuration as JupyterHub does."""
    for name, value in {"COURSE_HUB_DIR": str(site(folder, local)), "COURSE_HUB_IP": ip, **settings}.items():
        monkeypatch.setenv(name, value)
    return PyFileConfigLoader(str(DEPLOY / "jupyterhub_config.py")).load_config()


DUMMY = {"COURSE_HUB_AUTHENTICATOR": "dummy", "COURSE_HUB_DUMMY_PASSWORD": "a long password"}


@pytest.mark.parametrize(
    "case",
    [
        {"ip": "0.0.0.0", **DUMMY},
        {"ip": "0.0.0.0", "local": "c.JupyterHub.authenticator_class = 'dummy'"},
        {"local": "c.JupyterHub.bind_url = 'http://0.0.0.0:0'", **DUMMY},
    ],
    ids=["by its setting", "by its name", "by the site's address"],
)
def test_a_hub_with_the_dummy_authenticator_refuses_to_listen_outside(case, tmp_path, monkeypatch):
    with pytest.raises(course_hub.Refused, match="dummy authenticator"):
        read_settings(tmp_path / "hub", monkeypatch, **case)


def test_the_command_line_does_not_get_around_that(tmp_path):
    folder = site(tmp_path / "hub")
    env = {k: v for k, v in os.environ.items() if not k.startswith(("JUPYTER", "COURSE_HUB"))}
    env |= {"COURSE_HUB_DIR": str(folder), "PYTHONPATH": str(ROOT), **DUMMY}
    command = [sys.executable, "-m", "jupyterhub", "-f", str(DEPLOY / "jupyterhub_config.py")]
    command += [f"--JupyterHub.bind_url=http://0.0.0.0:{hub.free_port()}"]
    done = subprocess.run(
        command, env=env, cwd=folder, capture_output=True, text=True, timeout=hub_box.PATIENCE, check=False
    )
    assert done.returncode != 0
    assert "dummy authenticator" in done.stdout + done.stderr


def test_a_hub_without_encryption_refuses_to_listen_outside(tmp_path, monkeypatch):
    with pytest.raises(course_hub.Refused, match="in the clear" if os.getuid() == 0 else "as one user"):
        read_settings(tmp_path / "hub", monkeypatch, "0.0.0.0")


def test_the_hub_s_accounts_are_native_by_default(tmp_path, monkeypatch):
    config = read_settings(tmp_path / "hub", monkeypatch)
    assert config.JupyterHub.authenticator_class is course_hub.CourseAuthenticator
    spawner = course_hub.CourseSpawner if os.getuid() == 0 else course_hub.OneUserSpawner
    assert config.JupyterHub.spawner_class is spawner
    assert config.NativeAuthenticator.minimum_password_length >= 10


# --- accounts ------------------------------------------------------------------------------------------


def test_first_passwords_are_written_once_and_closed_to_others(tmp_path):
    file = tmp_path / "accounts.txt"
    assert course_hub.add_accounts(file, ["ada", "bob", "ada"]) == ["ada", "bob"]
    before = course_hub.read_accounts(file)
    assert course_hub.add_accounts(file, ["bob", "eve"]) == ["eve"]
    after = course_hub.read_accounts(file)
    assert {name: after[name] for name in before} == before
    assert len(set(after.values())) == 3
    assert min(map(len, after.values())) >= 10
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize("name", ["Ada", "", "-x", "a b", "a/b", "../x", "x" * 32, "root;", "1st"])
def test_strange_names_are_refused(name):
    assert not re.match(course_hub.NAME, name)


@pytest.mark.skipif(os.getuid() != 0, reason="only root makes accounts")
@pytest.mark.parametrize("name", ["root", "www-data", "nobody"])
def test_nobody_becomes_an_account_that_the_hub_has_not_made(name, tmp_path):
    subprocess.run(["groupadd", "--force", "--system", course_hub.GROUP], check=True)
    with pytest.raises(ValueError, match="has not made"):
        course_hub.unix_account(name, tmp_path / "home")


# --- Kubernetes ----------------------------------------------------------------------------------------

VALUES = yaml.safe_load((DEPLOY / "kubernetes" / "values.yaml").read_text())
SCHEMA = yaml.safe_load((DEPLOY / "kubernetes" / "values.schema.yaml").read_text())


def problems(values):
    return list(jsonschema.Draft202012Validator(SCHEMA).iter_errors(values))


def test_the_kubernetes_values_fit_the_schema():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert not problems(VALUES)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("hub", "config", "JupyterHub", "authenticator_class"), "dummy"),
        (("hub", "extraEnv", "OAUTH_CLIENT_SECRET"), "in the open"),
        (("singleuser", "memory", "limit"), "much"),
        (("singleuser", "memmory"), {"limit": "4G"}),
        (("singleuser", "networkPolicy", "egressAllowRules", "privateIPs"), True),
        (("singleuser", "storage", "extraVolumes", 1, "persistentVolumeClaim", "readOnly"), False),
        (("cull", "enabled"), False),
        (("singleuser", "profileList", 1, "kubespawner_override", "memlimit"), "1G"),
    ],
)
def test_the_schema_finds_a_slip(place, value):
    values = copy.deepcopy(VALUES)
    inside = values
    for step in place[:-1]:
        inside = inside[step]
    inside[place[-1]] = value
    assert problems(values)


def test_the_code_in_the_values_is_python():
    for text in VALUES["hub"]["extraConfig"].values():
        compile(text, "values.yaml", "exec")


def test_no_file_of_the_deployment_holds_a_secret():
    for path in DEPLOY.rglob("*"):
        if path.is_file() and path.suffix != ".pyc":
            found = re.findall(r"\b[0-9a-f]{32,}\b|BEGIN [A-Z ]*PRIVATE KEY|ghp_\w+", path.read_text())
            assert not found, (path, found)


# --- the image -----------------------------------------------------------------------------------------

DOCKERFILE = (DEPLOY / "Dockerfile").read_text()


def test_the_image_takes_its_versions_from_the_lock():
    assert "-c requirements.txt" in DOCKERFILE
    assert "'^torch==' requirements.txt" in DOCKERFILE
    assert re.findall(r"^ARG TORCH=(\w+)", DOCKERFILE, re.M) == ["cpu"]
    unpinned = [line for line in DOCKERFILE.splitlines() if "pip install" in line and "==" not in line]
    assert all("-c requirements.txt" in line or '"$pin"' in line for line in unpinned)


def test_the_image_holds_nothing_but_the_package():
    allowed = (DEPLOY / "Dockerfile.dockerignore").read_text().split()
    assert allowed[0] == "*"
    assert {line[1:] for line in allowed if line.startswith("!")} == {
        *("coursekit", "deploy/image", "requirements.txt", "pyproject.toml", "README.md", "LICENSE"),
    }
    copied = [
        word for line in re.findall(r"^COPY (?!--from)(.*) \S+$", DOCKERFILE, re.M) for word in line.split()
    ]
    assert copied
    assert all((ROOT / word).exists() for word in copied)


def test_the_hub_s_packages_are_locked():
    project = (ROOT / "pyproject.toml").read_text()
    (hub,) = re.findall(r"^hub = \[(.*?)\]", project, re.M | re.S)
    names = re.findall(r'"([\w-]+)', hub)
    assert {"jupyterhub", "nbgitpuller", "jupyterhub-nativeauthenticator"} <= set(names)
    for name in names:
        assert re.search(rf"^{re.escape(name)}==", LOCK, re.M | re.I), name


def test_the_proxy_is_the_version_that_ci_installs():
    assert f"{hub.PROXY}@" not in LOCK
    assert hub.PROXY_VERSION in (ROOT / ".ci" / "run").read_text()


def test_the_folder_s_name_is_the_same_everywhere():
    import launch

    from coursekit.grading.config import COURSE_ID

    assert launch.FOLDER == course_hub.COURSE == COURSE_ID
