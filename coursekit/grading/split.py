"""Split execution: student cells in one box, test cells in another, and only the second one scores.

Three steps of nbgrader's pipeline, put there by configuration (`coursekit.grading.config`):
`StripStudentMetadata` and `RestoreCells` bring a submission back to the lab's own structure,
and `SplitExecute` runs it.

Taught in :ref:`instructor`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import zmq
from jupyter_client.manager import AsyncKernelManager
from jupyter_core.utils import run_sync
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_output
from nbgrader import utils
from nbgrader.api import Gradebook
from nbgrader.preprocessors import Execute, NbGraderPreprocessor
from traitlets import Unicode

from coursekit.grading.bridge import LARGEST
from coursekit.grading.provisioner import KERNEL, SandboxSpecs
from coursekit.grading.session import Session, TestClient, listening
from coursekit.grading.trusted import Conclusion

_ANSWER_S = 10.0  # seconds for a kernel to come to the door, or back to rest
_KEEP = {"kernelspec", "language_info"}


class StripStudentMetadata(NbGraderPreprocessor):
    """Keep a submission's sources and nbgrader's ids; drop tags and whatever else steers execution."""

    def preprocess(self, nb: NotebookNode, resources: Any) -> tuple[NotebookNode, Any]:
        """Strip the notebook and its cells."""
        for name in set(nb.metadata) - _KEEP:
            del nb.metadata[name]
        for cell in nb.cells:
            known = cell.metadata.get("nbgrader")
            cell.metadata.clear()
            if isinstance(known, dict) and isinstance(known.get("grade_id"), str):
                cell.metadata["nbgrader"] = NotebookNode(known)
            cell.pop("attachments", None)
        return nb, resources


class RestoreCells(NbGraderPreprocessor):
    """Rebuild the lab's own cells from the gradebook: their order, flags, points and locked sources.

    Of the submission remain the sources of the solution cells and the student's extra cells,
    each after the cell that it followed.
    """

    def preprocess(self, nb: NotebookNode, resources: Any) -> tuple[NotebookNode, Any]:
        """Rebuild the notebook."""
        names = resources["nbgrader"]
        with Gradebook(names["db_url"]) as gradebook:
            known = self._cells(gradebook.find_notebook(names["notebook"], names["assignment"]))
        nb.cells = restored(nb.cells, known)
        return nb, resources

    @staticmethod
    def _cells(notebook: Any) -> dict[str, NotebookNode]:
        """Make the lab's cells as the gradebook knows them, in order."""
        grades = {cell.name: cell for cell in notebook.grade_cells}
        solutions = {cell.name for cell in notebook.solution_cells}
        tasks = {cell.name: cell for cell in notebook.task_cells}
        cells = {}
        for source in notebook.source_cells:
            name = source.name
            flags = {
                "grade": name in grades,
                "grade_id": name,
                "locked": bool(source.locked),
                "schema_version": 3,
                "solution": name in solutions,
                "task": name in tasks,
                "cell_type": source.cell_type,
                "checksum": source.checksum,
            }
            scored = grades.get(name) or tasks.get(name)
            if scored is not None:
                flags["points"] = scored.max_score
            make = new_code_cell if source.cell_type == "code" else new_markdown_cell
            cells[name] = make(source.source, metadata={"nbgrader": flags})
        return cells


def restored(cells: list[NotebookNode], known: dict[str, NotebookNode]) -> list[NotebookNode]:
    """Put a submission's cells back into the lab's structure.

    Parameters
    ----------
    cells : list
        The submission's cells.
    known : dict
        The lab's cells by grade id, in order.

    Returns
    -------
    list
        The lab's cells, the student's source in those that are for solutions, and the extra
        cells, each after the cell that it followed.
    """
    extra: dict[str, list[NotebookNode]] = {name: [] for name in ("", *known)}
    answers: dict[str, NotebookNode] = {}
    last = ""
    for cell in cells:
        name = cell.metadata.get("nbgrader", {}).get("grade_id")
        if name in known and name not in answers:
            answers[name] = cell
            last = name
        elif name not in known:
            cell.metadata.pop("nbgrader", None)
            extra[last].append(cell)
    rebuilt = list(extra[""])
    for name, cell in known.items():
        if name in answers and cell.metadata.nbgrader.solution and not cell.metadata.nbgrader.locked:
            cell.source = answers[name].source
        rebuilt += [cell, *extra[name]]
    return rebuilt


class SplitExecute(Execute):
    """Run student cells in the student's box and test cells in the test process's box.

    What a test cell earned is what the test process concluded. The outputs that are written
    into the notebook make nbgrader's own reading come to the same number.
    """

    km: Any
    kernel_name = Unicode(KERNEL).tag(config=True)
    skip_cells_with_tag = Unicode("").tag(config=True)
    shutdown_kernel = "immediate"
    store_widget_state = False

    def preprocess(self, nb: NotebookNode, resources: Any = None, km: Any = None) -> tuple[NotebookNode, Any]:
        """Run the notebook, then write the conclusions."""
        self._session = Session.current()
        self._end = time.monotonic() + self._session.limits.total_s
        self._bytes, self._lost, self._ready = 0, "", False
        self._conclusions: dict[int, Conclusion] = {}
        self._tests: TestClient | None = None
        tests_folder = self._session.folder()
        try:
            self._tests = self._session.start_tests(tests_folder)
            nb, resources = super().preprocess(nb, resources, km)
        finally:
            if self._tests is not None:
                self._tests.close()
        nb.metadata["language_info"] = NotebookNode(name="python")
        for index, conclusion in self._conclusions.items():  # last, so that nothing else has the last word
            nb.cells[index].outputs = list(_outputs(conclusion))
            nb.cells[index].execution_count = index + 1
        self._record(resources)
        return nb, resources

    def create_kernel_manager(self) -> Any:
        """Make a manager whose kernel is the sandboxed one, and whose messages are capped in size."""
        manager = AsyncKernelManager(kernel_name=KERNEL, kernel_spec_manager=SandboxSpecs())
        manager.context.setsockopt(zmq.MAXMSGSIZE, LARGEST)
        self.km = manager
        return manager

    def preprocess_cell(self, cell: NotebookNode, resources: Any, index: int) -> tuple[NotebookNode, Any]:
        """Run one cell where it belongs."""
        if cell.cell_type != "code" or not cell.source.strip():
            return cell, resources
        if not self._ready:
            self.km.provisioner.seal()
            self._ready = True
        if utils.is_grade(cell) and not utils.is_solution(cell):
            self._conclusions[index] = self._grade(cell)
            return cell, resources
        self._run_student_cell(cell, resources, index)
        if utils.is_locked(cell) and self._tests is not None:
            self._tests.run(cell.source)
        return cell, resources

    def output(self, outs: list[NotebookNode], msg: Any, display_id: str | None, cell_index: int) -> Any:
        """Keep outputs up to a total size; the rest is dropped here, before it takes memory."""
        self._bytes += len(str(msg["content"]))
        if self._bytes > self._session.limits.output_kb << 10:
            return None
        return super().output(outs, msg, display_id, cell_index)

    def _run_student_cell(self, cell: NotebookNode, resources: Any, index: int) -> None:
        if not self._lost and time.monotonic() > self._end:
            self._lose(f"the notebook ran longer than {self._session.limits.total_s} s")
        if self._lost:
            _add_error(cell, "KernelLost", self._lost)
            return
        try:
            super().preprocess_cell(cell, resources, index)
        except Exception as error:  # whatever a hostile kernel answers is that student's loss alone
            reason = str(error).strip().splitlines() or [""]
            self._lose(f"{type(error).__name__}: {reason[0][:200]}")
            _add_error(cell, "KernelLost", self._lost)
            return
        timed_out = any(output.get("ename") == "CellTimeoutError" for output in cell.outputs)
        if timed_out and not run_sync(self._rests)(self.kc.kernel_info()):
            self._lose(f"a cell ran longer than {self.timeout} s and could not be interrupted")

    def _lose(self, reason: str) -> None:
        """Give up the student's kernel; what it did not earn yet, it does not earn."""
        self._lost = reason
        with contextlib.suppress(Exception):
            run_sync(self.km.shutdown_kernel)(now=True)

    def _grade(self, cell: NotebookNode) -> Conclusion:
        assert self._tests is not None
        name, points = cell.metadata.nbgrader.grade_id, float(cell.metadata.nbgrader.points)
        connection, served = None, None
        if not self._lost:
            connection, served = run_sync(self._connect)()
            if connection is None:
                self._lose("the kernel did not answer the tests")
        if self._lost:
            return Conclusion(name, 0.0, points, reason=f"the kernel was lost: {self._lost}")
        conclusion = self._tests.grade(name, cell.source, points, connection)
        if served is not None and not run_sync(self._rests)(served):
            self._lose("the kernel did not come back from the tests")
        return conclusion

    async def _connect(self) -> tuple[socket.socket | None, str | None]:
        """Ask the student's kernel to come to the grader's socket."""
        path = self.km.provisioner.folder / f"t{len(self._conclusions)}"
        call = f"__import__('coursekit.grading.bridge', fromlist=['serve']).serve({str(path)!r}, globals())"
        loop, give_up = asyncio.get_running_loop(), time.monotonic() + _ANSWER_S
        with listening(path) as listener:
            listener.setblocking(False)
            coming = asyncio.ensure_future(loop.sock_accept(listener))
            served = self.kc.execute(call, silent=True, store_history=False)
            served = await served if asyncio.iscoroutine(served) else served
            while time.monotonic() < give_up and await self.km.is_alive():
                done, _ = await asyncio.wait([coming], timeout=0.2)
                if done:
                    connection, _ = coming.result()
                    connection.setblocking(True)
                    return connection, served
            coming.cancel()
        return None, None

    async def _rests(self, message: Any) -> bool:
        """Whether the kernel answers a request soon, and so has nothing else to do."""
        message = await message if asyncio.iscoroutine(message) else message
        give_up = time.monotonic() + _ANSWER_S
        while (left := give_up - time.monotonic()) > 0:
            try:
                reply = await self.kc.get_shell_msg(timeout=left)
            except Exception:
                return False
            if reply.get("parent_header", {}).get("msg_id") == message:
                return True
        return False

    def _record(self, resources: Any) -> None:
        """Write the conclusions next to the notebook, for the summary and the analysis."""
        folder = resources.get("metadata", {}).get("path")
        if folder:
            content = {
                "conclusions": [asdict(conclusion) for conclusion in self._conclusions.values()],
                "lost": self._lost,
            }
            Path(folder, "grades.json").write_text(json.dumps(content, indent=1) + "\n")


def _add_error(cell: NotebookNode, name: str, text: str) -> None:
    cell.outputs.append(new_output("error", ename=name, evalue=text, traceback=[f"{name}: {text}"]))


def _outputs(conclusion: Conclusion) -> Iterator[NotebookNode]:
    """Say a conclusion in outputs that nbgrader reads as the same number."""
    if conclusion.output and not conclusion.hidden:
        yield new_output("stream", name="stdout", text=conclusion.output)
    if conclusion.score == 0 and conclusion.max_score > 0:
        reason = conclusion.reason or "no points"
        yield new_output("error", ename="TestFailed", evalue=reason, traceback=[f"TestFailed: {reason}"])
    else:
        text = repr(float(conclusion.score))
        yield new_output("execute_result", data={"text/plain": text}, execution_count=1)
