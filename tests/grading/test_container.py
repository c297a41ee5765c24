"""The same boxes made by docker or podman: run with ``COURSEKIT_TEST_ENGINE=docker pytest -m container``.

They are deselected otherwise, since an engine needs a daemon or rights, and an image. Without
``COURSEKIT_TEST_IMAGE`` one is made from this machine's own Python (`image.py`): no registry is asked.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from arena import FULL, LIMITS, RIGHT, Arena, make_course
from test_attacks import ESCAPES, EXHAUSTION, KERNEL, READING, run

from coursekit.grading.session import Session

pytestmark = pytest.mark.container
ENGINE = os.environ.get("COURSEKIT_TEST_ENGINE", "docker")
#: Attacks that a container has to withstand as a box does; the others are about the warm process.
CHOSEN = (
    "everything is patched",
    "messages are forged",
    "the network",
    "processes that want to outlive their box",
    "os._exit",
    "a loop that cannot be interrupted",
    "a fork bomb",
    "memory of one process",
    "a flood of small outputs",
)


@pytest.fixture(scope="module")
def image():
    if given := os.environ.get("COURSEKIT_TEST_IMAGE"):
        return given
    name = "coursekit-test:latest"
    subprocess.run([sys.executable, Path(__file__).with_name("image.py"), ENGINE, name], check=True)
    return name


@pytest.fixture(scope="module")
def arena(image, tmp_path_factory):
    course = make_course(tmp_path_factory.mktemp("course"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COURSEKIT_SANDBOX", f"{ENGINE}:{image}")
        data = [course / "source" / "arena" / "numbers.csv"]
        with Session(data=data, limits=LIMITS, closed=["coursekit.density"]) as session:
            yield Arena(course, session)


def containers() -> str:
    listed = [ENGINE, "ps", "--quiet", "--filter", f"name=coursekit-{os.getpid()}-"]
    return subprocess.run(listed, check=True, capture_output=True, text=True).stdout


def test_an_honest_submission_has_full_marks_and_leaves_no_container(arena):
    assert arena.grade(arena.notebook(RIGHT)).scores == FULL
    assert containers() == ""


def test_what_a_container_shows(arena):
    code = """
import os, socket
print(os.listdir("/lab"), os.path.exists("@COURSE@"), [name for _, name in socket.if_nameindex()])
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(*[int(status[name], 16) for name in ("CapEff", "CapBnd", "NoNewPrivs", "Seccomp")])
for path in ("/x", "/usr/x", "/etc/x", "/opt/course/coursekit/x", "/lab/numbers.csv"):
    try:
        open(path, "a").write("x")
    except OSError:
        continue
    print("BREACH", path)
"""
    graded = arena.grade(arena.notebook(RIGHT, first=code.replace("@COURSE@", str(arena.root))))
    assert graded.scores == FULL
    assert "BREACH" not in graded.text
    assert "['numbers.csv'] False ['lo']" in graded.text
    assert "0 0 1 2" in graded.text


def test_a_closed_module_is_not_there(arena):
    code = "import coursekit.density"
    graded = arena.grade(arena.notebook(RIGHT, first=code))
    assert "closed in this lab" in graded.text or "ModuleNotFoundError" in graded.text
    graded = arena.grade(
        arena.notebook(
            RIGHT,
            first="import os, coursekit\nprint(os.listdir(os.path.dirname(coursekit.__file__) + '/density'))",
        )
    )
    assert "\n[]" in f"\n{graded.text}"


@pytest.mark.parametrize(
    "attack",
    [attack for attack in (*KERNEL, *READING, *ESCAPES, *EXHAUSTION) if attack.name in CHOSEN],
    ids=lambda attack: attack.name,
)
def test_attacks_on_a_container(arena, attack):
    run(arena, attack)
    assert containers() == ""
