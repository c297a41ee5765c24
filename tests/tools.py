"""System tools that some tests need, and the line that installs each."""

import os
import shutil
from pathlib import Path

TOOLS = {
    "chromium": "sudo apt-get install chromium",
    "bwrap": "sudo apt-get install bubblewrap",
    "postgres": "sudo apt-get install postgresql",
    "npm": "sudo apt-get install npm",
}


def find(tool: str) -> str | None:
    """Where a tool is; Debian keeps PostgreSQL's server out of the search path."""
    servers = sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin")))
    return shutil.which(tool, path=os.pathsep.join([os.environ.get("PATH", ""), *servers]))
