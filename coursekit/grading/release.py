"""The students' version of the labs, made by nbgrader and proven to keep its secrets before anybody sees it.

All labs that are asked for are made aside, checked and scanned. Only when all of them are clean do
they take the place of what was released before, each in one step.

Taught in :ref:`instructor`.
"""

from __future__ import annotations

import ast
import os
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from coursekit.grading import leaks

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the time of every file in an archive: the same release, the same bytes
_PRIVATE = ("gradebook.db", ".db", ".sqlite", ".key", ".pem", ".log")


class ReleaseRefused(ValueError):
    """What would have been released gives something away, or is not what students need."""


def labs_of(course: Path) -> list[str]:
    """List the labs of a course.

    Parameters
    ----------
    course : Path
        Folder of the course.

    Returns
    -------
    list of str
        Folders below ``source`` with a notebook in them.
    """
    return sorted({file.parent.name for file in (Path(course) / "source").glob("*/*.ipynb")})


def release(
    labs: Sequence[str],
    *,
    course: str | Path = ".",
    output: str | Path | None = None,
    archive: bool = False,
    db_url: str | None = None,
) -> list[Path]:
    """Make the students' version of labs, or nothing at all.

    Parameters
    ----------
    labs : sequence of str
        Names of the labs; of none, all labs of the course.
    course : path
        Folder of the course, with ``source/LAB/LAB.ipynb``.
    output : path, optional
        Folder of the students' repository, such as a git working copy that ``nbgitpuller`` serves;
        what else is in it stays. ``COURSE/release``, where nbgrader looks, is written in any case.
    archive : bool
        Also write ``LAB.zip`` beside each lab's folder.
    db_url : str, optional
        Gradebook; by default what the course's configuration says.

    Returns
    -------
    list of Path
        The released folders and archives, in the students' repository.

    Raises
    ------
    ReleaseRefused
        If a lab leaks, has outputs, or has a solution cell that does not raise
        ``NotImplementedError``; everything released earlier is left as it was.
    ValueError
        If there is no such lab, or nbgrader cannot make it.

    References
    ----------
    nbgrader: https://nbgrader.readthedocs.io; nbgitpuller: https://nbgitpuller.readthedocs.io
    """
    root = Path(course).resolve()
    known = labs_of(root)
    if not known:
        raise ValueError(f"course: there is no lab in {root / 'source'}; expected source/LAB/LAB.ipynb")
    names = list(dict.fromkeys(labs)) or known
    if unknown := sorted(set(names) - set(known)):
        raise ValueError(f"labs: got {', '.join(unknown)}; the labs of {root} are {', '.join(known)}")
    import coursekit

    secrets = leaks.course_secrets(root / "source", public=[Path(coursekit.__file__).parent])
    folders = [root / "release"]
    if output is not None and Path(output).resolve() != folders[0]:
        folders.append(Path(output).resolve())
    with _aside(root) as made:
        for name in names:
            _make(root, name, made, None, trial=True)
            refuse(made / name, root / "source" / name, secrets)
        # Only now may the gradebook learn of it: it must know the version that students have.
        for name in names:
            shutil.rmtree(made / name)
            _make(root, name, made, db_url)
            refuse(made / name, root / "source" / name, secrets)
        for folder in folders:
            published = _publish(made, names, folder, archive, secrets)
    return published


@contextmanager
def _aside(root: Path) -> Iterator[Path]:
    """Make a folder beside the course's own ones, so that what is in it can be moved in one step."""
    folder = Path(tempfile.mkdtemp(prefix=".releasing-", dir=root))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _make(root: Path, name: str, folder: Path, db_url: str | None, *, trial: bool = False) -> None:
    """Let nbgrader make the students' version of a lab; a trial tells the gradebook nothing."""
    from nbgrader.apps.api import NbGraderAPI
    from nbgrader.converters import GenerateAssignment
    from nbgrader.coursedir import CourseDirectory

    from coursekit.grading.run import load_config

    config = load_config(root, db_url=db_url)
    config.CourseDirectory.release_directory = folder.name
    if trial:
        steps = config.GenerateAssignment.get("preprocessors") or GenerateAssignment.preprocessors.default()
        config.GenerateAssignment.preprocessors = [step for step in steps if "SaveCells" not in str(step)]
        config.GenerateAssignment.no_database = True
    api = NbGraderAPI(CourseDirectory(config=config), config=config)
    result = api.generate_assignment(name, force=True, create=True)
    if not result["success"]:
        lines = [
            line for line in (result.get("error") or result.get("log") or "").splitlines() if line.strip()
        ]
        raise ValueError(f"labs: nbgrader cannot make {name}: {lines[-1] if lines else 'no reason given'}")


def refuse(folder: Path, source: Path, secrets: leaks.Secrets) -> None:
    """Raise if a made lab must not be published.

    Parameters
    ----------
    folder : Path
        The students' version.
    source : Path
        The instructor's folder of the lab.
    secrets : Secrets
        Of the whole course.

    Raises
    ------
    ReleaseRefused
        With everything that is wrong.
    """
    wrong = [str(leak) for leak in leaks.scan([folder], secrets, strict=True)]
    wrong += [
        f"{path.name}: a file of the grader's" for path in folder.rglob("*") if path.name.endswith(_PRIVATE)
    ]
    names = {path.name for path in source.glob("*.ipynb")}
    made = {path.name: path for path in folder.glob("*.ipynb")}
    wrong += [f"{name}: nbgrader did not make it" for name in sorted(names - set(made))]
    for name, path in sorted(made.items()):
        wrong += [f"{name}, {problem}" for problem in _problems(path)]
    if wrong:
        listed = "\n  ".join(line.replace(f"{folder}{os.sep}", "") for line in wrong[:20])
        raise ReleaseRefused(
            f"{folder.name} is not released; the earlier release stays as it was:\n  {listed}"
        )


def _problems(path: Path) -> Iterator[str]:
    """Yield what is wrong with a released notebook apart from leaks."""
    import nbformat

    notebook = nbformat.read(path, as_version=4)
    try:
        nbformat.validate(notebook)
    except nbformat.ValidationError as error:
        yield f"the notebook is not valid: {str(error).splitlines()[0]}"
    for number, cell in enumerate(notebook.cells):
        if cell.cell_type != "code":
            continue
        marks = cell.metadata.get("nbgrader", {})
        name = marks.get("grade_id") or f"number {number}"
        if cell.outputs or cell.execution_count is not None:
            yield f"cell {name}: it has outputs"
        if marks.get("solution") and not _stops(cell.source):
            yield f"cell {name}: the stub does not raise NotImplementedError"


def _stops(source: str) -> bool:
    """Whether a stub raises NotImplementedError and does nothing else behind it."""
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return False
    return any(_is_stop(node) for node in ast.walk(tree))


def _is_stop(node: ast.AST) -> bool:
    if not isinstance(node, ast.Raise) or node.exc is None:
        return False
    raised = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
    return isinstance(raised, ast.Name) and raised.id == "NotImplementedError"


# --- publishing -------------------------------------------------------------------------------


def _publish(
    made: Path, names: Sequence[str], output: Path, archive: bool, secrets: leaks.Secrets
) -> list[Path]:
    """Put labs into the students' repository: all prepared first, then moved one by one."""
    output.mkdir(parents=True, exist_ok=True)
    published = []
    with _aside(output) as stage:
        for name in names:
            shutil.copytree(made / name, stage / name)
            if archive:
                write_archive(stage / name, stage / f"{name}.zip")
        kept = [path for path in sorted(output.iterdir()) if path.is_dir() and path.name not in names]
        readme = _readme([*(stage / name for name in names), *(p for p in kept if list(p.glob("*.ipynb")))])
        (stage / "README.md").write_text(readme, encoding="utf-8")
        if found := leaks.scan([stage], secrets, strict=True):
            raise ReleaseRefused(f"nothing is released:\n{leaks.report(found)}")
        for name in [*names, *(f"{name}.zip" for name in names if archive), "README.md"]:
            replace(stage / name, output / name, stage / "old")
            published.append(output / name)
    return published[:-1]


def replace(new: Path, final: Path, old: Path) -> None:
    """Move a file or a folder to where an older one may be.

    Parameters
    ----------
    new : Path
        What is moved.
    final : Path
        Where to, on the same disk.
    old : Path
        Where the older folder waits until the new one is in its place.
    """
    if not new.is_dir():
        os.replace(new, final)
        return
    if final.exists():
        final.rename(old)
    try:
        new.rename(final)
    except OSError:
        if old.exists():
            old.rename(final)
        raise
    shutil.rmtree(old, ignore_errors=True)


def write_archive(folder: Path, path: Path) -> None:
    """Pack a lab's folder; the same folder gives the same bytes.

    Parameters
    ----------
    folder : Path
        The released lab.
    path : Path
        The archive.
    """
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for file in sorted(file for file in folder.rglob("*") if file.is_file()):
            name = (Path(folder.name) / file.relative_to(folder)).as_posix()
            item = zipfile.ZipInfo(name, _EPOCH)
            item.compress_type, item.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            packed.writestr(item, file.read_bytes())


def _readme(folders: Sequence[Path]) -> str:
    rows = [_row(folder) for folder in sorted(folders, key=lambda folder: folder.name)]
    return "\n".join([*_README, *rows, ""])


_README = [
    "# Labs",
    "",
    "Each folder is one lab: open its notebook in JupyterLab and work from top to bottom. A task starts as",
    "a stub that raises `NotImplementedError`; the visible checks below it say how far you are. Hand the",
    "notebook in under the name that it has.",
    "",
    "| lab | title | points | files |",
    "| --- | --- | ---: | --- |",
]


def _row(folder: Path) -> str:
    import nbformat

    titles, points = [], 0.0
    for path in sorted(folder.glob("*.ipynb")):
        cells = nbformat.read(path, as_version=4).cells
        lines = [line for cell in cells if cell.cell_type == "markdown" for line in cell.source.splitlines()]
        titles += [line.lstrip("# ") for line in lines if line.startswith("# ")][:1]
        points += sum(float(cell.metadata.get("nbgrader", {}).get("points") or 0) for cell in cells)
    files = sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file())
    title = "; ".join(titles).replace("|", "\\|")
    return f"| [{folder.name}]({folder.name}) | {title} | {points:g} | {', '.join(f'`{f}`' for f in files)} |"


def main(arguments: Any) -> str:
    """Run ``coursekit release``.

    Parameters
    ----------
    arguments : argparse.Namespace
        ``labs``, ``all``, ``course``, ``db``, ``output``, ``zip``.

    Returns
    -------
    str
        What to print.
    """
    if bool(arguments.labs) == bool(arguments.all):
        raise ValueError("labs: name the labs to release, or give --all")
    made = release(
        arguments.labs,
        course=arguments.course,
        output=arguments.output,
        archive=arguments.zip,
        db_url=arguments.db,
    )
    return "\n".join(f"released, and free of leaks: {path}" for path in made)
