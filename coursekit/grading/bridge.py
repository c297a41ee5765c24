"""The wire between the student's kernel and the test process: plain data over a socket.

A message is its length in four bytes and then JSON. Sizes and times are capped, nothing is
ever unpickled, and the only thing that the student's side can do is answer.

Taught in :ref:`instructor`.
"""

from __future__ import annotations

import json
import socket
import struct
import time
from collections.abc import Mapping
from typing import Any

from coursekit.lab import Responder, StudentError, unpack

#: Largest message in bytes: two million float64 numbers, encoded.
LARGEST = 32 << 20
_LENGTH = struct.Struct(">I")


class BridgeDown(StudentError):
    """The student's kernel does not answer any more; the remaining tests fail at once."""


def send(connection: socket.socket, message: Any) -> None:
    """Send one message.

    Parameters
    ----------
    connection : socket
        Where to.
    message : object
        What JSON can carry.

    Raises
    ------
    ValueError
        If the message is too large.
    """
    body = json.dumps(message).encode()
    if len(body) > LARGEST:
        raise ValueError(f"message: {len(body)} bytes, at most {LARGEST} cross; use smaller arrays")
    connection.sendall(_LENGTH.pack(len(body)) + body)


def receive(connection: socket.socket, *, deadline: float | None = None) -> Any:
    """Receive one message.

    Parameters
    ----------
    connection : socket
        Where from.
    deadline : float, optional
        Value of ``time.monotonic()`` after which to give up, however slowly bytes still drip in.

    Returns
    -------
    object
        What the JSON says.

    Raises
    ------
    EOFError
        If the other side has gone.
    TimeoutError
        If the deadline has passed.
    ValueError
        If the message is too large or is not JSON.
    """
    (length,) = _LENGTH.unpack(_exactly(connection, _LENGTH.size, deadline))
    if length > LARGEST:
        raise ValueError(f"message: {length} bytes announced, at most {LARGEST} cross")
    try:
        return json.loads(_exactly(connection, length, deadline))
    except RecursionError:
        raise ValueError("message: nested too deeply") from None


def _exactly(connection: socket.socket, count: int, deadline: float | None) -> bytes:
    parts, missing = [], count
    while missing:
        if deadline is not None:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError("no answer in time")
            connection.settimeout(left)
        part = connection.recv(min(missing, 1 << 20))
        if not part:
            raise EOFError("the other side has gone")
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)


_responders: dict[int, Responder] = {}


def serve(path: str, namespace: Mapping[str, Any]) -> None:
    """Answer the tests from the student's kernel, on its main thread, until they say stop.

    Parameters
    ----------
    path : str
        The socket of the grader.
    namespace : dict
        Where the student's names are.
    """
    responder = _responders.setdefault(id(namespace), Responder(lambda: namespace))
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(path)
        while True:
            try:
                request = receive(connection)
            except (EOFError, OSError):
                return
            if request.get("do") == "stop":
                return
            reply = responder.answer(request)
            try:
                send(connection, reply)
            except (ValueError, TypeError) as error:
                send(connection, {"error": ["StudentError", str(error)[:2000]]})


class Asker:
    """The tests' side: sends a request, waits for the answer, and gives up for good after a failure.

    Parameters
    ----------
    connection : socket
        Connected to the student's kernel.
    seconds : float
        How long one answer may take.
    """

    def __init__(self, connection: socket.socket, seconds: float):
        self._connection, self._seconds = connection, seconds
        self.down: str | None = None

    def __call__(self, request: dict[str, Any]) -> Any:
        """Ask, and return the encoded result or raise the student's error."""
        if self.down:
            raise BridgeDown(self.down)
        send_by = time.monotonic() + self._seconds
        try:
            self._connection.settimeout(self._seconds)
            send(self._connection, request)
            reply = receive(self._connection, deadline=send_by)
        except TimeoutError:
            self.down = f"no answer within {self._seconds:g} s"
        except (EOFError, OSError):
            self.down = "the student's process ended"
        except ValueError as error:
            self.down = f"an answer that cannot be read: {str(error)[:200]}"
        except MemoryError:
            self.down = "an answer that takes too much memory"
        if self.down:
            raise BridgeDown(self.down)
        return unpack(reply)

    def stop(self) -> None:
        """Tell the other side that this test cell is over."""
        if not self.down:
            try:
                self._connection.settimeout(1.0)
                send(self._connection, {"do": "stop"})
            except OSError as error:
                self.down = str(error)
        self._connection.close()
