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
import os
import shutil
import socket
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from queue import Empty
from typing import Any

import zmq
from jupyter_client.manager import AsyncKernelManager
from jupyter_core.utils import ensure_async, run_sync
from nbformat import NotebookNode, from_dict
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output, new_raw_cell
from nbgrader import utils
from nbgrader.api import Gradebook
from nbgrader.preprocessors import Execute, NbGraderPreprocessor
from traitlets import Unicode

from coursekit.grading.bridge import LARGEST
from coursekit.grading.provisioner import KERNEL, SandboxSpecs
from coursekit.grading.sandbox import Limits
from coursekit.grading.session import Session, listening
from coursekit.grading.trusted import Conclusion

_ANSWER_S = 5.0  # seconds for a kernel to come to the door, or back to rest
_WAITING = 100  # messages of a kernel that wait for the grader
_FLOOD = 32  # how many times what is kept a notebook may send
_LINES, _LINE = 40, 4000  # of a traceback that is kept: its last lines, and of each the beginning
_CELLS = {"code": new_code_cell, "markdown": new_markdown_cell, "raw": new_raw_cell}


class SubmissionRefused(ValueError):
    """A submission that is not looked at: it points to files outside of itself."""


class StripStudentMetadata(NbGraderPreprocessor):
    """Rebuild a submission from its sources and nbgrader's ids; whatever else could steer is left behind.

    Tags, flags, points, outputs, attachments and all metadata are dropped, and so are cells that
    are not cells.
    """

    def preprocess(self, nb: NotebookNode, resources: Any) -> tuple[NotebookNode, Any]:
        """Rebuild the notebook.

        Raises
        ------
        SubmissionRefused
            If there is a symbolic link in the submission's folder.
        """
        folder = (resources or {}).get("metadata", {}).get("path")
        if folder:
            refuse_links(Path(folder))
        cells = nb.get("cells")
        kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
        clean = new_notebook(
            cells=[stripped(cell, i) for i, cell in enumerate(cells) if _is_cell(cell)]
            if isinstance(cells, list)
            else [],
            metadata={"kernelspec": kernel, "language_info": {"name": "python"}},
        )
        return clean, resources


def refuse_links(folder: Path) -> None:
    """Refuse a submission that points to files outside of itself.

    Parameters
    ----------
    folder : Path
        The submission's folder.

    Raises
    ------
    SubmissionRefused
        If it is a symbolic link, or holds one.
    """
    links = [folder] if folder.is_symlink() else []
    for parent, folders, files in os.walk(folder):
        links += [path for name in (*folders, *files) if (path := Path(parent, name)).is_symlink()]
    if links:
        raise SubmissionRefused(f"{links[0].name}: a symbolic link, which is not followed")


def _is_cell(cell: Any) -> bool:
    return isinstance(cell, dict) and cell.get("cell_type") in _CELLS and isinstance(cell.get("source"), str)


def stripped(cell: NotebookNode, index: int) -> NotebookNode:
    """Make a new cell of a submitted one: its kind, its source, and its grade id.

    Parameters
    ----------
    cell : NotebookNode
        The submitted cell.
    index : int
        Where it is.

    Returns
    -------
    NotebookNode
        The new cell.
    """
    metadata = cell.get("metadata")
    known = metadata.get("nbgrader") if isinstance(metadata, dict) else None
    name = known.get("grade_id") if isinstance(known, dict) else None
    kept = {"nbgrader": {"grade_id": name}} if isinstance(name, str) else {}
    return _CELLS[cell.cell_type](_text(cell.source), metadata=from_dict(kept), id=f"cell-{index}")


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
            cells[name] = make(source.source, metadata=from_dict({"nbgrader": flags}))
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
        cells, each after the cell that it followed. Of cells with one id the last is the lab's
        cell and the others are extra ones, as for nbgrader.
    """
    ids = [cell.metadata.get("nbgrader", {}).get("grade_id") for cell in cells]
    at = {name: index for index, name in enumerate(ids)}
    extra: dict[str, list[NotebookNode]] = {name: [] for name in ("", *known)}
    last = ""
    for index, (cell, name) in enumerate(zip(cells, ids, strict=True)):
        if name in known and at[name] == index:
            last = name
            continue
        cell.metadata.pop("nbgrader", None)
        # A copy of a test cell or of a set-up cell has nothing to do in the student's kernel.
        if name not in known or _is_answer(known[name]):
            extra[last].append(cell)
    rebuilt = list(extra[""])
    for name, cell in known.items():
        if name in at and _is_answer(cell):
            cell.source = cells[at[name]].source
        rebuilt += [cell, *extra[name]]
    return rebuilt


def _is_answer(cell: NotebookNode) -> bool:
    return cell.metadata.nbgrader.solution and not cell.metadata.nbgrader.locked


class SplitExecute(Execute):
    """Run student cells in the student's box and test cells in the test process's box.

    What a test cell earned is what the test process concluded. The outputs that are written
    into the notebook make nbgrader's own reading come to the same number.
    """

    km: Any
    kc: Any
    kernel_name = Unicode(KERNEL).tag(config=True)
    shutdown_kernel = "immediate"

    def preprocess(self, nb: NotebookNode, resources: Any = None, km: Any = None) -> tuple[NotebookNode, Any]:
        """Run the notebook, then write the conclusions."""
        self._session = self._open_session(resources)
        limits = self._session.limits
        self._end = time.monotonic() + limits.total_s
        self._room, self._flood = limits.output_kb << 10, _FLOOD * limits.output_kb << 10
        self._lost = ""
        self._conclusions: dict[int, Conclusion] = {}
        folder = self._session.folder(tests=True)
        self._tests = self._session.start_tests(folder)  # it starts while the kernel does
        try:
            nb, resources = super().preprocess(nb, resources, km)
        finally:
            self._tests.close()
            shutil.rmtree(folder, ignore_errors=True)
        nb.metadata["language_info"] = NotebookNode(name="python")
        for index, conclusion in self._conclusions.items():  # last, so that nothing else has the last word
            nb.cells[index].outputs = list(_outputs(conclusion))
            nb.cells[index].execution_count = index + 1
        self._record(resources)
        return nb, resources

    def _open_session(self, resources: Any) -> Session:
        """Take the session that the run opened, or make the lab's own (nbgrader's button and command)."""
        converter = getattr(self.parent, "parent", None)
        course = getattr(converter, "coursedir", None)
        names = (resources or {}).get("nbgrader", {})
        if course is None or "assignment" not in names:
            return Session.current()
        limits = Limits(cell_s=self.timeout) if self.timeout else None
        return Session.of_submission(Path(course.root), names["assignment"], names["student"], limits)

    # --- the kernel's life ---------------------------------------------------------------

    @contextlib.contextmanager
    def setup_kernel(self, **_: Any) -> Iterator[None]:
        """Start the sandboxed kernel and connect to it; afterwards end it, whatever state it is in."""
        self.km = AsyncKernelManager(kernel_name=KERNEL, kernel_spec_manager=SandboxSpecs())
        self.km.context.setsockopt(zmq.MAXMSGSIZE, LARGEST)
        self.km.context.setsockopt(zmq.RCVHWM, _WAITING)
        try:
            with Session.using(self._session):
                run_sync(self._start)()
                self.km.provisioner.seal()
            self._kernel = self.km.provisioner.process
            with self._session.watch(self._kernel, self._give_up):
                yield
        finally:
            with contextlib.suppress(Exception):
                run_sync(self._stop)()

    async def _start(self) -> None:
        await self.km.start_kernel(extra_arguments=[])
        self.kc = self.km.client()
        self.kc.start_channels(stdin=False, hb=False)
        self.kc.allow_stdin = False
        give_up = time.monotonic() + self.startup_timeout
        while time.monotonic() < give_up and await self.km.is_alive():
            request = await ensure_async(self.kc.kernel_info())
            if await self._reply(request, 2.0) and await self._first_message():
                return
        raise RuntimeError(f"the kernel did not start: {self.km.provisioner.process.last_words()}")

    async def _first_message(self) -> bool:
        """Whether messages arrive: outputs that are sent before they do would be lost."""
        try:
            await self.kc.get_iopub_msg(timeout=0.2)
        except Empty:
            return False
        return True

    async def _stop(self) -> None:
        process = self.km.provisioner.process if self.km.provisioner else None
        if process is not None:
            process.kill()
        if self.kc is not None:
            self.kc.stop_channels()
        self.kc = None
        self.km._close_control_socket()
        self.km.context.destroy(linger=0)
        if self.km.provisioner:
            await self.km.provisioner.cleanup()
        self.km = None

    # --- cells ---------------------------------------------------------------------------

    def wait_for_reply(self, msg_id: str, cell: Any = None) -> dict[str, Any]:
        """Say nothing about the kernel that it could say itself."""
        return {"content": {"language_info": {"name": "python"}}}

    def preprocess_cell(self, cell: NotebookNode, resources: Any, index: int) -> tuple[NotebookNode, Any]:
        """Run one cell where it belongs."""
        if cell.cell_type != "code" or not cell.source.strip():
            return cell, resources
        if not self._lost and time.monotonic() > self._end:
            self._lose(f"the notebook ran longer than {self._session.limits.total_s} s")
        if utils.is_grade(cell) and not utils.is_solution(cell):
            self._conclusions[index] = self._grade(cell)
            return cell, resources
        self._run_student_cell(cell, index)
        if utils.is_locked(cell):
            self._tests.run(cell.source)
        return cell, resources

    def _run_student_cell(self, cell: NotebookNode, index: int) -> None:
        outputs: list[NotebookNode] = []
        if not self._lost:
            try:
                reason = run_sync(self._execute)(cell.source, outputs)
            except Exception as error:  # whatever a hostile kernel answers is that student's loss alone
                reason = f"the kernel sent what cannot be read ({type(error).__name__})"
            if reason:
                self._lose(reason)
        cell.outputs, cell.execution_count = outputs, index + 1
        if self._lost:
            cell.outputs.append(_error("KernelLost", self._lost))

    async def _execute(self, source: str, outputs: list[NotebookNode]) -> str:
        """Run a cell in the student's kernel; return why the kernel is lost, or nothing."""
        seconds = self._session.limits.cell_s
        request = await ensure_async(self.kc.execute(source, stop_on_error=False))
        collecting = asyncio.ensure_future(self._collect(request, outputs))
        try:
            if await self._reply(request, seconds, collecting):
                await asyncio.wait([collecting], timeout=_ANSWER_S)
                return collecting.result() if collecting.done() else "its outputs do not end"
            if collecting.done() and collecting.result():
                return collecting.result()
            if self._kernel.poll() is not None:
                return self._end_of_kernel()
            outputs.append(_error("CellTimeoutError", f"the cell ran longer than {seconds} s"))
            await self.km.interrupt_kernel()
            if await self._reply(request, _ANSWER_S, collecting):
                return ""
            return f"a cell ran longer than {seconds} s and could not be interrupted"
        finally:
            collecting.cancel()

    async def _collect(self, request: str, outputs: list[NotebookNode]) -> str:
        """Take in what a cell sends until it is done; return why the kernel is lost, or nothing."""
        while True:
            message = await self.kc.get_iopub_msg(timeout=None)
            self._flood -= len(str(message["content"])) + 100
            if self._flood < 0:
                return "it sends output without end"
            if message["parent_header"].get("msg_id") != request:
                continue
            kind, content = message["header"]["msg_type"], message["content"]
            if kind == "status" and content["execution_state"] == "idle":
                return ""
            if kind == "clear_output":
                outputs.clear()
            elif self._room > 0 and (output := clean_output(kind, content)) is not None:
                self._keep(outputs, output)

    def _keep(self, outputs: list[NotebookNode], output: NotebookNode) -> None:
        """Add an output, up to a total size; what one stream says in many pieces becomes one."""
        room, self._room = self._room, self._room - len(str(output))
        last = outputs[-1] if outputs else None
        if output.output_type == "stream":
            output.text = output.text[:room]
            if last is not None and last.get("name") == output.name:
                last.text += output.text
            else:
                outputs.append(output)
        elif self._room > 0 or output.output_type == "error":
            outputs.append(output)
        if self._room <= 0:
            outputs.append(_error("OutputTooLong", "the rest of the output was dropped"))

    async def _reply(self, request: str, seconds: float, other: asyncio.Future[str] | None = None) -> bool:
        """Wait for a reply, while the kernel lives and says nothing in `other` that ends the wait."""
        waiting = asyncio.ensure_future(self._shell_reply(request))
        give_up = time.monotonic() + seconds
        try:
            while not waiting.done():
                left = give_up - time.monotonic()
                if left <= 0 or self._is_over(other):
                    return False
                await asyncio.wait([waiting], timeout=min(left, 0.1))
            waiting.result()
            return True
        finally:
            waiting.cancel()

    def _is_over(self, other: asyncio.Future[str] | None) -> bool:
        # A kernel that has ended may have left its last messages behind: one more look at them.
        ended = self.km.provisioner.process is None or self.km.provisioner.process.poll() is not None
        return ended or (other is not None and other.done() and bool(other.exception() or other.result()))

    async def _shell_reply(self, request: str) -> None:
        while True:
            message = await self.kc.get_shell_msg(timeout=None)
            if message["parent_header"].get("msg_id") == request:
                return

    def _end_of_kernel(self) -> str:
        if self._lost:  # the watch has said why
            return self._lost
        if self._kernel.out_of_memory():
            return f"it took more than {self._session.limits.memory_mb} MB of memory"
        return "it ended"

    def _give_up(self, reason: str) -> None:
        self._lost = self._lost or reason

    def _lose(self, reason: str) -> None:
        """End the student's kernel; what it did not earn yet, it does not earn."""
        self._give_up(reason)
        self._kernel.kill()

    # --- tests ---------------------------------------------------------------------------

    def _grade(self, cell: NotebookNode) -> Conclusion:
        name, points = cell.metadata.nbgrader.grade_id, float(cell.metadata.nbgrader.points)
        connection, served = None, ""
        if not self._lost:
            try:
                connection, served = run_sync(self._connect)()
            except Exception as error:
                self._lose(f"the kernel could not be asked ({type(error).__name__})")
            else:
                if connection is None:
                    self._lose("it did not answer the tests")
        if self._lost:
            return Conclusion(name, 0.0, points, reason=f"the kernel was lost: {self._lost}")
        conclusion = self._tests.grade(name, cell.source, points, connection)
        if not run_sync(self._comes_back)(served):
            self._lose("it did not come back from the tests")
        return conclusion

    async def _comes_back(self, request: str) -> bool:
        """Whether the kernel is done with the tests; a function that hangs is interrupted."""
        try:
            if await self._reply(request, 1.0):
                return True
            await self.km.interrupt_kernel()
            return await self._reply(request, _ANSWER_S)
        except Exception:
            return False

    async def _connect(self) -> tuple[socket.socket | None, str]:
        """Ask the student's kernel to come to the grader's socket."""
        path = self.km.provisioner.folder / f"t{len(self._conclusions)}"
        call = f"__import__('coursekit.grading.bridge', fromlist=['serve']).serve({str(path)!r}, globals())"
        loop = asyncio.get_running_loop()
        with listening(path) as listener:
            listener.setblocking(False)
            request = await ensure_async(self.kc.execute(call, silent=True, store_history=False))
            coming = asyncio.ensure_future(loop.sock_accept(listener))
            # The reply comes after the last test; one that comes first says that nobody will come.
            refused = asyncio.ensure_future(self._reply(request, _ANSWER_S))
            try:
                await asyncio.wait([coming, refused], return_when=asyncio.FIRST_COMPLETED)
                if not coming.done():
                    return None, request
                connection, _ = coming.result()
                connection.setblocking(True)
                return connection, request
            finally:
                coming.cancel()
                refused.cancel()

    def _record(self, resources: Any) -> None:
        """Write the conclusions next to the notebook, for the summary and the analysis."""
        folder = resources.get("metadata", {}).get("path")
        if folder:
            content = {
                "conclusions": [asdict(conclusion) for conclusion in self._conclusions.values()],
                "lost": self._lost,
            }
            file = Path(folder, "grades.json")
            if file.is_dir():  # from the submission
                shutil.rmtree(file)
            file.unlink(missing_ok=True)
            file.write_text(json.dumps(content, indent=1) + "\n")


def _error(name: str, text: str) -> NotebookNode:
    return new_output("error", ename=name, evalue=text, traceback=[f"{name}: {text}"])


def _text(value: Any) -> str:
    """Any text that a file can hold; half a surrogate pair cannot be written."""
    return str(value).encode("utf-8", "replace").decode() if isinstance(value, str) else ""


def clean_output(kind: str, content: Any) -> NotebookNode | None:
    """Make an output of what a kernel sent, with nothing in it but text.

    Parameters
    ----------
    kind : str
        Type of the message.
    content : dict
        Its content, of whatever form.

    Returns
    -------
    NotebookNode or None
        None for what is no output.
    """
    if not isinstance(content, dict):
        return None
    if kind == "stream":
        name = "stderr" if content.get("name") == "stderr" else "stdout"
        return new_output("stream", name=name, text=_text(content.get("text")))
    if kind == "error":
        lines = content.get("traceback")
        lines = [_text(line)[:_LINE] for line in lines[-_LINES:]] if isinstance(lines, list) else []
        name, text = (_text(content.get(key))[:_LINE] for key in ("ename", "evalue"))
        return new_output("error", ename=name, evalue=text, traceback=lines)
    if kind not in ("display_data", "execute_result"):
        return None
    data, about = content.get("data"), content.get("metadata")
    data = {_text(mime): _text(value) for mime, value in data.items()} if isinstance(data, dict) else {}
    image = about.get("image/png") if isinstance(about, dict) else None
    metadata = {}
    if isinstance(image, dict):
        metadata["image/png"] = {
            key: _text(image[key]) if isinstance(image[key], str) else image[key]
            for key in ("alt", "width", "height")
            if type(image.get(key)) in (str, int)
        }
    # What a cell shows last is shown like anything else: only test cells have results.
    return new_output("display_data", data=from_dict(data), metadata=from_dict(metadata))


def _outputs(conclusion: Conclusion) -> Iterator[NotebookNode]:
    """Say a conclusion in outputs that nbgrader reads as the same number."""
    if conclusion.output and not conclusion.hidden:
        yield new_output("stream", name="stdout", text=_text(conclusion.output))
    if conclusion.score == 0 and conclusion.max_score > 0:
        yield _error("TestFailed", _text(conclusion.reason) or "no points")
    else:
        text = repr(float(conclusion.score))
        yield new_output("execute_result", data={"text/plain": text}, execution_count=1)
