"""The questions that partner exchange answers: partners, how a disclosure stands, who confirmed a retraction."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import Connection, select

from services.exchange.domain.agency import Agency, Kind
from services.exchange.domain.disclosure import Disclosure, Match, Ruling, State
from services.exchange.domain.partner import Channel, Partner
from services.exchange.domain.retraction import Retraction
from services.exchange.projections import consents_used, disclosure_list, log_entries, open_retraction, partner_list
from shared.domain import Json, value
from shared.errors import NotFound
from shared.eventstore import AgencyStore

Due = Callable[[datetime], datetime]
"""Until when a retraction that was asked at that moment has to be confirmed."""

REASONED_ROLES = ("case_worker", "auditor")
"""Who reads the reasons of a refusal: staff of the agency that owns the data, and those who review it."""

CITIZEN = "citizen"
NOT_CONFIRMED = "Die zuständige Person hat die Übermittlung nicht bestätigt; es ist nichts hinausgegangen."
NOTHING_MORE = "Die Übermittlung findet nicht statt."
"""The one wording for everybody else: not consented, not held and held back by law read alike."""


@value
class AgencyQuestion:
    agency_id: str


@value
class AgencyView:
    agency_id: str
    name: str
    kind: Kind
    version: int


@value
class PartnerQuestion:
    partner_id: str


@value
class PartnerView:
    partner_id: str
    name: str
    kind: Kind
    channel: Channel
    encryption_key: Json
    signing_key: Json
    version: int
    medical_encryption_key: Json | None = None
    committed_on: date | None = None
    commitment_text: str | None = None
    witness_key: str | None = None


@value
class PartnersQuestion:
    after: str = ""
    limit: int = 50


@value
class PartnerItem:
    partner_id: str
    name: str
    body: str
    domain: str
    channel: str


@value
class PartnerPage:
    items: tuple[PartnerItem, ...]
    next: str | None


@value
class DisclosureQuestion:
    disclosure_id: str


@value
class DisclosureView:
    """`ruling` is there for those who may read the reasons; `answer` is what anybody may read.

    The person concerned finds it from `visible_from` on; without a date, from the beginning. `decided_by` and
    `confirmed_by` are the people who answer for it.
    """

    disclosure_id: str
    person_id: str
    partner_id: str
    categories: tuple[str, ...]
    purpose: str
    basis: str | None
    state: State
    answer: str
    ruling: Ruling | None
    sequence: int | None
    match: Match | None
    handed_over_at: datetime | None
    acknowledged_at: datetime | None
    retracted_at: datetime | None
    retraction_acknowledged_at: datetime | None
    version: int
    visible_from: date | None = None
    decided_by: str | None = None
    confirmed_by: str | None = None
    confirmed_at: datetime | None = None
    break_glass_ends_at: datetime | None = None
    review_by: date | None = None
    reviewed_at: datetime | None = None


@value
class DisclosuresQuestion:
    """Disclosures after the id `after`; of one person when named. `limit` 1 to 500."""

    person_id: str | None = None
    after: str = ""
    limit: int = 50


@value
class DisclosurePage:
    items: tuple[DisclosureView, ...]
    next: str | None


@value
class FeedQuestion:
    """What was handed to the partner after its own number `after`. `limit` 1 to 100."""

    partner_id: str
    after: int = 0
    limit: int = 20


@value
class FeedItem:
    sequence: int
    kind: str
    document: Json


@value
class FeedPage:
    """`next` is the number to ask with the next time."""

    items: tuple[FeedItem, ...]
    next: int


@value
class Acknowledge:
    """`signed` is the partner's JWS (`contracts/formats/envelope.md`)."""

    partner_id: str
    signed: str


@value
class Acknowledged:
    result: str


@value
class WithdrawalQuestion:
    consent_id: str


@value
class RetractionView:
    """How one disclosure made under a withdrawn consent stands: stopped in time, or retracted and confirmed.

    `declarations` are the ids of the consents and releases it rested on.
    """

    disclosure_id: str
    partner_id: str
    state: State
    handed_over_at: datetime | None
    retracted_at: datetime | None
    acknowledged_at: datetime | None
    person_id: str = ""
    partner_name: str = ""
    purpose: str = ""
    categories: tuple[str, ...] = ()
    reason: str | None = None
    stopped_because: str | None = None
    lawful_until: datetime | None = None
    told_at: datetime | None = None
    due_at: datetime | None = None
    reminded_at: datetime | None = None
    escalated_at: datetime | None = None
    escalated_to: str | None = None
    late: bool = False
    declarations: tuple[str, ...] = ()


@value
class WithdrawalReport:
    """Who had what, told when, confirmed when, and who is late. `complete`: nobody is waited for any more.

    What a recipient did with the data until `lawful_until` stays lawful (Art. 7 Abs. 3 Satz 2 DSGVO).
    """

    consent_id: str
    recipients: tuple[RetractionView, ...]
    complete: bool = True
    late: int = 0


@value
class MissingQuestion:
    """All retractions of the asking agency without an acknowledgement, late or not yet."""


@value
class MissingAcknowledgements:
    items: tuple[RetractionView, ...]


@dataclass(frozen=True)
class Exchange:
    """Reads one agency's partners and disclosures."""

    store: AgencyStore

    def agency(self, agency_id: str) -> AgencyView:
        agency, version = self.store.load(Agency, agency_id)
        if not agency.registered:
            detail = "this agency is not registered"
            raise NotFound("agency.unknown", detail, "register it at /v1/agencies")
        known = agency.registered
        return AgencyView(agency_id=agency_id, name=known.name, kind=known.kind, version=version)

    def partner(self, partner_id: str) -> PartnerView:
        partner, version = self.store.load(Partner, partner_id)
        if not partner.registered:
            fault = ("/partner_id", "this agency knows no such partner", "register the partner first")
            raise NotFound("partner.unknown", fault[1], fault[2], [fault])
        known = partner.registered
        return PartnerView(
            partner_id=partner_id,
            name=known.name,
            kind=known.kind,
            channel=known.channel,
            encryption_key=known.encryption_key,
            signing_key=known.signing_key,
            version=version,
            medical_encryption_key=partner.medical_key,
            committed_on=partner.commitment.on if partner.commitment else None,
            commitment_text=partner.commitment.text_version if partner.commitment else None,
            witness_key=partner.witness_key,
        )

    def partners(self, tx: Connection, asked: PartnersQuestion) -> PartnerPage:
        limit = min(max(asked.limit, 1), 500)
        table = partner_list
        here = (table.c.agency == self.store.name) & (table.c.partner_id > asked.after)
        rows = tx.execute(select(table).where(here).order_by(table.c.partner_id).limit(limit + 1)).all()
        items = tuple(
            PartnerItem(
                partner_id=row.partner_id,
                name=row.name,
                body=row.body,
                domain=row.domain,
                channel=row.channel,
            )
            for row in rows[:limit]
        )
        return PartnerPage(items=items, next=items[-1].partner_id if len(rows) > limit else None)

    def disclosure(self, disclosure_id: str, role: str, today: date) -> DisclosureView:
        """Raises `NotFound`, also towards a citizen who is to be informed on a later day (§ 82a SGB X)."""
        disclosure, version = self.store.load(Disclosure, disclosure_id)
        if not disclosure.requested or _hidden(disclosure, role, today):
            raise NotFound("disclosure.unknown")
        asked = disclosure.requested
        handed_over, acknowledged = disclosure.handed_over, disclosure.acknowledged
        confirmed, glass = disclosure.confirmed, disclosure.glass
        staff = role in REASONED_ROLES
        return DisclosureView(
            disclosure_id=disclosure_id,
            person_id=asked.person_id,
            partner_id=asked.partner_id,
            categories=asked.categories,
            purpose=asked.purpose,
            basis=asked.basis,
            state=disclosure.state if staff else _coarse(disclosure.state),
            answer=_answer(disclosure, role),
            ruling=disclosure.ruling if staff else None,
            sequence=handed_over.sequence if handed_over else None,
            match=acknowledged.match if acknowledged else None,
            handed_over_at=handed_over.at if handed_over else None,
            acknowledged_at=acknowledged.at if acknowledged else None,
            retracted_at=disclosure.retracted.at if disclosure.retracted else None,
            retraction_acknowledged_at=disclosure.retraction_acknowledged_at,
            version=version,
            visible_from=disclosure.visible_from,
            decided_by=disclosure.stated.by if disclosure.stated and staff else None,
            confirmed_by=confirmed.by if confirmed and staff else None,
            confirmed_at=confirmed.at if confirmed else None,
            break_glass_ends_at=glass.ends_at if glass else None,
            review_by=glass.review_by if glass else None,
            reviewed_at=disclosure.reviewed.at if disclosure.reviewed else None,
        )

    def disclosures(self, tx: Connection, asked: DisclosuresQuestion, role: str, today: date) -> DisclosurePage:
        limit = min(max(asked.limit, 1), 500)
        table = disclosure_list
        found = select(table.c.disclosure_id).where(
            table.c.agency == self.store.name, table.c.disclosure_id > asked.after
        )
        if asked.person_id is not None:
            found = found.where(table.c.person_id == asked.person_id)
        ids = list(tx.execute(found.order_by(table.c.disclosure_id).limit(limit + 1)).scalars())
        shown = [
            disclosure_id
            for disclosure_id in ids[:limit]
            if role != CITIZEN or not _hidden(self.store.load(Disclosure, disclosure_id)[0], role, today)
        ]
        items = tuple(self.disclosure(disclosure_id, role, today) for disclosure_id in shown)
        return DisclosurePage(items=items, next=ids[limit - 1] if len(ids) > limit else None)

    def withdrawal(self, tx: Connection, asked: WithdrawalQuestion, now: datetime, due: Due) -> WithdrawalReport:
        """`asked.consent_id` is that of a consent or of a release from secrecy; `due` says until when to confirm."""
        found = tuple(self._retractions(self.under_consent(tx, asked.consent_id), now, due))
        return WithdrawalReport(
            consent_id=asked.consent_id,
            recipients=found,
            complete=all(each.retracted_at is None or each.acknowledged_at is not None for each in found),
            late=sum(each.late for each in found),
        )

    def missing(self, tx: Connection, now: datetime, due: Due) -> MissingAcknowledgements:
        table = open_retraction
        here = select(table.c.disclosure_id).where(table.c.agency == self.store.name).order_by(table.c.asked_at)
        return MissingAcknowledgements(items=tuple(self._retractions(list(tx.execute(here).scalars()), now, due)))

    def under_consent(self, tx: Connection, consent_id: str) -> list[str]:
        """The disclosures that rested on a consent."""
        table = consents_used
        here = (table.c.agency == self.store.name) & (table.c.consent_id == consent_id)
        found = select(table.c.disclosure_id).where(here).order_by(table.c.disclosure_id)
        return list(tx.execute(found).scalars())

    def about_entry(self, tx: Connection, origin: str, index: int) -> str | None:
        """The disclosure that an entry of the log is about."""
        table = log_entries
        here = (table.c.agency == self.store.name) & (table.c.origin == origin) & (table.c.index == index)
        return tx.execute(select(table.c.disclosure_id).where(here)).scalar_one_or_none()

    def _retractions(self, ids: list[str], now: datetime, due: Due) -> Iterator[RetractionView]:
        names: dict[str, str] = {}
        for disclosure_id in ids:
            disclosure, _ = self.store.load(Disclosure, disclosure_id)
            asked, retracted = disclosure.requested, disclosure.retracted
            if not asked:
                continue
            retraction, _ = self.store.load(Retraction, disclosure_id)
            if asked.partner_id not in names:
                names[asked.partner_id] = self.partner(asked.partner_id).name
            acknowledged_at = disclosure.retraction_acknowledged_at
            until = due(retracted.at) if retracted else None
            yield RetractionView(
                disclosure_id=disclosure_id,
                partner_id=asked.partner_id,
                state=disclosure.state,
                handed_over_at=disclosure.handed_over.at if disclosure.handed_over else None,
                retracted_at=retracted.at if retracted else None,
                acknowledged_at=acknowledged_at,
                person_id=asked.person_id,
                partner_name=names[asked.partner_id],
                purpose=asked.purpose,
                categories=disclosure.ruling.sent if disclosure.ruling else (),
                reason=retracted.reason if retracted else None,
                stopped_because=disclosure.reason if disclosure.state is State.STOPPED else None,
                lawful_until=retracted.at if retracted else None,
                told_at=retraction.handed_over.at if retraction.handed_over else None,
                due_at=until,
                reminded_at=retraction.reminded.at if retraction.reminded else None,
                escalated_at=retraction.escalated.at if retraction.escalated else None,
                escalated_to=retraction.escalated.to if retraction.escalated else None,
                late=until is not None and (acknowledged_at or now) > until,
                declarations=disclosure.ruling.consents if disclosure.ruling else (),
            )


def _coarse(state: State) -> State:
    """Why it did not happen, or that somebody still thinks about it, is told to nobody outside."""
    if state is State.AWAITING_CONFIRMATION:
        return State.REQUESTED
    return State.DENIED if state in (State.NOT_HELD, State.DECLINED) else state


def _hidden(disclosure: Disclosure, role: str, today: date) -> bool:
    return role == CITIZEN and disclosure.visible_from is not None and today < disclosure.visible_from


def _answer(disclosure: Disclosure, role: str) -> str:
    if disclosure.state is State.DECLINED and role in REASONED_ROLES:
        return NOT_CONFIRMED
    if disclosure.state not in (State.DENIED, State.NOT_HELD, State.DECLINED):
        return ""
    if role in REASONED_ROLES and disclosure.ruling:
        return disclosure.ruling.explanation
    return NOTHING_MORE
