"""How Jupyter is told to start a kernel in a box: a kernel provisioner, and nothing patched.

Taught in :ref:`instructor`.
"""

from __future__ import annotations

import asyncio
import shutil
import signal
from pathlib import Path
from typing import Any

from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.provisioning import LocalProvisioner

from coursekit.grading.session import Session

KERNEL = "coursekit-sandbox"


class SandboxProvisioner(LocalProvisioner):
    """Starts the kernel in the box of the current `Session`, with its sockets in a private folder.

    There is no network in the box, so the kernel listens on sockets of the file system.
    """

    parent: Any  # the kernel's manager
    process: Any
    _folder: Path | None = None

    async def pre_launch(self, **kwargs: Any) -> dict[str, Any]:
        """Choose the sockets and the connection file before the kernel's manager writes it."""
        self._folder = Session.current().folder()
        manager = self.parent
        manager.transport = "ipc"
        manager.ip = str(self._folder / "k")
        manager.cache_ports = False
        manager.connection_file = str(self._folder / "kernel.json")
        return await super().pre_launch(**kwargs)

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> Any:
        """Start the kernel in a box; `cmd` is what the box's Python runs in any case."""
        assert self._folder is not None
        self.process = Session.current().start_kernel(Path(self.parent.connection_file), self._folder)
        self.pid, self.pgid = self.process.pid, None
        return self.connection_info

    async def send_signal(self, signum: int) -> None:
        """Send a signal; ending the kernel ends everything in its box."""
        if self.process is None:
            return
        if signum in (signal.SIGTERM, signal.SIGKILL):
            self.process.kill()
        else:
            self.process.send_signal(signum)

    async def wait(self) -> int | None:
        """Wait until the kernel has ended."""
        while await self.poll() is None:
            await asyncio.sleep(0.005)
        status, self.process = 0 if self.process is None else self.process.wait(), None
        return status

    async def cleanup(self, restart: bool = False) -> None:
        """Remove the folder of the sockets."""
        await super().cleanup(restart)
        if self._folder is not None and not restart:
            shutil.rmtree(self._folder, ignore_errors=True)

    def seal(self) -> None:
        """Take from the box the right to make files beside its sockets, once they exist."""
        Session.current().seal(self.process)

    @property
    def folder(self) -> Path:
        """Folder of the kernel's sockets."""
        assert self._folder is not None
        return self._folder


class SandboxSpecs(KernelSpecManager):
    """Offers one kernel, the sandboxed one, without installing anything."""

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        """Return the sandboxed kernel, whatever name a notebook asks for."""
        return KernelSpec(
            argv=["python", "-m", "ipykernel_launcher", "-f", "{connection_file}"],
            name=KERNEL,
            display_name="Python 3 (sandbox)",
            language="python",
            interrupt_mode="message",
            metadata={"kernel_provisioner": {"provisioner_name": KERNEL}},
        )
