"""What partner exchange tells other services about disclosures: what became of them, what partners signed, and which
are under way.

The log compares both with its entries. Outcomes are told under the ids of the events that messages are known by, so
that one which comes late by message is the same one.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

from sqlalchemy import Connection, select

from services.exchange.domain.disclosure import (
    CONFIRM_WITHIN,
    Disclosure,
    DisclosureAcknowledged,
    DisclosureStopped,
    Entry,
    RetractionAcknowledged,
    Ruling,
    State,
)
from services.exchange.domain.partner import Partner
from services.exchange.outbound import outbound
from services.exchange.projections import disclosure_list, of_person
from shared.domain import Json, Recorded, value
from shared.eventstore import AgencyStore

LONGEST_PAGE = 500
UNDER_WAY = frozenset(
    {State.REQUESTED, State.AWAITING_CONFIRMATION, State.PERMITTED, State.HANDED_OVER, State.RETRACTED}
)
"""A person, a partner or a delivery has the next word."""


@value
class WhereaboutsQuestion:
    disclosure_ids: tuple[str, ...]


@value
class OutcomeTold:
    """`message_id` is that of the message which tells the same."""

    message_id: str
    result: str
    reason: str


@value
class Whereabouts:
    """`waits`: nothing is overdue, a partner or a person has the next word."""

    disclosure_id: str
    state: State
    waits: bool
    outcomes: tuple[OutcomeTold, ...]


@value
class WhereaboutsAnswer:
    items: tuple[Whereabouts, ...]


@value
class AcknowledgementsQuestion:
    """Of the disclosures named, or of all after the id `after`, page by page. `limit` 1 to 500."""

    disclosure_ids: tuple[str, ...] = ()
    after: str = ""
    limit: int = 200


@value
class AcknowledgementTold:
    """A partner's signed word about the entry at `origin` and `index`, with the key that it is checked by."""

    disclosure_id: str
    partner_id: str
    origin: str
    index: int
    result: str
    signed: str
    signing_key: Json


@value
class AcknowledgementsPage:
    items: tuple[AcknowledgementTold, ...]
    next: str | None


@value
class UnderWayQuestion:
    person_id: str


@value
class UnderWay:
    """The disclosures of a person's data that have not come to their end."""

    disclosure_ids: tuple[str, ...]


@dataclass(frozen=True)
class Tracing:
    """Looks for one agency, on the legal day `today`."""

    store: AgencyStore
    today: date

    def whereabouts(self, asked: WhereaboutsQuestion) -> WhereaboutsAnswer:
        return WhereaboutsAnswer(items=tuple(self._of(found) for found in asked.disclosure_ids[:LONGEST_PAGE]))

    def acknowledgements(self, tx: Connection, asked: AcknowledgementsQuestion) -> AcknowledgementsPage:
        if asked.disclosure_ids:
            ids, following = list(asked.disclosure_ids[:LONGEST_PAGE]), None
        else:
            limit, table = min(max(asked.limit, 1), LONGEST_PAGE), disclosure_list
            here = table.c.agency == self.store.name, table.c.disclosure_id > asked.after
            found = select(table.c.disclosure_id).where(*here).order_by(table.c.disclosure_id).limit(limit + 1)
            ids = list(tx.scalars(found))
            following = ids[limit - 1] if len(ids) > limit else None
            ids = ids[:limit]
        items = tuple(told for each in ids for told in self._signed(each))
        return AcknowledgementsPage(items=items, next=following)

    def under_way(self, tx: Connection, asked: UnderWayQuestion) -> UnderWay:
        found = of_person(tx, self.store.name, asked.person_id)
        states = {each: self.store.load(Disclosure, each)[0].state for each in found}
        return UnderWay(disclosure_ids=tuple(each for each, state in states.items() if state in UNDER_WAY))

    def _of(self, disclosure_id: str) -> Whereabouts:
        records = self.store.read(Disclosure, disclosure_id)
        disclosure, _ = self.store.load(Disclosure, disclosure_id)
        told = tuple(outcome for record in records if (outcome := _outcome(record)))
        return Whereabouts(
            disclosure_id=disclosure_id, state=disclosure.state, waits=self._waits(disclosure), outcomes=told
        )

    def _waits(self, disclosure: Disclosure) -> bool:
        if disclosure.state is State.AWAITING_CONFIRMATION and disclosure.awaited:
            return self.today <= date.fromisoformat(disclosure.awaited.ruling.day) + CONFIRM_WITHIN
        return disclosure.state is State.PERMITTED

    def _signed(self, disclosure_id: str) -> Iterator[AcknowledgementTold]:
        """The words about the disclosure itself and about its retraction."""
        disclosure, records = self.store.load(Disclosure, disclosure_id)[0], self.store.read(Disclosure, disclosure_id)
        if not disclosure.requested:
            return
        partner_id = disclosure.requested.partner_id
        registered = self.store.load(Partner, partner_id)[0].registered
        key = registered.signing_key if registered else {}
        for record in records:
            place: Ruling | Entry | None = None
            if isinstance(record.event, DisclosureAcknowledged):
                place = disclosure.ruling
            elif isinstance(record.event, RetractionAcknowledged) and disclosure.retracted:
                place = disclosure.retracted.entry
            outcome = _outcome(record)
            if place and outcome and isinstance(record.event, DisclosureAcknowledged | RetractionAcknowledged):
                yield AcknowledgementTold(
                    disclosure_id=disclosure_id,
                    partner_id=partner_id,
                    origin=place.origin,
                    index=place.index,
                    result=outcome.result,
                    signed=record.event.signed,
                    signing_key=key,
                )


def _outcome(record: Recorded) -> OutcomeTold | None:
    """What the message about this event tells the log; None for events that tell it of no outcome."""
    message = outbound(record)
    if message is None or "result" not in message.data:
        return None
    reason = record.event.reason if isinstance(record.event, DisclosureStopped) else ""
    return OutcomeTold(message_id=record.event_id, result=str(message.data["result"]), reason=reason)
