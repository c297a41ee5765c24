"""zuko as an oracle, in a process of its own.

Importing it switches off the argument checks of all of torch.distributions.
"""

import importlib.util
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

_CALL = "import pickle, sys; f, a = pickle.load(sys.stdin.buffer); g = {}; exec(f, g); "
_CALL += "sys.stdout.buffer.write(pickle.dumps(g['main'](*a)))"


def _folders():
    """Where zuko is looked for: among the installed packages, or in the folder that ZUKO_PATH names."""
    return [folder for folder in [os.environ.get("ZUKO_PATH"), *sys.path] if folder]


def _found():
    return importlib.util.find_spec("zuko") or any(Path(folder, "zuko").is_dir() for folder in _folders())


needs_zuko = pytest.mark.skipif(not _found(), reason="zuko is not installed (the oracle of this test)")


def zuko(source, *arguments):
    """Run ``main(*arguments)`` of `source` where zuko can be imported; all is plain numpy."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(_folders())}
    command = [sys.executable, "-c", _CALL]
    done = subprocess.run(
        command, input=pickle.dumps((source, arguments)), capture_output=True, env=environment
    )
    if done.returncode:
        raise RuntimeError(done.stderr.decode()[-2000:])
    return pickle.loads(done.stdout)
