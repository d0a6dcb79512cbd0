"""A cable to a server that can be pulled: a TCP relay on a port of its own. Works under threads and green threads."""

import socket
import threading
from contextlib import suppress


class Cable:
    """Leads from `127.0.0.1:port` to a server until it is `cut`; `mend` makes it whole again on the same port."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._open: list[socket.socket] = []
        self._listening: socket.socket | None = None
        self.port = 0
        self.mend()

    def mend(self) -> None:
        listening = socket.create_server(("127.0.0.1", self.port), backlog=50)
        self.port = listening.getsockname()[1]
        self._listening = listening
        threading.Thread(target=self._accept, args=(listening,), daemon=True).start()

    def cut(self) -> None:
        """Nobody gets through any more, and who was through is thrown out."""
        listening, self._listening = self._listening, None
        if listening is not None:
            _close(listening)
        while self._open:
            _close(self._open.pop())

    def _accept(self, listening: socket.socket) -> None:
        while self._listening is listening:
            try:
                inner, _ = listening.accept()
            except OSError:
                return
            try:
                outer = socket.create_connection(self._target)
            except OSError:  # the server is away just now; the cable is whole all the same
                _close(inner)
                continue
            if self._listening is not listening:
                _close(inner)
                _close(outer)
                return
            self._open += [inner, outer]
            for source, target in ((inner, outer), (outer, inner)):
                threading.Thread(target=_forward, args=(source, target), daemon=True).start()


def _forward(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError, EOFError):
        while data := source.recv(65536):
            target.sendall(data)
    _close(source)
    _close(target)


def _close(one: socket.socket) -> None:
    with suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    with suppress(OSError):
        one.close()
