"""The erasure of a person from the first service to the last (Art. 17 DSGVO, § 84 SGB X).

Case management orders it and does its own part in the same transaction; the others hear the order, do theirs, and
confirm. What the law makes the agency keep stands against it, unless it should never have been there.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from services.cases.asks import Held
from services.cases.domain.erasure import CaseDataErased, Erasure, ErasureOrdered
from services.cases.projections import ACTIVITY, forget_files
from services.cases.retention import standing
from shared import file_views
from shared.clock import legal_day
from shared.crypto import PersonKeys
from shared.database import Database
from shared.domain import Receipt
from shared.erasure import ErasedPerson, drop_waiting
from shared.errors import NotFound, Refused
from shared.eventstore import AgencyStore

NORMS = ("Art. 17 Abs. 1 DSGVO", "§ 84 Abs. 2 SGB X")
UNLAWFUL = ("Art. 17 Abs. 1 Buchst. d DSGVO",)
NO_LONGER_NEEDED = ("Art. 17 Abs. 1 Buchst. a DSGVO", "§ 84 Abs. 4 SGB X")
"""All periods to keep have ended, so that nothing takes the place of the erasure any more."""


Step = Callable[[Connection], object]


@dataclass(frozen=True)
class Order:
    """Who wants whom to be erased, why and by which `norms`; `held` is what there is, so that duties to keep it are
    seen.
    """

    erasure_id: str
    person_id: str
    reason: str
    by: str
    held: Sequence[Held]
    request_id: str = ""
    unlawful: bool = False
    norms: tuple[str, ...] = NORMS


@dataclass(frozen=True)
class Eraser:
    """Erases for one agency."""

    store: AgencyStore
    database: Database
    keys: PersonKeys

    def order(
        self, order: Order, *, known: bool, command_id: str, now: datetime, first: Step = lambda _: None
    ) -> Receipt:
        """Begin. The same order again changes nothing; another one for an erased person goes through all services
        again and finds nothing left. `first` is done in the same transaction, while the key is still there.

        Raises `NotFound` when nobody holds anything about such a person, and `Refused` naming the norm while a duty to
        keep the data stands.
        """
        erasure, _ = self.store.load(Erasure, order.erasure_id)
        if not erasure.ordered:
            self._check(order, now, known=known)
        ordered = ErasureOrdered(
            person_id=order.person_id,
            request_id=order.request_id,
            reason=order.reason,
            by=order.by,
            norms=UNLAWFUL if order.unlawful else order.norms,
            at=now,
        )
        with self.database.write() as tx:
            first(tx)
            receipt = self.store.change(
                Erasure, order.erasure_id, lambda known: known.order(ordered), command_id=command_id, tx=tx
            )
            self._own_part(tx, order)
        self.database.forget_deleted()
        self.keys.note_erased()
        return receipt

    def confirm(self, erasure_id: str, service: str, now: datetime, *, command_id: str) -> None:
        """A service has done its part. Confirmations of what was never ordered here are passed over."""
        try:
            self.store.change(Erasure, erasure_id, lambda erasure: erasure.confirm(service, now), command_id=command_id)
        except NotFound:
            return

    def _check(self, order: Order, now: datetime, *, known: bool) -> None:
        if not known and not order.held:
            detail = "nobody here knows such a person: nothing was held, so nothing was erased"
            fault = ("/person_id", detail, "check the id")
            raise NotFound("erasure.person_unknown", detail, fault[2], [fault])
        newest = [(each.category, each.last_on) for each in order.held]
        kept = () if order.unlawful else standing(newest, legal_day(now))
        if kept:
            faults = [
                (f"/held/{each.category}", f"to be kept until {each.until} ({each.norm})", "restrict it instead")
                for each in kept
            ]
            raise Refused("erasure.retention_duty", "the law makes the agency keep some of it", faults[0][2], faults)

    def _own_part(self, tx: Connection, order: Order) -> None:
        agency = self.store.name
        self.keys.destroy(agency, order.person_id, tx)
        purge(tx, agency, order.person_id)
        drop_waiting(tx, agency, order.person_id)
        erased = CaseDataErased(person_id=order.person_id, erasure_id=order.erasure_id)
        self.store.change(
            ErasedPerson,
            order.person_id,
            lambda known: [] if order.erasure_id in known.carried_out else [erased],
            command_id=f"erasure:{order.erasure_id}",
            tx=tx,
        )


def purge(tx: Connection, agency: str, person_id: str) -> None:
    """The rows beside the events."""
    forget_files(tx, agency, person_id)
    ACTIVITY.forget(tx, agency, person_id)
    file_views.forget(tx, agency, person_id)
