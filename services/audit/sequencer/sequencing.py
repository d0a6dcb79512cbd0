"""The sequencer: the one place where entries enter the tree.

Each round takes what waits, puts it into the tree in one transaction, commits, reads the tree back from the
tables, signs its head once, keeps that head outside the database, records it, and only then lets the waiting
go. A process that dies in between leaves entries without a receipt, which the next sequencer signs, and never
a receipt without its entry.
"""

import logging
import threading
import time
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import Connection, delete, insert, select

from services.audit.domain.log import ORIGIN_RESTARTED, YEAR_OPENED, LogName, may_be_signed
from services.audit.sequencer.entering import Batch, Item, enter, first_key, left_for, open_log
from services.audit.sequencer.kept_heads import KeptHeads
from services.audit.sequencer.leadership import Leadership
from services.audit.sequencer.reading import (
    Head,
    LoggedEntry,
    frontier_at,
    heads,
    keys_taken,
    last_checkpoint,
    latest_head,
)
from services.audit.tables import checkpoint, pending
from shared.audit import Leaf
from shared.clock import Clock
from shared.database import Database
from shared.errors import HandschlagError, Refused, Unavailable
from shared.merkle import inclusion_path
from shared.notes import Checkpoint, Proof, SigningKey, sign_note

_logger = logging.getLogger(__name__)

PACE = 0.02
"""Seconds between two looks at what other processes left to be sequenced."""

CANDIDACY = 0.5
"""Seconds between two attempts to become the sequencer."""


class Waiting:
    """An item whose caller waits in this process. Ends as `entry`, as `error`, or with neither: then the key
    is taken already, or another process sequences, and the database knows more.
    """

    def __init__(self, item: Item) -> None:
        self.item = item
        self.entry: LoggedEntry | None = None
        self.error: HandschlagError | None = None
        self.done = threading.Event()

    def settle(self, entry: LoggedEntry | None = None, error: HandschlagError | None = None) -> None:
        self.entry, self.error = entry, error
        self.done.set()


class Sequencer:
    def __init__(
        self,
        database: Database,
        signers: Sequence[SigningKey],
        prefix: str,
        *,
        kept: KeptHeads,
        leadership: Leadership,
        clock: Clock,
    ) -> None:
        self._database = database
        self._signers = signers
        self._prefix = prefix
        self._kept = kept
        self._leadership = leadership
        self._clock = clock
        self._queue: deque[Waiting] = deque()
        self._refusals: dict[str, HandschlagError] = {}
        self._turn = threading.Lock()
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._leads = False
        self._caught_up = False
        self._not_before = 0.0

    def start(self) -> None:
        """Sequence from now on whenever no other process does. Starting twice changes nothing."""
        if self._thread is None:
            self._stopping.clear()
            with self._turn:
                self._lead()
            self._thread = threading.Thread(target=self._run, name="audit-sequencer", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Finishes the round that is under way; what waits afterwards is told so."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._stopping.set()
            self._wake.set()
            thread.join()
        with self._turn:
            self._leads = False
            self._leadership.release()
            self._let_go(self._drain())

    def offer(self, waiting: Waiting) -> bool:
        """False if another process sequences, or none."""
        if not self._leads:
            return False
        self._queue.append(waiting)
        self._wake.set()
        return True

    def wake(self) -> None:
        self._wake.set()

    def refusal(self, agency: str) -> HandschlagError | None:
        """Why this log is not being signed at present."""
        return self._refusals.get(agency)

    def declare_break(self, agency: str, reason: str) -> None:
        """An operator's step: a new origin whose first entry names the last head that was kept."""
        with self._turn:
            if not self._lead():
                raise Unavailable("log.no_sequencer", "another process sequences this log")
            with self._database.write() as tx:
                batch = self._break(tx, agency, reason)
            self._publish(batch)
            self._refusals.pop(agency, None)

    def round(self) -> None:
        """Everything that waits, once. Never raises; whoever waits learns what went wrong."""
        with self._turn:
            waiting = self._drain()
            try:
                if not self._lead():
                    self._let_go(waiting)
                    return
                self._sequence(waiting)
            except Exception as error:
                self._caught_up = False
                _logger.warning("a round of the audit log failed", exc_info=True)
                reason = error if isinstance(error, HandschlagError) else _unsigned(type(error).__name__)
                for each in waiting:
                    if not each.done.is_set():
                        each.settle(error=reason)

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._wake.wait(PACE if self._leads else CANDIDACY)
            self._wake.clear()
            self.round()

    def _lead(self) -> bool:
        leads = self._leadership.held()
        if leads and not self._leads:
            self._caught_up = False
        self._leads = leads
        return leads

    def _drain(self) -> list[Waiting]:
        return [self._queue.popleft() for _ in range(len(self._queue))]

    def _let_go(self, waiting: Iterable[Waiting]) -> None:
        for each in waiting:
            each.settle()

    def _sequence(self, waiting: Sequence[Waiting]) -> None:
        if not self._caught_up and (waiting or time.monotonic() >= self._not_before):
            self._catch_up()
        if not waiting and not self._anything_pending():
            return
        by_item = {id(each.item): each for each in waiting}
        with self._database.write() as tx:
            batches = self._integrate(tx, [each.item for each in waiting])
        for batch in batches:
            try:
                note = self._publish(batch)
            except HandschlagError as error:
                self._caught_up = False
                self._refusals[batch.name.agency] = error
                for _, item in batch.items:
                    if id(item) in by_item:
                        by_item[id(item)].settle(error=error)
            else:
                self._release(batch, note, by_item)
        for each in waiting:
            if not each.done.is_set():
                each.settle(error=self._refusals.get(each.item.agency))

    def _anything_pending(self) -> bool:
        with self._database.direct() as direct:
            return bool(direct.rows("select 1 from pending limit 1"))

    def _catch_up(self) -> None:
        """Sign what was committed before the last sequencer could sign it."""
        self._refusals.clear()
        with self._database.read() as tx:
            agencies = sorted({each.name.agency for each in heads(tx)})
        for agency in agencies:
            try:
                with self._database.read() as tx:
                    latest = heads(tx, agency)[-1]
                    self._goes_on(tx, agency, latest)
                    done = last_checkpoint(tx, latest.log)
                if latest.frontier.size > (done[0] if done else 0):
                    self._publish(Batch(latest.name, latest.log, latest.frontier, latest.frontier, {}, ()))
            except HandschlagError as error:
                self._refusals[agency] = error
        self._caught_up = not self._refusals
        self._not_before = time.monotonic() + (CANDIDACY if self._refusals else 0.0)

    def _integrate(self, tx: Connection, waiting: Iterable[Item]) -> list[Batch]:
        items = defaultdict[str, list[Item]](list)
        for item in waiting:
            items[item.agency].append(item)
        batches = []
        for agency in sorted({*items, *tx.scalars(select(pending.c.agency).distinct())}):
            left, ids = left_for(tx, agency)
            try:
                batch = self._integrate_agency(tx, agency, [*left, *items[agency]])
            except HandschlagError as error:
                self._refusals[agency] = error
                continue
            self._refusals.pop(agency, None)
            tx.execute(delete(pending).where(pending.c.id.in_(ids)))
            if batch:
                batches.append(batch)
        return batches

    def _integrate_agency(self, tx: Connection, agency: str, wanted: Sequence[Item]) -> Batch | None:
        """Decides before it writes: when it raises, nothing of this agency has been touched."""
        latest = latest_head(tx, agency)
        self._goes_on(tx, agency, latest)
        taken = keys_taken(tx, agency, [item.key for item in wanted])
        fresh: dict[str, Item] = {}
        for item in wanted:
            if item.key not in taken:
                fresh.setdefault(item.key, item)
        if not fresh:
            return None
        due = latest.name.for_day(self._clock.today()) if latest else LogName(agency, self._clock.today().year)
        if latest and latest.name == due:
            return enter(tx, latest, list(fresh.values()))
        first = self._first(due, YEAR_OPENED, self._last_note(tx, latest))
        return enter(tx, open_log(tx, due, due.origin(self._prefix)), [first, *fresh.values()])

    def _goes_on(self, tx: Connection, agency: str, latest: Head | None) -> None:
        """Raises `Refused` if the kept head knows more than the database, or something else."""
        name = self._kept.newest(agency)
        kept = self._kept.head(name) if name else None
        if name is None or kept is None:
            if latest and last_checkpoint(tx, latest.log):
                raise _head_missing()
            return
        if latest is None or name > latest.name:
            may_be_signed(0, kept.size, same_root=False)
            return
        if name < latest.name and last_checkpoint(tx, latest.log):
            raise _head_missing()
        log = name.origin(self._prefix)
        if name == latest.name and latest.frontier.size <= kept.size:
            may_be_signed(latest.frontier.size, kept.size, same_root=latest.frontier.root() == kept.root)
        else:
            known = frontier_at(tx, log, kept.size)
            same = known is not None and known.root() == kept.root
            may_be_signed(kept.size, kept.size, same_root=same)

    def _last_note(self, tx: Connection, latest: Head | None) -> str | None:
        """The last checkpoint of a log that is about to be closed; without one it is not closed."""
        if latest is None:
            return None
        signed = last_checkpoint(tx, latest.log)
        if signed is None or signed[0] != latest.frontier.size:
            self._caught_up = False
            raise _unsigned("the year before is not signed to its end")
        return signed[1]

    def _first(self, name: LogName, kind: str, previous: str | None, **details: str) -> Item:
        first = Leaf(kind=kind, time=self._clock.now(), previous=previous, details=details)
        return Item(name.agency, first_key(name.origin(self._prefix)), first, first.to_bytes())

    def _break(self, tx: Connection, agency: str, reason: str) -> Batch:
        latest, newest = latest_head(tx, agency), self._kept.newest(agency)
        known = [each for each in (latest.name if latest else None, newest) if each]
        if not known:
            raise Refused("log.no_log", "an agency without a log has no break to declare")
        name = max(known).after_break(self._clock.today())
        note = self._kept.note(newest) if newest else None
        if note is None and latest:
            note = (last_checkpoint(tx, latest.log) or (0, None))[1]
        size = latest.frontier.size if latest else 0
        origin = latest.log if latest else "none"
        details = {"database_log": origin, "database_size": str(size), "reason": reason}
        first = self._first(name, ORIGIN_RESTARTED, note, **details)
        return enter(tx, open_log(tx, name, name.origin(self._prefix)), [first])

    def _publish(self, batch: Batch) -> str:
        """Sign the head that the tables, read back after the commit, really have."""
        root = self._read_back(batch)
        signed = Checkpoint(batch.log, batch.after.size, root)
        note = sign_note(str(signed), *((batch.log, signer) for signer in self._signers))
        self._kept.keep(batch.name, signed, note)
        self._record(batch, note)
        return note

    def _read_back(self, batch: Batch) -> bytes:
        with self._database.read() as tx:
            found = frontier_at(tx, batch.log, batch.after.size)
        if found != batch.after:
            raise Refused("log.database_differs", "what was read back is not what was written")
        return found.root()

    def _record(self, batch: Batch, note: str) -> None:
        with self._database.write() as tx:
            there = select(checkpoint.c.size).where(
                checkpoint.c.log == batch.log, checkpoint.c.size == batch.after.size
            )
            if tx.execute(there).first() is None:
                row = {"log": batch.log, "size": batch.after.size, "note": note}
                tx.execute(insert(checkpoint).values(row))

    def _release(self, batch: Batch, note: str, by_item: Mapping[int, Waiting]) -> None:
        known = {**dict(zip(batch.before.nodes, batch.before.peaks, strict=True)), **batch.born}
        for idx, item in batch.items:
            waiting = by_item.get(id(item))
            if waiting:
                path = inclusion_path(idx, batch.after.size, lambda nodes: {each: known[each] for each in nodes})
                receipt = str(Proof(idx, path, note))
                waiting.settle(LoggedEntry(idx, batch.log, item.data, receipt, dict(item.openings)))


def _unsigned(why: str) -> Unavailable:
    return Unavailable("log.not_signed", why, "send the same again; nothing was disclosed")


def _head_missing() -> Refused:
    return Refused(
        "log.kept_head_missing",
        "the database has signed heads and the folder of kept heads has none of them",
        "give the folder back, or declare the break with a new origin",
    )
