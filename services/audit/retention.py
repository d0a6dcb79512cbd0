"""Retention: deletes from the log what is due by `contracts/law/retention.yaml`, and lets each deletion be an entry.

It works through a database of its own role: on PostgreSQL `handschlag_retention`, which can delete what is due and
add nothing; no service has that right. On SQLite everybody has the file, and the triggers keep all doors shut but the
one that is opened here. Each step is one transaction that also notes what was deleted; whoever logs the notes does so
under their name, so that a run which was interrupted is finished by the next one, and nothing is deleted or logged
twice.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from uuid import uuid4

import yaml
from sqlalchemy import Connection, Select, delete, func, insert, or_, select, update

from services.audit.domain.log import ORIGIN_RESTARTED
from services.audit.domain.retention import Rule, Schedule, What, schedule
from services.audit.sequencer import AuditLog
from services.audit.sequencer.forgetting import delete_entries, delete_openings, delete_slice_of_year, forget, note
from services.audit.sequencer.reading import Head, bytes_of, heads, last_checkpoint
from services.audit.tables import (
    checkpoint,
    dropped_log,
    entry,
    erasure,
    head,
    leaf,
    node,
    opening,
    retention_door,
    retention_mark,
    retention_period,
    subject,
)
from shared.audit import Leaf
from shared.clock import LEGAL_ZONE, Clock, timestamp
from shared.database import Database
from shared.errors import Invalid

SCHEDULE = Path(__file__).resolve().parents[2] / "contracts" / "law" / "retention.yaml"
SLICE = 1000
RETENTION_ENDED, YEAR_DROPPED, PERSON_ERASED = "retention_ended", "year_dropped", "person_erased"

Witnessed = Callable[[str], bool]
"""Whether the newest checkpoint of a log has the cosignatures that the policy asks for; without a policy always."""


@dataclass(frozen=True)
class Deleted:
    """What a rule of the schedule deletes, or deleted, in one log; `count` entries, of a year all of them."""

    agency: str
    log: str
    rule: str
    what: str
    count: int


def load_schedule(path: Path = SCHEDULE) -> Schedule:
    """Raises `Invalid` naming each line that is not understood."""
    data = path.read_bytes()
    try:
        content = yaml.safe_load(data)
    except yaml.YAMLError:
        raise Invalid("retention.invalid", "the schedule is not YAML", "restore the file as it was released") from None
    return schedule(content, sha256(data).hexdigest())


def provide_periods(database: Database, known: Schedule) -> None:
    """Write the shortest periods into the database, which holds the retention role against them. The owner's work."""
    shortest: dict[tuple[str, str, str], int] = {}
    for rule in known.rules:
        for kind in rule.kinds:
            key = (rule.what.value, kind, rule.token)
            shortest[key] = min(shortest.get(key, rule.period.fewest_days), rule.period.fewest_days)
    rows = [
        {"what": what, "kind": kind, "token": token, "days": days} for (what, kind, token), days in shortest.items()
    ]
    with database.write() as tx:
        there = {(row.what, row.kind, row.token): row.days for row in tx.execute(select(retention_period))}
        if there != shortest:
            tx.execute(delete(retention_period))
            tx.execute(insert(retention_period), rows)


@dataclass(frozen=True)
class Retention:
    """Carries out the schedule on all logs of an installation."""

    database: Database
    schedule: Schedule
    clock: Clock
    witnessed: Witnessed = lambda _log: True

    def due(self) -> list[Deleted]:
        """What `run` would delete now."""
        found = []
        with self.database.read() as tx:
            logs = heads(tx)
        for each in logs:
            for rule in self._rules():
                count = sum(self._count(rule, each.log, part) for part in self._due(rule, each.log))
                if count:
                    found.append(Deleted(each.name.agency, each.log, rule.id, rule.what.value, count))
        with self.database.read() as tx:
            found += [
                Deleted(each.name.agency, each.log, rule.id, rule.what.value, each.frontier.size)
                for rule in self.schedule.of(What.YEAR)
                for each in self._years(tx, rule)
            ]
        return found

    def run(self) -> list[Deleted]:
        """Delete what is due; what was deleted now. The entries about it are logged by `log_erasures`."""
        done: list[Deleted] = []
        with self.database.read() as tx:
            logs = heads(tx)
        for each in logs:
            for rule in self._rules():
                done += self._carry_out(rule, each)
        for rule in self.schedule.of(What.YEAR):
            done += self._drop_years(rule)
        self._finish_years()
        if done:
            self.database.forget_deleted()
        return done

    def _rules(self) -> tuple[Rule, ...]:
        return (*self.schedule.of(What.OPENINGS), *self.schedule.of(What.ENTRY))

    def _carry_out(self, rule: Rule, log: Head) -> Iterator[Deleted]:
        count = 0
        for part in self._due(rule, log.log):
            with self.database.write() as tx, self._door(tx, rule, log.log):
                there = self._still_there(tx, rule, log.log, part)
                remove = delete_entries if rule.what is What.ENTRY else delete_openings
                gone = remove(tx, log.log, there) if there else 0
                if gone:
                    places = {"from": str(min(there)), "to": str(max(there))}
                    self._note(tx, rule, log, RETENTION_ENDED, count=gone, **places)
                count += gone
        with self.database.write() as tx:
            self._move_mark(tx, rule, log.log)
        if count:
            yield Deleted(log.name.agency, log.log, rule.id, rule.what.value, count)

    def _due(self, rule: Rule, log: str) -> Iterator[list[int]]:
        """Indexes of the entries that the rule speaks of and whose period is over, a slice at a time."""
        query = self._due_query(rule, log)
        with self.database.read() as tx:
            after = self._mark(tx, rule, log)
        while True:
            with self.database.read() as tx:
                rows = tx.execute(query.where(entry.c.idx > after).order_by(entry.c.idx).limit(SLICE)).all()
            if not rows:
                return
            yield [row.idx for row in rows if _speaks_of(rule, bytes(row.bytes))]
            after = rows[-1].idx

    def _due_query(self, rule: Rule, log: str) -> Select[tuple[int, bytes]]:
        query = select(entry.c.idx, entry.c.bytes).where(entry.c.log == log, entry.c.kind.in_(rule.kinds))
        return query.where(entry.c.at < self._before(rule))

    def _before(self, rule: Rule) -> str:
        return timestamp(_midnight(rule.due_before(self.clock.today())))

    def _still_there(self, tx: Connection, rule: Rule, log: str, indexes: list[int]) -> list[int]:
        tables = (entry,) if rule.what is What.ENTRY else (opening, subject)
        found = set[int]()
        for start in range(0, len(indexes), SLICE // 2):
            part = indexes[start : start + SLICE // 2]
            for table in tables:
                found |= set(tx.scalars(select(table.c.idx).where(table.c.log == log, table.c.idx.in_(part))))
        return sorted(found)

    def _count(self, rule: Rule, log: str, indexes: list[int]) -> int:
        with self.database.read() as tx:
            return len(self._still_there(tx, rule, log, indexes))

    def _mark(self, tx: Connection, rule: Rule, log: str) -> int:
        here = retention_mark.c.log == log, retention_mark.c.rule == rule.mark
        found = tx.scalar(select(retention_mark.c.idx).where(*here))
        return -1 if found is None else found

    def _move_mark(self, tx: Connection, rule: Rule, log: str) -> None:
        """Behind the entries that were dealt with for good: up to the first of these kinds that is not due yet."""
        mark = self._mark(tx, rule, log)
        here = entry.c.log == log, entry.c.kind.in_(rule.kinds), entry.c.idx > mark
        waiting = tx.scalar(select(func.min(entry.c.idx)).where(*here, entry.c.at >= self._before(rule)))
        last = tx.scalar(select(func.max(entry.c.idx)).where(*here)) if waiting is None else waiting - 1
        if last is None or last <= mark:
            return
        mine = retention_mark.c.log == log, retention_mark.c.rule == rule.mark
        if not tx.execute(update(retention_mark).where(*mine).values(idx=last)).rowcount:
            tx.execute(insert(retention_mark).values(log=log, rule=rule.mark, idx=last))

    @contextmanager
    def _door(self, tx: Connection, rule: Rule, log: str) -> Iterator[None]:
        """Open for what the rule speaks of, within this transaction."""
        doors = [
            {"log": log, "what": rule.what.value, "kind": kind, "token": rule.token, "before": self._before(rule)}
            for kind in rule.kinds
        ]
        tx.execute(insert(retention_door), doors)
        yield
        tx.execute(delete(retention_door).where(retention_door.c.log == log))

    def _years(self, tx: Connection, rule: Rule) -> list[Head]:
        """Logs that may go as a whole: over, signed to their end, and named by the signed log that follows."""
        found, logs = list[Head](), heads(tx)
        limit = rule.due_before(self.clock.today())
        for each, after in pairwise(logs):
            same = each.name.agency == after.name.agency
            if same and date(each.name.year + 1, 1, 1) <= limit and self._stands_in(tx, each, after):
                found.append(each)
        return found

    def _stands_in(self, tx: Connection, log: Head, after: Head) -> bool:
        last, first, signed = last_checkpoint(tx, log.log), bytes_of(tx, after.log, 0), last_checkpoint(tx, after.log)
        if last is None or first is None or signed is None or last[0] != log.frontier.size:
            return False
        opened = Leaf.parse(first)
        named = opened.previous == last[1] or (
            opened.kind == ORIGIN_RESTARTED and (opened.previous or "").startswith(f"{log.log}\n")
        )
        return named and self.witnessed(after.log)

    def _drop_years(self, rule: Rule) -> Iterator[Deleted]:
        """The oldest first, and none behind one that has to stay."""
        with self.database.read() as tx:
            oldest = {each.name.agency: each.log for each in reversed(heads(tx))}
            years = self._years(tx, rule)
        for each in years:
            if oldest[each.name.agency] != each.log:
                continue
            with self.database.write() as tx:
                last = last_checkpoint(tx, each.log)
                if last is None or tx.execute(select(head.c.log).where(head.c.log == each.log)).first() is None:
                    continue
                now = timestamp(self.clock.now())
                gone = {"log": each.log, "agency": each.name.agency, "size": each.frontier.size, "note": last[1]}
                tx.execute(insert(dropped_log).values(**gone, at=now))
                with self._year_door(tx, each.log):
                    tx.execute(delete(head).where(head.c.log == each.log))
                self._note(tx, rule, each, YEAR_DROPPED, count=each.frontier.size)
            following = [log for log in years if log.name.agency == each.name.agency and log.name > each.name]
            oldest[each.name.agency] = following[0].log if following else ""
            yield Deleted(each.name.agency, each.log, rule.id, rule.what.value, each.frontier.size)

    def _finish_years(self) -> None:
        """What a dropped year has left behind, a slice at a time."""
        with self.database.read() as tx:
            rest = [select(table.c.log).distinct() for table in (leaf, node, checkpoint)]
            gone = select(dropped_log.c.log).where(or_(*(dropped_log.c.log.in_(each) for each in rest)))
            logs = list(tx.scalars(gone))
        for log in logs:
            more = True
            while more:
                with self.database.write() as tx, self._year_door(tx, log):
                    more = delete_slice_of_year(tx, log)

    @contextmanager
    def _year_door(self, tx: Connection, log: str) -> Iterator[None]:
        door = {"log": log, "what": What.YEAR.value, "kind": "any", "token": "", "before": ""}
        tx.execute(insert(retention_door).values(**door))
        yield
        tx.execute(delete(retention_door).where(retention_door.c.log == log))

    def _note(self, tx: Connection, rule: Rule, log: Head, reason: str, *, count: int, **places: str) -> None:
        details = {
            "log": log.log,
            "rule": rule.id,
            "what": rule.what.value,
            "count": str(count),
            "schedule": self.schedule.digest,
            **places,
        }
        note(tx, str(uuid4()), log.name.agency, reason=reason, details=details, at=timestamp(self.clock.now()))


def forget_person(tx: Connection, agency: str, person: str, erasure_id: str, now: datetime) -> int:
    """Destroy what opens a person's entries, and note it for the log: how many, and nothing else. The same erasure
    again changes nothing. The person's key is destroyed by the caller, in the same transaction (`shared.crypto`).
    """
    count = forget(tx, agency, person)
    details = {"what": "openings", "count": str(count)}
    note(tx, f"person-{erasure_id}", agency, reason=PERSON_ERASED, details=details, at=timestamp(now))
    return count


def log_erasures(log: AuditLog, database: Database) -> int:
    """Log what was deleted and is not logged yet; how many entries. Interrupted, the next call goes on.

    `database` is the service's. Raises `Unavailable` when the log cannot sign; nothing is forgotten then.
    """
    with database.read() as tx:
        rows = tx.execute(select(erasure).order_by(erasure.c.at, erasure.c.id)).all()
    for row in rows:
        key = f"erasure-{row.id}"
        if log.find(row.agency, key) is None:
            at = datetime.fromisoformat(row.at)
            made = Leaf(kind="erasure", time=at, sender=row.agency, result=row.reason, details=json.loads(row.details))
            log.append(row.agency, made, key=key)
        with database.write() as tx:
            tx.execute(delete(erasure).where(erasure.c.id == row.id))
    return len(rows)


def _speaks_of(rule: Rule, data: bytes) -> bool:
    if not rule.token:
        return True
    found = Leaf.parse(data)
    return rule.token in found.categories or rule.token in found.obligations


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), LEGAL_ZONE).astimezone(UTC)
