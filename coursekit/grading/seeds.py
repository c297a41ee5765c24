"""Seeds of the tests: another one for each student and lab, the same at every grading.

Taught in :ref:`instructor`.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from pathlib import Path

_FILE = ".course_key"


def course_key(root: Path) -> bytes:
    """Read the secret key of a course, and make it first if there is none.

    Parameters
    ----------
    root : Path
        Folder of the course, which students cannot read.

    Returns
    -------
    bytes
        The key: 32 random bytes, in a file that only its owner can read.

    Raises
    ------
    ValueError
        If the file does not hold a key.
    """
    path = Path(root) / _FILE
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except FileExistsError:
        pass
    else:
        with os.fdopen(descriptor, "w") as stream:
            stream.write(secrets.token_hex(32) + "\n")
    try:
        key = bytes.fromhex(path.read_text().strip())
    except ValueError:
        key = b""
    if len(key) != 32:
        raise ValueError(f"{path}: expected 64 hexadecimal digits; restore the course's key from a backup")
    return key


def submission_seed(key: bytes, student: str, lab: str) -> str:
    """Derive the seed of one submission's tests.

    Parameters
    ----------
    key : bytes
        The course's key.
    student, lab : str
        Whose submission, of which lab.

    Returns
    -------
    str
        HMAC-SHA256 in hexadecimal.
    """
    message = f"{len(student)}:{student}:{lab}".encode()  # the length keeps names from running together
    return hmac.new(key, message, hashlib.sha256).hexdigest()
