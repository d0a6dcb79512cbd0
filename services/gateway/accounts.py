"""Accounts kept in a file: programs, and in a demonstration invented persons who sign in by a button.

The `demo` command writes `<state>/demo.json`. Elsewhere `<state>/clients.json` says which program stands behind which
user of the broker; it holds no secrets, since the broker has checked the user. A changed file is read again.
"""

import hmac
import json
import threading
from dataclasses import dataclass, field
from pathlib import Path

from shared.domain import Json

DEMO = "demo.json"
ELSEWHERE = "clients.json"


@dataclass(frozen=True, kw_only=True)
class Client:
    """A program. `broker_user` is its name at the broker, if it speaks AMQP."""

    client_id: str
    secret: str = field(default="", repr=False)
    role: str
    agency: str
    partner: str | None = None
    broker_user: str | None = None

    @property
    def claims(self) -> Json:
        named: Json = {"sub": self.client_id, "client_id": self.client_id, "role": self.role, "agency": self.agency}
        return {**named, "partner": self.partner} if self.partner else named


@dataclass(frozen=True, kw_only=True)
class DemoPerson:
    """An invented person with a role in one agency."""

    sub: str
    name: str
    role: str
    agency: str
    person_id: str | None = None
    partner: str | None = None

    @property
    def claims(self) -> Json:
        named: Json = {"sub": self.sub, "role": self.role, "agency": self.agency}
        optional = {"person_id": self.person_id, "partner": self.partner}
        return named | {name: text for name, text in optional.items() if text}


class Accounts:
    """Reads the file of accounts; without one, nobody has an account."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._stamp: tuple[int, int] | None = None
        self._clients: dict[str, Client] = {}
        self._persons: dict[str, DemoPerson] = {}

    @property
    def persons(self) -> list[DemoPerson]:
        self._refresh()
        return list(self._persons.values())

    def person(self, sub: str) -> DemoPerson | None:
        self._refresh()
        return self._persons.get(sub)

    def client(self, client_id: str, secret: str) -> Client | None:
        """The client with this id and secret; the time taken tells nothing about either."""
        self._refresh()
        found = self._clients.get(client_id)
        expected = found.secret if found else "no such client"
        same = hmac.compare_digest(expected.encode(), secret.encode())
        return found if found is not None and found.secret and same else None

    def broker_user(self, name: str) -> Client | None:
        """The client that signs in at the broker as `name`."""
        self._refresh()
        return next((each for each in self._clients.values() if each.broker_user == name), None)

    def _refresh(self) -> None:
        try:
            status = self._path.stat()
        except FileNotFoundError:
            return
        stamp = (status.st_mtime_ns, status.st_size)
        with self._lock:
            if stamp == self._stamp:
                return
            content = json.loads(self._path.read_text(encoding="utf-8"))
            self._clients = {each["client_id"]: Client(**_known(each, Client)) for each in content.get("clients", ())}
            self._persons = {each["sub"]: DemoPerson(**_known(each, DemoPerson)) for each in content.get("persons", ())}
            self._stamp = stamp


def _known(entry: Json, cls: type) -> Json:
    return {name: text for name, text in entry.items() if name in cls.__dataclass_fields__}  # type: ignore[attr-defined]
