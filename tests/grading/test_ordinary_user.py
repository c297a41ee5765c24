"""The whole suite of attacks once more, where the grader is an ordinary user.

Where the tests themselves run as an ordinary user there is nothing to add.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

HERE = Path(__file__).parent
NOBODY = 54_321  # a user without a name, a home or a right

if os.getuid() == 0:

    @pytest.fixture
    def folder():
        """A folder of that user: those of pytest are closed to others."""
        with tempfile.TemporaryDirectory() as name:
            os.chown(name, NOBODY, NOBODY)
            yield name

    @pytest.mark.needs("bwrap")
    def test_an_ordinary_user_s_boxes_hold_as_well(folder):
        env = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(HERE.parents[1]),
            **dict.fromkeys(("HOME", "TMPDIR"), folder),
            **dict.fromkeys(("LOGNAME", "USER"), "grader"),
            **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "PYTHONDONTWRITEBYTECODE"), "1"),
        }
        suite = [HERE / "test_attacks.py", HERE / "test_sandbox.py"]
        options = ["-q", "-p", "no:cacheprovider", f"--basetemp={folder}/tests"]
        command = [sys.executable, "-m", "pytest", *options, *suite]
        wrapped = [sys.executable, HERE / "ordinary.py", str(NOBODY), *command]
        done = subprocess.run(
            wrapped, env=env, cwd=HERE.parents[1], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
        assert " skipped" not in done.stdout
