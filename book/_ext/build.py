"""Build the book: ``python book/_ext/build.py`` from the project's folder.

The whole book is built with nit-picky references and with warnings as errors. For a quick
look while writing, ``--only density/kde`` executes the named pages only, shows the others
without their outputs, leaves out pages that do not exist yet, and keeps warnings warnings.

Environment: COURSEKIT_BOOK_JOBS (chapters executed at the same time; by default one per
core) and COURSEKIT_TIME_SLACK (how many times its budget of CPU seconds a page may take,
1.5 by default).
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]


def existing_pages(toc: dict, book: Path) -> dict:
    """The table of contents without the pages that are not there."""

    def there(entry: dict) -> bool:
        return "glob" in entry or any((book / f"{entry['file']}{end}").exists() for end in (".md", ".ipynb"))

    for part in toc["parts"]:
        for entry in part["chapters"]:
            if not there(entry):
                print(f"left out, not written yet: {entry['file']}")
        part["chapters"] = [entry for entry in part["chapters"] if there(entry)]
    if not there({"file": toc["root"]}):
        first = next(part["chapters"] for part in toc["parts"] if part["chapters"])
        toc["root"] = first.pop(0)["file"]
    toc["parts"] = [part for part in toc["parts"] if part["chapters"]]
    return toc


def main() -> int:
    """Build, and say where the book is."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=ROOT, help="the book goes to OUTPUT/_build/html")
    parser.add_argument(
        "--only", default="", help="execute these pages only, such as density/kde,density/knn"
    )
    parser.add_argument("--fresh", action="store_true", help="read and write every page again")
    parser.add_argument("--builder", default="html", choices=["html", "linkcheck"], help="what to make")
    options = parser.parse_args()
    started = time.monotonic()

    environment = dict(os.environ)
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        environment.setdefault(name, "1")
    toc, strict = ROOT / "_toc.yml", ["-W", "--keep-going"]
    if options.only:
        environment["COURSEKIT_BOOK_ONLY"] = options.only
        present = existing_pages(yaml.safe_load(toc.read_text(encoding="utf-8")), ROOT / "book")
        toc, strict = options.output.resolve() / "_build" / "_toc.yml", []
        toc.parent.mkdir(parents=True, exist_ok=True)
        toc.write_text(yaml.safe_dump(present, sort_keys=False), encoding="utf-8")
    # Errors are told by their message; the traceback through Sphinx helps nobody.
    start = "import sys; sys.tracebacklimit = 0; from jupyter_book.cli.main import main; main()"
    command = [sys.executable, "-c", start, "build", "book"]
    command += ["--config", "_config.yml", "--toc", str(toc), "--path-output", str(options.output.resolve())]
    # Sphinx reports the warnings of a page only when it reads the page. Until a build has succeeded, the
    # next one starts from the beginning (the cache of executed pages stays), or it would be blind to them.
    unfinished = options.output.resolve() / "_build" / "unfinished"
    fresh = options.fresh or unfinished.exists()
    unfinished.parent.mkdir(parents=True, exist_ok=True)
    unfinished.touch()
    command += ["--builder", options.builder, "-n", *strict, *(["--all"] if fresh else [])]
    code = subprocess.run(command, cwd=ROOT, env=environment).returncode
    page = options.output.resolve() / "_build" / "html" / "index.html"
    if code == 0:
        unfinished.unlink()
        print(f"\nThe book is built ({time.monotonic() - started:.0f} s). Open {page}")
    else:
        print("\nThe book was NOT built: see the errors above.", file=sys.stderr)
    return code


if __name__ == "__main__":
    raise SystemExit(main())
