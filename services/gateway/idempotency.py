"""The same request sent twice happens once (Idempotency-Key, draft-ietf-httpapi-idempotency-key-header).

What is kept: keyed hashes of the key and of the request, how far it got, and where the result stands; never a body
or an answer. Rows stay, because the command id is derived from the key for good. A unique key is the lock: it holds
between processes. An attempt that did not end within 5 seconds is taken over; the services recognise its command id.
"""

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Integer,
    MetaData,
    String,
    Table,
    delete,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.exc import IntegrityError

from services.gateway.problems import Fault
from services.gateway.secret import Secret
from shared.clock import Clock, timestamp
from shared.database import Database

TAKEN_OVER = timedelta(seconds=5)
_SETTING_UP = 0x68736567

metadata = MetaData()

requests = Table(
    "requests",
    metadata,
    Column("caller", String, primary_key=True),
    Column("key", String, primary_key=True),
    Column("digest", String, nullable=False),
    Column("state", String, nullable=False),
    Column("attempt", String, nullable=False),
    Column("status", Integer),
    Column("location", String),
    Column("started", String, nullable=False),
    Column("created", String, nullable=False),
)


@dataclass(frozen=True)
class Attempt:
    """The right to carry out a request; exactly one holds it at a time."""

    caller: str
    key: str
    id: str


@dataclass(frozen=True)
class Finished:
    """The request was carried out before. `location` is where its result stands."""

    status: int
    location: str


def create(database: Database) -> None:
    """The table, if it is not there yet; `handschlag migrate` makes it where the gateway may not."""
    with database.write() as tx:
        if database.dialect == "postgresql":
            tx.execute(text("select pg_advisory_xact_lock(:number)"), {"number": _SETTING_UP})
        metadata.create_all(tx)


class Guard:
    """Remembers requests in the gateway's own database."""

    def __init__(self, database: Database, secret: Secret, clock: Clock) -> None:
        self._database = database
        self._secret = secret
        self._clock = clock
        create(database)

    def begin(self, caller: str, key: str, request: bytes) -> Attempt | Finished:
        """Start a request, or learn that it is finished.

        Raises 409 while another attempt runs, 422 when the key was used for another request.
        """
        attempt = Attempt(caller, self._secret.fingerprint("key", key.encode()), uuid.uuid4().hex)
        digest = self._secret.fingerprint("request", request)
        try:
            return self._begin(attempt, digest)
        except IntegrityError:
            return self._begin(attempt, digest)

    def finish(self, attempt: Attempt, status: int, location: str) -> None:
        """It was carried out. An attempt that was taken over meanwhile changes nothing."""
        self._set(attempt, state="done", status=status, location=location)

    def leave_open(self, attempt: Attempt) -> None:
        """Nobody knows how far it got: the same request may be sent again at once, another one may not."""
        self._set(attempt, state="open")

    def forget(self, attempt: Attempt) -> None:
        """It was refused and nothing happened: the key is free."""
        with self._database.write() as tx:
            tx.execute(delete(requests).where(*_mine(attempt)))

    def _begin(self, attempt: Attempt, digest: str) -> Attempt | Finished:
        now = self._clock.now()
        with self._database.write() as tx:
            known = tx.execute(select(requests).where(*_same(attempt))).one_or_none()
            if known is None:
                _insert(tx, attempt, digest, now)
                return attempt
            if known.digest != digest:
                raise Fault(422, "idempotency.key_reused", "this key was used for another request", "use a new key")
            if known.state == "done":
                return Finished(known.status, known.location)
            if known.state == "running" and known.started > timestamp(now - TAKEN_OVER):
                raise Fault(409, "idempotency.running", "the same request is being carried out", "ask again shortly")
            taken = tx.execute(
                update(requests)
                .where(*_same(attempt), requests.c.attempt == known.attempt)
                .values(state="running", attempt=attempt.id, started=timestamp(now))
            )
            if taken.rowcount != 1:
                raise Fault(409, "idempotency.running", "the same request is being carried out", "ask again shortly")
            return attempt

    def _set(self, attempt: Attempt, **values: object) -> None:
        with self._database.write() as tx:
            tx.execute(update(requests).where(*_mine(attempt)).values(**values))


def _insert(tx: Connection, attempt: Attempt, digest: str, now: datetime) -> None:
    moment = timestamp(now)
    tx.execute(
        insert(requests).values(
            caller=attempt.caller,
            key=attempt.key,
            digest=digest,
            state="running",
            attempt=attempt.id,
            started=moment,
            created=moment,
        )
    )


def _same(attempt: Attempt) -> tuple[ColumnElement[bool], ...]:
    return requests.c.caller == attempt.caller, requests.c.key == attempt.key


def _mine(attempt: Attempt) -> tuple[ColumnElement[bool], ...]:
    return *_same(attempt), requests.c.attempt == attempt.id
