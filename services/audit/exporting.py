"""A bundle: what somebody takes along from the log to check it on a machine that never saw the system.

Format and what it proves: `contracts/formats/bundle.md`. What is in a bundle is planned and logged before the first
line is shown: the plan stands in the entry of the reading as a commitment, so nobody can leave something out of the
bundle or put something in. The lines follow from plan and log, so they are made page by page and kept nowhere.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property
from hashlib import sha256
from itertools import chain, islice
from typing import Any

from sqlalchemy import Connection, and_, func, select, tuple_

from services.audit.domain.reading import LogRead, Reading
from services.audit.domain.ruling import Ruling
from services.audit.search import ANY, catch_up, day_begins, keep_rule_set
from services.audit.sequencer import AuditLog, LoggedEntry
from services.audit.sequencer.cosignatures import with_cosignatures
from services.audit.sequencer.reading import (
    Head,
    as_entries,
    bytes_of,
    chunks,
    entries_query,
    heads,
    last_checkpoint,
    nodes_of,
    openings_of,
)
from services.audit.tables import checkpoint, entry, entry_key, entry_term, leaf, rule_set, subject
from shared.audit import Leaf
from shared.canonical import canonical
from shared.database import Database
from shared.domain import Json, known
from shared.errors import Invalid, NotFound, Refused, Unavailable
from shared.eventstore import AgencyStore
from shared.merkle import complete_subtrees
from shared.policy import present_law

FORMAT = "handschlag-bundle@v1"
START = bytes(32)
LARGEST_PAGE = 1 << 20
ROWS = 500
_CURSOR = re.compile(r"(?P<done>[0-9]{1,16})\.(?P<chain>[0-9a-f]{64})")
_RULING = re.compile(r"disclosure-(?P<id>.+):ruling")
_READ = re.compile(r"read-(?P<id>.+)")

Place = tuple[str, int]


@dataclass(frozen=True)
class Plan:
    """What is to be taken along: all about a `subject` or one `case` of theirs, or everything of a `period`."""

    what: str
    person: str | None = None
    case: str | None = None
    first_day: date | None = None
    last_day: date | None = None
    open: tuple[str, ...] = ()


def planned(plan: Plan, store: AgencyStore, database: Database) -> Json:
    """The question with its answer fixed: what the bundle will hold, as it is committed to."""
    keep_rule_set(database, present_law())
    if plan.what == "period":
        return _period(plan, store.name, database)
    with database.read() as tx:
        upto = {each.log: signed[0] for each in heads(tx, store.name) if (signed := last_checkpoint(tx, each.log))}
    query: Json = {
        "what": plan.what,
        "person": plan.person,
        "open": list(plan.open),
        "upto": [*map(list, upto.items())],
    }
    if plan.case is not None:
        query["case"] = plan.case
    places = _places(query, store, database)
    return {**query, "entries": len(places), "places": _digest(places)}


@dataclass(frozen=True)
class Bundle:
    """One bundle, by the plan that was logged with its reading."""

    store: AgencyStore
    log: AuditLog
    database: Database
    query: Json
    entry: LoggedEntry
    read: LogRead

    @property
    def total(self) -> int:
        """How many lines it has."""
        return 1 + self._listed + len(self._rule_sets) + 1

    def lines(self, after: str, limit: int) -> tuple[list[str], str | None]:
        """The next lines and where to go on; the place carries the hash over all lines before."""
        done, link = _place(after)
        if done >= self.total:
            raise _lost()
        lines, size = list[str](), 0
        for document in islice(self._documents(done), limit):
            last = {"chain": link.hex(), "end": done}
            text = canonical(last if document is None else document).decode()
            lines.append(text)
            link, done, size = sha256(link + text.encode() + b"\n").digest(), done + 1, size + len(text)
            if size > LARGEST_PAGE:
                break
        return lines, f"{done}.{link.hex()}" if done < self.total else None

    def _documents(self, done: int) -> Iterator[Json | None]:
        head = [self._head] if done == 0 else []
        listed = self._entries(max(done - 1, 0))
        rules = self._rules(max(done - 1 - self._listed, 0))
        return chain((make() for make in head), listed, rules, iter([None]))

    def _head(self) -> Json:
        opened = {
            name: each for name, each in known(self.read.openings, {}).items() if name in ("query", "reason", "person")
        }
        reading = {**self._proved(self.entry), "openings": opened}
        keys = [self.log.verifier_key(origin) for origin in self._origins]
        return {"format": FORMAT, "keys": keys, "reading": reading}

    @cached_property
    def _origins(self) -> list[str]:
        if self.query["what"] == "period":
            named = [each[0] for each in self.query["segments"]]
        else:
            named = [log for log, _ in self._chosen]
        return list(dict.fromkeys([*named, self.entry.origin]))

    @property
    def _listed(self) -> int:
        if self.query["what"] == "period":
            return sum(1 + end - first for _, first, end, _ in self.query["segments"])
        return len(self._chosen)

    @cached_property
    def _chosen(self) -> list[Place]:
        """The places of the plan, as they are found again; if they are not, something was deleted meanwhile."""
        places = _places(self.query, self.store, self.database)
        if (len(places), _digest(places)) != (self.query["entries"], self.query["places"]):
            raise Refused("log.export_changed", "entries of this export were deleted meanwhile", "begin a new one")
        return places

    def _entries(self, skip: int) -> Iterator[Json]:
        if self.query["what"] != "period":
            for log, idx in self._chosen[skip:]:
                yield self._with_receipt(log, idx)
            return
        for log, first, end, size in self.query["segments"]:
            if skip > end - first:
                skip -= 1 + end - first
                continue
            if skip == 0:
                yield self._segment(log, first, end, size)
            yield from self._range(log, first + max(skip - 1, 0), end)
            skip = 0

    def _with_receipt(self, log: str, idx: int) -> Json:
        found = self.log.receipt(self.store.name, log, idx)
        with self.database.read() as tx:
            still = openings_of(tx, log, idx)
        opened = {
            name: each
            for name, each in _opened(self.store, self.log.key_of(self.store.name, log, idx)).items()
            if name in still and name in self.query["open"]
        }
        return {**self._proved(found), "openings": opened}

    def _proved(self, found: LoggedEntry) -> Json:
        return {
            "log": found.origin,
            "index": found.idx,
            "leaf": found.leaf_bytes.decode(),
            "receipt": found.receipt_text,
        }

    def _segment(self, log: str, first: int, end: int, size: int) -> Json:
        with self.database.read() as tx:
            here = checkpoint.c.log == log, checkpoint.c.size == size
            note = tx.scalar(select(checkpoint.c.note).where(*here))
            left, right = complete_subtrees(0, first), complete_subtrees(end, size)
            hashes = nodes_of(tx, log)([*left, *right])
            if note is None:
                raise NotFound("log.no_log", "this log was dropped meanwhile", "begin a new one")
            return {
                "log": log,
                "first": first,
                "end": end,
                "checkpoint": with_cosignatures(tx, log, size, note),
                "left": [hashes[each].hex() for each in left],
                "right": [hashes[each].hex() for each in right],
            }

    def _range(self, log: str, first: int, end: int) -> Iterator[Json]:
        for start in range(first, end, ROWS):
            stop = min(start + ROWS, end)
            query = entries_query().where(leaf.c.log == log, leaf.c.idx >= start, leaf.c.idx < stop)
            with self.database.read() as tx:
                rows = as_entries(tx.execute(query.order_by(leaf.c.idx)).all())
            for row in rows:
                said = (
                    {"leaf": row.leaf_bytes.decode()} if row.leaf_bytes is not None else {"hash": row.leaf_hash.hex()}
                )
                yield {"index": row.idx, **said}

    @cached_property
    def _rule_sets(self) -> list[str]:
        """The rules that the entries name, as far as they were kept."""
        with self.database.read() as tx:
            kept = list(tx.scalars(select(rule_set.c.hash).order_by(rule_set.c.hash)))
            if self.query["what"] == "period":
                return [each for each in kept if any(_named(tx, each, *part) for part in self.query["segments"])]
            named = {_rule_set_of(bytes_of(tx, log, idx)) for log, idx in self._chosen}
        return [each for each in kept if each in named]

    def _rules(self, skip: int) -> Iterator[Json]:
        for hashed in self._rule_sets[skip:]:
            with self.database.read() as tx:
                content = tx.scalar(select(rule_set.c.content).where(rule_set.c.hash == hashed))
            yield {"rules": content, "rule_set": hashed}


def _places(query: Mapping[str, Any], store: AgencyStore, database: Database) -> list[Place]:
    """Where the entries about a person stand, or about one case of theirs, with everything that is about those."""
    upto = dict(query["upto"])
    both = and_(entry.c.log == subject.c.log, entry.c.idx == subject.c.idx)
    mine = subject.c.agency == store.name, subject.c.person == query["person"]
    with database.read() as tx:
        direct = [
            (row.log, row.idx) for row in tx.execute(select(entry.c.log, entry.c.idx).join(subject, both).where(*mine))
        ]
        if "case" in query:
            keys = {place: _key(tx, store.name, place) for place in direct}
            direct = [each for each in direct if _case_of(store, keys[each]) == query["case"]]
        about = tuple_(entry.c.about_log, entry.c.about_idx)
        following = [
            (row.log, row.idx)
            for part in chunks(direct)
            for row in tx.execute(select(entry.c.log, entry.c.idx).where(about.in_(part)))
        ]
        order = {each.log: at for at, each in enumerate(heads(tx, store.name))}
    places = {(log, idx) for log, idx in (*direct, *following) if idx < upto.get(log, 0)}
    return sorted(places, key=lambda place: (order[place[0]], place[1]))


def _digest(places: Sequence[Place]) -> str:
    return sha256("".join(f"{log} {idx}\n" for log, idx in places).encode()).hexdigest()


def _key(tx: Connection, agency: str, place: Place) -> str | None:
    here = entry_key.c.agency == agency, entry_key.c.log == place[0], entry_key.c.idx == place[1]
    return tx.scalar(select(entry_key.c.key).where(*here))


def _case_of(store: AgencyStore, key: str | None) -> object:
    return _opened(store, key).get("case", {}).get("value")


def _opened(store: AgencyStore, key: str | None) -> dict[str, Any]:
    """Keys and values of the commitments, from what was fixed with the entry; nothing once the person is erased."""
    if ruling := _RULING.fullmatch(key or ""):
        made = store.load(Ruling, ruling["id"])[0].made
        return known(made.openings, {}) if made else {}
    if reading := _READ.fullmatch(key or ""):
        read = store.load(Reading, reading["id"])[0].read
        return known(read.openings, {}) if read else {}
    return {}


def _period(plan: Plan, agency: str, database: Database) -> Json:
    """For each log the stretch from the last entry before the period to the first one behind it."""
    if plan.first_day is None or plan.last_day is None:
        raise Invalid("request.invalid", "a period has two days")
    if catch_up(database, agency, 3.0):
        raise Unavailable("log.not_searchable_yet", "the log is still being made searchable", "try again in a minute")
    start, end = day_begins(plan.first_day), day_begins(plan.last_day + timedelta(days=1))
    with database.read() as tx:
        stretches = [each for log in heads(tx, agency) if (each := _stretch(tx, log, start, end))]
    return {
        "what": "period",
        "from": start,
        "until": end,
        "segments": [list(each.segment()) for each in _joined(stretches)],
    }


@dataclass(frozen=True)
class Stretch:
    """The entries of a log from index `first` up to `end` are those of the period; `before` and `behind` mark the
    nearest entries outside of it, as far as there are any.
    """

    log: str
    size: int
    first: int
    end: int
    before: int
    behind: int

    def segment(self) -> tuple[str, int, int, int]:
        return self.log, self.before, self.behind, self.size


def _stretch(tx: Connection, head: Head, start: str, end: str) -> Stretch | None:
    signed = last_checkpoint(tx, head.log)
    if signed is None:
        return None
    size = signed[0]
    here = entry_term.c.agency == head.name.agency, entry_term.c.term == ANY, entry_term.c.log == head.log
    idx, at = entry_term.c.idx, entry_term.c.at
    within = select(func.min(idx), func.max(idx)).where(*here, at >= start, at < end, idx < size)
    low, high = tx.execute(within).one()
    if low is None:
        newest = tx.scalar(select(func.max(idx)).where(*here, at < start, idx < size))
        low = 0 if newest is None else newest + 1
        high = low - 1
    before = tx.scalar(select(func.max(idx)).where(*here, at < start, idx < low))
    behind = tx.scalar(select(func.min(idx)).where(*here, at >= end, idx > high, idx < size))
    return Stretch(
        head.log, size, low, high + 1, 0 if before is None else before, size if behind is None else behind + 1
    )


def _joined(stretches: Sequence[Stretch]) -> Sequence[Stretch]:
    """From the first to the last log that is needed, so that nothing can stand in between."""
    filled = [at for at, each in enumerate(stretches) if each.first < each.end]
    if not filled:
        filled = [max((at for at, each in enumerate(stretches) if each.first > 0), default=0)]
    low, high = filled[0], filled[-1]
    if stretches[low].first == 0 and low > 0:
        low -= 1
    if stretches[high].end == stretches[high].size and high + 1 < len(stretches):
        high += 1
    return stretches[low : high + 1]


def _named(tx: Connection, hashed: str, log: str, first: int, end: int, _size: int) -> bool:
    here = entry_term.c.term == f"rule_set:{hashed}", entry_term.c.log == log
    found = select(entry_term.c.idx).where(*here, entry_term.c.idx >= first, entry_term.c.idx < end)
    return tx.execute(found.limit(1)).first() is not None


def _rule_set_of(data: bytes | None) -> str | None:
    return Leaf.parse(data).rule_set if data else None


def _place(after: str) -> tuple[int, bytes]:
    if not after:
        return 0, START
    match = _CURSOR.fullmatch(after)
    if not match:
        raise _lost()
    return int(match["done"]), bytes.fromhex(match["chain"])


def _lost() -> Invalid:
    fault = ("/after", "not a place in this bundle", "send the next of the page before")
    return Invalid("request.invalid", "the request has faulty fields", fault[2], [fault])
