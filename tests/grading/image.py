"""Make an image for the tests of containers from this machine's own Python, where no registry is in reach.

``python tests/grading/image.py docker coursekit-test``: what is in it is what a box of bubblewrap shows.
"""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
from pathlib import Path

from coursekit.grading.sandbox import interpreter, interpreter_paths

SYSTEM = ("/bin", "/lib", "/lib64", "/usr/bin/sh", "/usr/bin/dash", "/usr/bin/env", "/usr/lib64")
LIBRARIES = ("/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/etc/ld.so.cache")
NEEDLESS = ("/playwright/", "/test/", "/__pycache__/", "/share/", "/dri/", "/llvm", "/gcc/")


def wanted(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    return None if any(part in f"/{member.name}/" for part in NEEDLESS) else member


def main(engine: str, image: str) -> None:
    load = subprocess.Popen([engine, "import", "-", image], stdin=subprocess.PIPE)
    assert load.stdin is not None
    with tarfile.open(fileobj=load.stdin, mode="w|") as tar:
        for path in (*map(Path, (*SYSTEM, *LIBRARIES)), *interpreter_paths()):
            if path.exists():
                tar.add(path, filter=wanted)
        script = f'#!/bin/sh\nexec {interpreter()} "$@"\n'.encode()
        entry = tarfile.TarInfo("usr/local/bin/python")
        entry.mode, entry.size = 0o755, len(script)
        tar.addfile(entry, io.BytesIO(script))
    load.stdin.close()
    if load.wait() != 0:
        sys.exit(f"{engine} could not import the image")


if __name__ == "__main__":
    main(*sys.argv[1:])
