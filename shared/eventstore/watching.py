"""The one that looks for all: a process that waits for events watches the log on a connection of its own.

Of all processes of a service one looks which positions are settled (a session advisory lock says who; it ends with
the session) and tells the others. Appends say nothing inside their transactions: NOTIFY there would put all commits
in one row. The watch says it for them afterwards, a few hundred times a second at most. Whatever it fails to say is
found by looking every tenth of a second, and whatever it fails to settle by whoever needs it: it makes readers fast,
not right.
"""

import os
import selectors
import threading
from uuid import uuid4

from shared.database import Database
from shared.direct import Direct
from shared.errors import Unavailable
from shared.eventstore.settling import SettledByLocks
from shared.eventstore.wakeup import wakeup

CHANNEL = "handschlag_log"
REST_SECONDS = 0.005
POLL_SECONDS = 0.1
RETRY_SECONDS = 1.0
_LEAD = "select pg_try_advisory_lock(hashtext('handschlag.settling'))"
_RESIGN = "update settled set holder = '' where holder = %s"


class Watch:
    """The watch of one process over one PostgreSQL database; started by whoever waits first."""

    def __init__(self, database: Database) -> None:
        self._settling = database.once(SettledByLocks)
        self._session = database.session(_listen)
        self._bell = wakeup(database.key)
        self._name = uuid4().hex
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()
        self._told = threading.Event()
        self._ear = self._mouth = -1
        database.on_close(self.stop)

    def start(self) -> None:
        """Watch from now on, if it does not yet."""
        if self._thread is not None:
            return
        with self._starting:
            if self._thread is None:
                self._ear, self._mouth = os.pipe()
                self._stopping.clear()
                self._thread = threading.Thread(target=self._run, name="event store watch", daemon=True)
                self._thread.start()

    def stop(self) -> None:
        """Give up the watch, and the lead with it. Stopping twice changes nothing."""
        with self._starting:
            thread, self._thread = self._thread, None
            if thread is not None:
                self._stopping.set()
                os.write(self._mouth, b".")
                thread.join()
                os.close(self._ear)
                os.close(self._mouth)

    def appended(self) -> None:
        """This process appended something: others will be told. Costs the appender next to nothing."""
        if self._thread is not None and not self._told.is_set():
            with self._starting:
                if self._thread is not None:
                    self._told.set()
                    os.write(self._mouth, b".")

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._watch()
            except Unavailable:
                self._settling.name = ""
                self._stopping.wait(RETRY_SECONDS)
        try:
            if self._settling.name:
                self._session.write(_RESIGN, [self._name])
        except Unavailable:
            pass
        finally:
            self._settling.name = ""
            self._session.close()

    def _watch(self) -> None:
        while not self._stopping.is_set():
            moved, waiting = self._look()
            if moved:
                self._bell.ring()
            if moved or self._told.is_set():
                self._told.clear()
                self._session.write(f"notify {CHANNEL}")
            self._stopping.wait(REST_SECONDS)
            if self._heard(0 if waiting else POLL_SECONDS):
                self._bell.ring()

    def _look(self) -> tuple[bool, bool]:
        if not self._settling.name and self._session.rows(_LEAD)[0][0]:
            self._settling.name = self._name
        return self._settling.advance(self._session) if self._settling.name else (False, False)

    def _heard(self, seconds: float) -> bool:
        """Wait for a word of this process or of another; whether it was another's."""
        connection = self._session.connection
        with selectors.DefaultSelector() as ears:
            for ear in (self._ear, connection.fileno()):
                ears.register(ear, selectors.EVENT_READ)
            ready = {key.fd for key, _ in ears.select(seconds)}
        if self._ear in ready:
            os.read(self._ear, 4096)
        if connection.fileno() not in ready:
            return False
        mine = connection.info.backend_pid
        return any(notice.pid != mine for notice in connection.notifies(timeout=0))


def _listen(direct: Direct) -> None:
    """Its notes may be lost with the server, since anybody finds them out again: no commit waits for the disk."""
    direct.write("set synchronous_commit = off")
    direct.write(f"listen {CHANNEL}")
