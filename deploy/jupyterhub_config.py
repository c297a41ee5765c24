"""A JupyterHub for one machine: a laptop to try it out, or a department's server. Start it with ``hub.py``.

Everything that the hub keeps is in one folder, ``COURSE_HUB_DIR``. What a site needs beyond this file (OAuth,
LTI, another spawner, a certificate) stands in ``local_config.py`` there, and is read last but one: the last
word is a check that refuses what is unsafe.
"""

import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import course_hub  # noqa: E402

c = get_config()  # noqa: F821 (JupyterHub provides it)
state = Path(os.environ["COURSE_HUB_DIR"])
instructor = os.environ.get("COURSE_HUB_INSTRUCTOR", "instructor")
is_root = os.getuid() == 0
port = int(os.environ.get("COURSE_HUB_PORT", "8000"))
hub_port = int(os.environ.get("COURSE_HUB_INNER_PORT", "8081"))
proxy_port = int(os.environ.get("COURSE_HUB_PROXY_PORT", "8001"))

# --- addresses: the proxy is the only door; hub and servers listen on loopback -------------------------
c.JupyterHub.bind_url = f"http://{os.environ.get('COURSE_HUB_IP', '127.0.0.1')}:{port}"
c.JupyterHub.hub_bind_url = f"http://127.0.0.1:{hub_port}"
c.ConfigurableHTTPProxy.command = [os.environ.get("COURSE_HUB_PROXY", "configurable-http-proxy")]
c.ConfigurableHTTPProxy.api_url = f"http://127.0.0.1:{proxy_port}"
c.ConfigurableHTTPProxy.auth_token = (state / "proxy_token").read_text().strip()
c.ConfigurableHTTPProxy.pid_file = str(state / "proxy.pid")
c.ConfigurableHTTPProxy.check_running_interval = 5

# --- what survives a restart ---------------------------------------------------------------------------
c.JupyterHub.db_url = f"sqlite:///{state}/hub.sqlite"
c.JupyterHub.cookie_secret_file = str(state / "cookie_secret")
# Under a service manager kernels survive a restart of the hub; started by hand, everything ends with Ctrl-C.
c.JupyterHub.cleanup_servers = os.environ.get("COURSE_HUB_KEEP_SERVERS") != "1"

# --- who may log in ------------------------------------------------------------------------------------
if os.environ.get("COURSE_HUB_AUTHENTICATOR", "native") == "dummy":
    c.JupyterHub.authenticator_class = course_hub.LoopbackDummyAuthenticator
    c.DummyAuthenticator.password = os.environ.get("COURSE_HUB_DUMMY_PASSWORD", "")
    c.LoopbackDummyAuthenticator.password = os.environ.get("COURSE_HUB_DUMMY_PASSWORD", "")
else:
    c.JupyterHub.authenticator_class = course_hub.CourseAuthenticator
    c.CourseAuthenticator.accounts_file = str(state / "accounts.txt")
    c.NativeAuthenticator.minimum_password_length = 10
    c.NativeAuthenticator.check_common_password = True
    c.NativeAuthenticator.allowed_failed_logins = 5
    c.NativeAuthenticator.seconds_before_next_try = 60
c.Authenticator.allow_all = True  # whoever has an account here that was let in
c.Authenticator.admin_users = {instructor}
c.Authenticator.username_pattern = course_hub.NAME

# --- a student's server --------------------------------------------------------------------------------
c.JupyterHub.spawner_class = course_hub.CourseSpawner if is_root else course_hub.OneUserSpawner
c.LimitedSpawner.homes = str(state / "homes")
c.Spawner.cmd = [sys.executable, "-m", "jupyterhub.singleuser"]
c.Spawner.default_url = "/lab"
c.Spawner.mem_limit = "4G"  # what is shown; the spawner's data_limit_mb is what holds
# A class that logs in at once shares the processors, and nobody is turned away for it.
c.Spawner.start_timeout = 600
c.Spawner.http_timeout = 600


def settings_of(role: str) -> str:
    """Folder with the settings of Jupyter and nbgrader for a role."""
    return str(state / "etc" / role)


c.Spawner.environment = {
    "PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin",
    "JUPYTER_CONFIG_PATH": lambda spawner: settings_of(
        "instructor" if spawner.user.name == instructor else "student"
    ),
    # Short, because the path of a kernel's socket has at most 107 characters.
    "JUPYTER_RUNTIME_DIR": lambda spawner: str(state / "homes" / spawner.user.name / ".run"),
    "GIT_CONFIG_SYSTEM": str(state / "etc" / "gitconfig"),
    "COURSE_HUB_DIR": str(state),
    "COURSEKIT_LABS": str(state / "notebooks.git"),
    # One thread for each kernel: a class shares the processors.
    **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"),
}
c.Spawner.env_keep = [
    "LANG",
    "LC_ALL",
    "TZ",
    "COURSEKIT_SHARED_DATA",
    "COURSEKIT_VARIANT",
    "COURSEKIT_OFFLINE",
]
c.Spawner.env_keep += ["CUDA_VISIBLE_DEVICES", "CUDA_ROOT", "LD_LIBRARY_PATH", "SSL_CERT_FILE"]

# --- servers that nobody uses end after an hour; kernels that compute count as used --------------------
c.JupyterHub.services = [
    {
        "name": "idle-culler",
        "command": [sys.executable, "-m", "jupyterhub_idle_culler", "--timeout=3600", "--cull-every=300"],
        "environment": {"COURSE_HUB_DIR": str(state)},
    }
]
c.JupyterHub.load_roles = [
    {
        "name": "idle-culler",
        "services": ["idle-culler"],
        "scopes": ["list:users", "read:users:activity", "read:servers", "delete:servers"],
    }
]

# --- the site's own settings, and the last word --------------------------------------------------------
local = state / "local_config.py"
if local.exists():
    load_subconfig(str(local))  # noqa: F821 (JupyterHub provides it)


def last_word() -> None:
    """Refuse what is unsafe, whoever set it."""
    from jupyterhub.auth import DummyAuthenticator

    chosen, spawner = c.JupyterHub.authenticator_class, c.JupyterHub.spawner_class
    is_class = isinstance(chosen, type)
    course_hub.check_address(
        str(c.JupyterHub.bind_url),
        dummy=issubclass(chosen, DummyAuthenticator) if is_class else "dummy" in str(chosen).lower(),
        shared_user=spawner is course_hub.OneUserSpawner or "simple" in str(spawner).lower(),
        encrypted=bool(c.JupyterHub.get("ssl_key")) or os.environ.get("COURSE_HUB_TLS_ELSEWHERE") == "1",
    )


last_word()
