"""Keys of persons: what they seal can be forgotten (Art. 17 DSGVO, § 84 SGB X) without touching a record.

Each person has one AES-256 key per agency and service. It is stored only wrapped by a custody, and destroying it
makes every field sealed with it unreadable for ever: in the log, in copies, in backups of the log. Sealing is
AES-256-GCM with a fresh 96-bit nonce and is bound to its place, so a sealed field moved elsewhere does not open.

Who can read the table of keys without the custody learns which person ids have keys, and nothing more. Who can
write it can make fields unreadable, not readable. A backup of the table brings destroyed keys back unless the
wrapping key of that time was destroyed too: `rewrap` after `rotate`, then `destroy` when the backups have expired. For
a backup that is restored before that, the erased persons stand in a list beside the database: `erase_again`.
"""

import fcntl
import json
import os
import secrets
import threading
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import Connection, text

from shared.canonical import canonical
from shared.clock import Clock, timestamp
from shared.database import Database
from shared.domain import ERASED, Erased
from shared.errors import Invalid, Refused, Unavailable

CACHED_SECONDS = 5.0
CACHED_KEYS = 10_000
_NONCE = 12


@dataclass(frozen=True)
class Wrapped:
    """A data key as it may be stored: sealed by the wrapping key `kek_id`."""

    kek_id: str
    text: str


@dataclass(frozen=True)
class CustodyInfo:
    """What a custody tells about itself: its kind, the wrapping key of the present period, all it still holds."""

    kind: str
    current: str
    held: tuple[str, ...]


class Custody(Protocol):
    """Holds the wrapping keys and never gives them away. `bound_to` must be the same at `wrap` and `unwrap`."""

    def wrap(self, key: bytes, bound_to: bytes) -> Wrapped:
        """Seal a data key with the present wrapping key."""
        ...

    def unwrap(self, wrapped: Wrapped, bound_to: bytes) -> bytes:
        """The data key; raises `Invalid` when it is not authentic, `Unavailable` when its wrapping key is gone."""
        ...

    def rotate(self) -> str:
        """Begin a new period: make a new wrapping key, answer its id. The old ones still unwrap."""
        ...

    def destroy(self, kek_id: str) -> None:
        """End an old wrapping key for good. Refused for the present one; doing it twice changes nothing."""
        ...

    def info(self) -> CustodyInfo:
        """What there is, without any key."""
        ...


class FileCustody:
    """Wrapping keys in a file of mode 0600, made on first use. For development and demonstration only."""

    def __init__(self, path: Path | str, *, production: bool = False) -> None:
        if production:
            raise Refused(
                "custody.file_in_production",
                "a file does not protect wrapping keys",
                "configure a key management service or a security module",
            )
        self._path = Path(path)
        self._lock = threading.Lock()
        self._read_at: tuple[int, int] | None = None
        self._ring: dict[str, Any] = {}

    def wrap(self, key: bytes, bound_to: bytes) -> Wrapped:
        ring = self._load()
        kek_id = str(ring["current"])
        return Wrapped(kek_id, _seal(AESGCM(_bytes(ring["keys"][kek_id])), key, bound_to))

    def unwrap(self, wrapped: Wrapped, bound_to: bytes) -> bytes:
        kek = self._load()["keys"].get(wrapped.kek_id)
        if kek is None:
            raise Unavailable("custody.key_missing", "the wrapping key is not in this custody")
        return _open(AESGCM(_bytes(kek)), wrapped.text, bound_to)

    def rotate(self) -> str:
        with self._changing() as ring:
            kek_id = f"kek-{len(ring['keys']) + 1}-{secrets.token_hex(4)}"
            ring["keys"][kek_id] = _text(secrets.token_bytes(32))
            ring["current"] = kek_id
        return kek_id

    def destroy(self, kek_id: str) -> None:
        with self._changing() as ring:
            if kek_id == ring["current"]:
                raise Refused("custody.key_in_use", "the present wrapping key stays", "rotate and rewrap first")
            ring["keys"].pop(kek_id, None)

    def info(self) -> CustodyInfo:
        ring = self._load()
        return CustodyInfo("file", str(ring["current"]), tuple(ring["keys"]))

    def _load(self) -> dict[str, Any]:
        with self._lock:
            if not self._path.exists():
                self._make()
            found = self._path.stat()
            if found.st_mode & 0o077:
                raise Refused("custody.file_is_open", "others may read the wrapping keys", "set its mode to 0600")
            if self._read_at != (found.st_mtime_ns, found.st_ino):
                self._ring = json.loads(self._path.read_bytes())
                self._read_at = (found.st_mtime_ns, found.st_ino)
            return self._ring

    def _make(self) -> None:
        """Of several processes that make the file at once, one succeeds and all use its keys."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        kek_id = f"kek-1-{secrets.token_hex(4)}"
        ring = {"current": kek_id, "keys": {kek_id: _text(secrets.token_bytes(32))}}
        draft = self._draft(ring)
        try:
            os.link(draft, self._path)
        except FileExistsError:
            return
        finally:
            draft.unlink()

    def _draft(self, ring: dict[str, Any]) -> Path:
        draft = self._path.with_name(f".{self._path.name}.{secrets.token_hex(8)}")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(canonical(ring))
            file.flush()
            os.fsync(file.fileno())
        return draft

    @contextmanager
    def _changing(self) -> Iterator[dict[str, Any]]:
        self._load()
        with self._path.with_name(f".{self._path.name}.lock").open("wb") as guard:
            fcntl.flock(guard, fcntl.LOCK_EX)
            ring = json.loads(self._path.read_bytes())
            yield ring
            self._draft(ring).replace(self._path)


class PersonKeys:
    """The keys of the persons of one service, by agency. Every process keeps a key in memory for seconds only."""

    def __init__(self, database: Database, custody: Custody, clock: Clock, erased: Path | None = None) -> None:
        """`erased` is the list of erased persons outside the database: ids only, and not part of its backup."""
        self.database = database
        self._custody = custody
        self._clock = clock
        self._erased = erased
        self._cache: dict[tuple[str, str], tuple[float, AESGCM]] = {}
        self._gone: set[tuple[str, str]] = set()

    def seal(self, agency: str, person_id: str, plaintext: bytes, aad: bytes, tx: Connection | None = None) -> str:
        """`plaintext` sealed for that person, bound to `aad`. Makes the key if there never was one.

        Raises `Refused("person.erased")` when the key was destroyed: nobody is recorded anew under an erased id.
        """
        if not person_id:
            raise Invalid("person.missing", "a personal field needs the id of the person it is about")
        cipher = self._cipher(agency, person_id, tx) or self._made(agency, person_id, tx)
        if isinstance(cipher, Erased):
            raise Refused("person.erased", "the data of this person were erased", "record the person under a new id")
        return _seal(cipher, plaintext, aad)

    def open(
        self, agency: str, person_id: str, sealed: str, aad: bytes, tx: Connection | None = None
    ) -> bytes | Erased:
        """What was sealed, or `ERASED` after the key was destroyed.

        Raises `Invalid("sealed.not_authentic")` when it was changed or moved, `Unavailable` when the key is missing
        without ever having been destroyed (the table of keys was lost or is older than the log).
        """
        cipher = self._cipher(agency, person_id, tx)
        if cipher is None:
            raise Unavailable("person.key_missing", "the key of a sealed field is not in the table of keys")
        return ERASED if isinstance(cipher, Erased) else _open(cipher, sealed, aad)

    def is_living(self, agency: str, person_id: str) -> bool:
        """Whether there is a key for that person: something was sealed, and it was not erased."""
        return isinstance(self._cipher(agency, person_id, None), AESGCM)

    def destroy(self, agency: str, person_id: str, tx: Connection | None = None) -> None:
        """Erase the person: their key is gone at once and is never made anew. Doing it twice changes nothing."""
        if tx is None:
            with self.database.write() as own:
                self._destroy(agency, person_id, own)
            self.database.forget_deleted()
            self.note_erased()
        else:
            self._destroy(agency, person_id, tx)
        self._cache.pop((agency, person_id), None)

    def note_erased(self) -> int:
        """Bring the list of erased persons up to date with the table; how many are new. Call it after an erasure was
        committed; what a killed process could not note is noted the next time.
        """
        if self._erased is None:
            return 0
        with self.database.read() as connection:
            rows = connection.execute(text("select agency, person_id from person_keys where wrapped is null")).all()
        fresh = sorted({(row.agency, row.person_id) for row in rows} - self._listed())
        if fresh:
            self._erased.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with self._erased.open("a", encoding="utf-8") as out:
                out.writelines(json.dumps(pair) + "\n" for pair in fresh)
                out.flush()
                os.fsync(out.fileno())
        return len(fresh)

    def erase_again(self) -> int:
        """After a backup was restored: destroy the keys of erased persons that it brought back; how many."""
        with self.database.read() as connection:
            rows = connection.execute(text("select agency, person_id from person_keys where wrapped is not null")).all()
        back = sorted({(row.agency, row.person_id) for row in rows} & self._listed())
        for agency, person_id in back:
            self.destroy(agency, person_id)
        return len(back)

    def _listed(self) -> set[tuple[str, str]]:
        if self._erased is None or not self._erased.exists():
            return set()
        lines = (json.loads(line) for line in self._erased.read_text("utf-8").splitlines() if line.strip())
        return {(agency, person_id) for agency, person_id in lines}

    def fetch(self, wanted: Iterable[tuple[str, str]], tx: Connection | None = None) -> None:
        """Bring the keys of many (agency, person) into memory by one question per agency."""
        now = time.monotonic()
        missing: dict[str, list[str]] = {}
        for pair in wanted:
            if pair not in self._gone and self._cached(pair, now) is None:
                missing.setdefault(pair[0], []).append(pair[1])
        for agency, persons in missing.items():
            for start in range(0, len(persons), 500):
                self._read(agency, persons[start : start + 500], tx)

    def rewrap(self) -> int:
        """Wrap all living keys with the present wrapping key, so that older ones may be destroyed. Says how many."""
        current, done = self._custody.info().current, 0
        while batch := self._wrapped_otherwise(current):
            with self.database.write() as tx:
                for agency, person_id, old in batch:
                    bound_to = canonical([agency, person_id])
                    new = self._custody.wrap(self._custody.unwrap(old, bound_to), bound_to)
                    done += self._replace(tx, agency, person_id, old, new)
        return done

    def _replace(self, tx: Connection, agency: str, person_id: str, old: Wrapped, new: Wrapped) -> int:
        statement = text(
            "update person_keys set wrapped = :wrapped, kek_id = :kek"
            " where agency = :agency and person_id = :person and wrapped = :old"
        )
        values = {"wrapped": new.text, "kek": new.kek_id, "agency": agency, "person": person_id, "old": old.text}
        return tx.execute(statement, values).rowcount

    def _wrapped_otherwise(self, current: str) -> list[tuple[str, str, Wrapped]]:
        statement = text(
            "select agency, person_id, kek_id, wrapped from person_keys"
            " where wrapped is not null and kek_id <> :current limit 500"
        )
        with self.database.read() as connection:
            rows = connection.execute(statement, {"current": current}).all()
        return [(row.agency, row.person_id, Wrapped(row.kek_id, row.wrapped)) for row in rows]

    def _cipher(self, agency: str, person_id: str, tx: Connection | None) -> AESGCM | Erased | None:
        pair = (agency, person_id)
        if pair in self._gone:
            return ERASED
        return self._cached(pair, time.monotonic()) or self._read(agency, [person_id], tx).get(person_id)

    def _cached(self, pair: tuple[str, str], now: float) -> AESGCM | None:
        kept = self._cache.get(pair)
        return kept[1] if kept is not None and kept[0] > now else None

    def _read(self, agency: str, persons: list[str], tx: Connection | None) -> dict[str, AESGCM | Erased]:
        """Keys as they stand. Seen within an open transaction they are not kept: it may yet be rolled back."""
        if not persons:
            return {}
        if tx is None:
            with self.database.direct() as direct:
                rows = direct.rows(*self._question(agency, persons))
        else:
            with self.database.direct(tx) as direct:
                rows = direct.rows(*self._question(agency, persons))
        found: dict[str, AESGCM | Erased] = {}
        for person_id, kek_id, wrapped in rows:
            if wrapped is None:
                found[person_id] = ERASED
            else:
                bound_to = canonical([agency, person_id])
                found[person_id] = AESGCM(self._custody.unwrap(Wrapped(kek_id, wrapped), bound_to))
            if tx is None:
                self._keep(agency, person_id, found[person_id])
        return found

    def _question(self, agency: str, persons: list[str]) -> tuple[str, list[str]]:
        mark = "?" if self.database.dialect == "sqlite" else "%s"
        marks = ", ".join([mark] * len(persons))
        statement = (
            f"select person_id, kek_id, wrapped from person_keys"  # noqa: S608 - placeholders only
            f" where agency = {mark} and person_id in ({marks})"
        )
        return statement, [agency, *persons]

    def _keep(self, agency: str, person_id: str, cipher: AESGCM | Erased) -> None:
        if isinstance(cipher, Erased):
            self._gone.add((agency, person_id))
            self._cache.pop((agency, person_id), None)
            return
        if len(self._cache) >= CACHED_KEYS:
            self._cache.clear()
        self._cache[(agency, person_id)] = (time.monotonic() + CACHED_SECONDS, cipher)

    def _made(self, agency: str, person_id: str, tx: Connection | None) -> AESGCM | Erased:
        if tx is None:
            with self.database.write() as own:
                self._insert(agency, person_id, own)
        else:
            self._insert(agency, person_id, tx)
        return self._read(agency, [person_id], tx)[person_id]

    def _insert(self, agency: str, person_id: str, tx: Connection) -> None:
        wrapped = self._custody.wrap(secrets.token_bytes(32), canonical([agency, person_id]))
        statement = text(
            "insert into person_keys (agency, person_id, wrapped, kek_id, created_at)"
            " values (:agency, :person, :wrapped, :kek, :now) on conflict (agency, person_id) do nothing"
        )
        now = timestamp(self._clock.now())
        values = {"agency": agency, "person": person_id, "wrapped": wrapped.text, "kek": wrapped.kek_id, "now": now}
        tx.execute(statement, values)

    def _destroy(self, agency: str, person_id: str, tx: Connection) -> None:
        statement = text(
            "insert into person_keys (agency, person_id, wrapped, kek_id, created_at, erased_at)"
            " values (:agency, :person, null, null, :now, :now) on conflict (agency, person_id) do update"
            " set wrapped = null, kek_id = null, erased_at = coalesce(person_keys.erased_at, excluded.erased_at)"
        )
        now = timestamp(self._clock.now())
        tx.execute(statement, {"agency": agency, "person": person_id, "now": now})


def _seal(cipher: AESGCM, plaintext: bytes, aad: bytes) -> str:
    nonce = secrets.token_bytes(_NONCE)
    return _text(nonce + cipher.encrypt(nonce, plaintext, aad))


def _open(cipher: AESGCM, sealed: str, aad: bytes) -> bytes:
    try:
        raw = _bytes(sealed)
        return cipher.decrypt(raw[:_NONCE], raw[_NONCE:], aad)
    except (InvalidTag, ValueError) as error:
        raise Invalid("sealed.not_authentic", "a sealed value was changed, or moved from its place") from error


def _text(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


def _bytes(text_form: str) -> bytes:
    return urlsafe_b64decode(text_form + "=" * (-len(text_form) % 4))
