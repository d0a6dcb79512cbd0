"""What the log looks after by itself: old intents, the tree, the partners' word, what is due.

One process at a time does it (`shared.outbox.leading`). Every task is driven by the clock that it is given: the sweep
every few minutes, the others once a night. What was done stands in `check_run`, so a restart repeats nothing, and a
task that was interrupted is done again.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from threading import Event

from services.audit.activation import activate_rules, announce_key, configure_witnesses
from services.audit.asks import Asks, on_behalf_of
from services.audit.evidence import audit_log, key_overlap
from services.audit.findings import CHECK, RECONCILE, RETENTION, SWEEP, Findings
from services.audit.handlers import Office
from services.audit.reconciling import Reconciliation
from services.audit.retention import Retention, load_schedule, log_erasures
from services.audit.sequencer import AuditLog, Finding
from services.audit.sweeping import Sweeper
from shared import telemetry
from shared.clock import LEGAL_ZONE, legal_day
from shared.database import Database
from shared.errors import HandschlagError
from shared.outbox import leading
from shared.runtime import ServiceContext

PACE = 20.0
"""Seconds between two looks at what is to be done."""

SWEEP_EVERY = timedelta(minutes=5)
NIGHT = 2
"""The hour, in Germany, after which the work of a day is done."""

BREATH = 0.005
"""Seconds that others get between two slices of a long check."""


class Stopped(Exception):
    """The process stops in the middle of a long check."""


@dataclass(frozen=True)
class Watch:
    """Does what is due for all agencies. `pause` is called between the slices of long work."""

    context: ServiceContext
    pause: Callable[[], None] = lambda: None

    def tick(self) -> None:
        """Everything that is due now. What fails is reported by code and tried again with the next tick."""
        log, now = audit_log(self.context), self.context.clock.now()
        self._try("erasures", lambda: log_erasures(log, self.context.database))
        for agency in log.agencies():
            self._try("activation", partial(self._announce, log, agency))
            tasks = {SWEEP: self._sweep, CHECK: self._check, RECONCILE: self._reconcile}
            for source, task in tasks.items():
                if self._is_due(agency, source, now):
                    self._try(source, partial(task, log, agency))
        if self.context.settings.retention and self._is_due("", RETENTION, now):
            self._try(RETENTION, partial(self._retain, log))

    def _is_due(self, agency: str, source: str, now: datetime) -> bool:
        with self.context.database.read() as tx:
            last = Findings(agency).last(tx, source)
        if source == SWEEP:
            return last is None or now - last >= SWEEP_EVERY
        night_has_come = now.astimezone(LEGAL_ZONE).hour >= NIGHT
        return night_has_come and (last is None or legal_day(last) < legal_day(now))

    def _announce(self, log: AuditLog, agency: str) -> None:
        activate_rules(log, self.context.clock, agency)
        announce_key(log, agency, key_overlap(self.context.settings))
        witnesses = self.context.settings.witnesses
        configure_witnesses(log, agency, witnesses.read_bytes() if witnesses else None)

    def _sweep(self, log: AuditLog, agency: str) -> None:
        Sweeper(self._office(log, agency), self._asks(agency), self.context.database).sweep()

    def _check(self, log: AuditLog, agency: str) -> None:
        found, size = log.fsck(agency, self.pause), log.size(agency)
        self._keep(agency, CHECK, found, size)

    def _reconcile(self, log: AuditLog, agency: str) -> None:
        Reconciliation(self._office(log, agency), self._asks(agency), self.context.database, self.pause).run()

    def _retain(self, log: AuditLog) -> None:
        database = Database(self.context.settings.retention_url())
        try:
            done = retention(self.context, log, database).run()
        finally:
            database.close()
        log_erasures(log, self.context.database)
        self._keep("", RETENTION, [], sum(each.count for each in done))

    def _keep(self, agency: str, source: str, found: list[Finding], count: int) -> None:
        with self.context.database.write() as tx:
            Findings(agency).replace(tx, source, found, self.context.clock.now(), count=count)

    def _office(self, log: AuditLog, agency: str) -> Office:
        return Office(agency, self.context.store.agency(agency), log, self.context.clock)

    def _asks(self, agency: str) -> Asks:
        return Asks(self.context.calls, on_behalf_of(agency, "check"))

    def _try(self, what: str, task: Callable[[], object]) -> None:
        try:
            task()
        except HandschlagError as error:
            telemetry.logger("audit").warning(f"{what} waits", **telemetry.describe(error))


def retention(context: ServiceContext, log: AuditLog, database: Database) -> Retention:
    """Over the database of the role that may delete. Years wait for witnesses where a policy names some."""
    witnessed = log.witnessed if context.settings.witnesses else lambda _log: True
    return Retention(database, load_schedule(), context.clock, witnessed)


def watch(context: ServiceContext, stop: Event) -> None:
    """The loop: until `stop`, by whichever process leads."""

    def pause() -> None:
        if stop.wait(BREATH):
            raise Stopped

    at_work = Watch(context, pause)
    while not stop.is_set():
        with leading(context.database, "audit-watch") as leads:
            while leads() and not stop.is_set():
                try:
                    at_work.tick()
                except Stopped:
                    return
                stop.wait(PACE)
        stop.wait(1)
