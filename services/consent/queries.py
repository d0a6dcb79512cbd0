"""The questions that data protection answers: how a consent stands, and what speaks for or against a disclosure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from functools import lru_cache

import orjson
from sqlalchemy import Connection, select

from services.consent.domain.consent import Consent, Status
from services.consent.domain.objection import NoticeForm, Objection, ProcessingObjectionState
from services.consent.domain.release_from_secrecy import ReleaseForm, ReleaseFromSecrecy
from services.consent.domain.representation import Act, Representation, RepresentationKind
from services.consent.domain.terms import Form, Giver, Offer, Terms
from services.consent.domain.use_limit import UseLimit
from services.consent.projections import OFFERED, Declared, declaration, read_course
from shared.domain import Personal, value
from shared.errors import NotFound
from shared.eventstore import AgencyStore

CONSENT, RELEASE, REPRESENTATION = "consent", "release_from_secrecy", "representation"
SEEN_BY_THE_LAW = (Status.GIVEN, Status.NOT_YET, Status.EXPIRED)
"""What is paused, used up, replaced, withdrawn or refused carries nothing on that day; the last word is told beside."""


@value
class ConsentQuestion:
    consent_id: str


@value
class ConsentView:
    """`uses` counts the disclosures under a limit so far, `uses_left` those that are left in the period of today."""

    consent_id: str
    terms: Terms
    status: Status
    given_on: date | None
    withdrawn_on: date | None
    version: int
    refused_on: date | None = None
    paused_on: date | None = None
    replaced_by: str | None = None
    ended_on: date | None = None
    uses: int = 0
    uses_left: int | None = None


@value
class OfferView:
    """What the person is asked; a yes or a no turns it into a consent under the same id."""

    consent_id: str
    offer: Offer
    status: Status
    offered_on: date
    version: int


@value
class ConsentsQuestion:
    person_id: str


@value
class ConsentList:
    items: tuple[ConsentView, ...]
    offers: tuple[OfferView, ...] = ()


@value
class SheetView:
    """The consents and refusals of a sheet, in the order of its cells."""

    items: tuple[ConsentView, ...]


@value
class ReleaseQuestion:
    release_id: str


@value
class ReleaseView:
    release_id: str
    person_id: str
    professional: Personal[str]
    recipient: str
    categories: tuple[str, ...]
    form: ReleaseForm
    stands: bool
    version: int
    given_by: tuple[Giver, ...] = ()
    given_on: date | None = None
    valid_until: date | None = None
    withdrawn_on: date | None = None


@value
class RepresentationQuestion:
    representation_id: str


@value
class RepresentationsQuestion:
    person_id: str


@value
class RepresentationView:
    representation_id: str
    person_id: str
    kind: RepresentationKind
    name: Personal[str]
    acts: tuple[Act, ...]
    evidence: str
    purposes: tuple[str, ...]
    valid_from: date
    valid_until: date | None
    ended_on: date | None
    stands: bool
    version: int


@value
class RepresentationList:
    items: tuple[RepresentationView, ...]


@value
class ObjectionQuestion:
    person_id: str


@value
class ProcessingObjectionView:
    objection_id: str
    person_id: str
    recipient: str | None
    purpose: str | None
    reasons: Personal[str]
    raised_on: date
    state: ProcessingObjectionState
    decided_on: date | None = None
    decided_by: str | None = None
    norm: str | None = None


@value
class ObjectionView:
    """What was told about the right, when, in which form; and which objections there are."""

    person_id: str
    notice_on: date | None
    notice_form: NoticeForm | None
    notice_text_version: str | None
    raised_on: date | None
    processing: tuple[ProcessingObjectionView, ...]
    version: int


@value
class EvidenceQuestion:
    """What the register knows about disclosing data of a person to a partner for a purpose.

    `days` are the first and last day of what would travel of each category; a consent that means a range of data covers
    only what is known to lie within. None: that was looked at before.
    """

    person_id: str
    partner_id: str
    purpose: str
    categories: tuple[str, ...]
    days: dict[str, tuple[date, ...]] | None = field(default_factory=dict)


@value
class ConsentEvidence:
    """A consent that names this partner, purpose and one of the categories, by its dates on the day asked; whether it
    covers, the engine judges. What is paused, used up, replaced, withdrawn or refused is left out.
    """

    consent_id: str
    status: Status
    given_on: date
    valid_until: date | None
    withdrawn_on: date | None
    form: Form
    given_by: tuple[Giver, ...]
    categories: tuple[str, ...]
    purpose: str
    informed: bool
    voluntary: bool
    erase_at: date | None = None


@value
class ReleaseEvidence:
    """A release that names this partner, and the professional whom it releases."""

    release_id: str
    person_id: str
    professional: Personal[str]
    given_on: date
    valid_until: date | None
    withdrawn_on: date | None
    form: ReleaseForm
    categories: tuple[str, ...]
    given_by: tuple[Giver, ...] = (Giver.DATA_SUBJECT,)


@value
class Evidence:
    """`refused` lists the categories about which the person's last word was no: refused, withdrawn or paused.

    `restricted`: an objection under Art. 21 DSGVO against it is open or was upheld.
    """

    consents: tuple[ConsentEvidence, ...]
    releases: tuple[ReleaseEvidence, ...]
    objection_notice_given: bool
    objected: bool
    refused: tuple[str, ...]
    restricted: bool = False


@value
class StandingQuestion:
    """Ids of consents and of releases from secrecy."""

    ids: tuple[str, ...]


@value
class Fallen:
    """`code`: `consent_` or `release_` and how it stands, such as `consent_paused`; for a use also which one."""

    id: str
    code: str
    use_id: str = ""


@value
class Standing:
    """Those of the declarations asked for that do not stand at this moment, with the reason of each.

    `limited` are those whose uses are counted: `use` has the last word about them, at the moment of delivery.
    """

    fallen: tuple[str, ...]
    codes: tuple[Fallen, ...] = ()
    limited: tuple[str, ...] = ()


@value
class Use:
    """One disclosure (`use_id`) that is about to be handed over, and what it rests on."""

    use_id: str
    ids: tuple[str, ...]


@value
class UseConsents:
    uses: tuple[Use, ...]


@value
class Used:
    """Empty when everything stands and is counted."""

    fallen: tuple[Fallen, ...] = field(default=())


@dataclass(frozen=True)
class Register:
    """Reads one agency's register of the persons' will as of the legal day `today`."""

    store: AgencyStore
    today: date

    def consent(self, consent_id: str) -> ConsentView:
        consent, version = self.store.load(Consent, consent_id)
        if not consent.terms:
            raise NotFound("consent.unknown")
        course, limit = consent.course, consent.course.limit
        times = limit.times if limit else None
        counted = limit.counted(course.uses, self.today) if limit else 0
        ends = [day for day in (course.withdrawn_on, course.replaced_on, course.expired_on) if day]
        return ConsentView(
            consent_id=consent_id,
            terms=consent.terms,
            status=consent.status(self.today),
            given_on=course.given_on,
            withdrawn_on=course.withdrawn_on,
            version=version,
            refused_on=course.refused_on,
            paused_on=course.pauses[-1].since if course.paused else None,
            replaced_by=consent.replaced_by or None,
            ended_on=min(ends, default=None),
            uses=len(course.uses),
            uses_left=None if times is None else max(times - counted, 0),
        )

    def offer(self, consent_id: str) -> OfferView:
        consent, version = self.store.load(Consent, consent_id)
        if not consent.offered:
            raise NotFound("consent.unknown")
        return OfferView(
            consent_id=consent_id,
            offer=consent.offered.offer,
            status=consent.status(self.today),
            offered_on=consent.offered.on,
            version=version,
        )

    def consents(self, tx: Connection, person_id: str) -> ConsentList:
        return ConsentList(
            items=tuple(self.consent(row.id) for row in self._rows(tx, CONSENT, person_id)),
            offers=tuple(self.offer(row.id) for row in self._rows(tx, OFFERED, person_id)),
        )

    def given(self, tx: Connection, person_id: str, recipient: str | None) -> list[str]:
        """Every consent that the person ever gave, to this recipient or to anybody; also those that have ended."""
        rows = self._rows(tx, CONSENT, person_id, recipient)
        return [row.id for row in rows if read_course(row.course).given_on]

    def release(self, release_id: str) -> ReleaseView:
        release, version = self.store.load(ReleaseFromSecrecy, release_id)
        if not release.given:
            raise NotFound("release.unknown")
        known = release.given
        return ReleaseView(
            release_id=release_id,
            person_id=known.person_id,
            professional=known.professional,
            recipient=known.recipient,
            categories=known.categories,
            form=known.form,
            stands=release.stands(self.today),
            version=version,
            given_by=known.given_by,
            given_on=known.on,
            valid_until=known.valid_until,
            withdrawn_on=release.withdrawn_on,
        )

    def representation(self, representation_id: str) -> RepresentationView:
        representation, version = self.store.load(Representation, representation_id)
        known = representation.registered
        if not known:
            raise NotFound("representation.unknown")
        return RepresentationView(
            representation_id=representation_id,
            person_id=known.person_id,
            kind=known.kind,
            name=known.name,
            acts=known.acts,
            evidence=known.evidence,
            purposes=known.purposes,
            valid_from=known.valid_from,
            valid_until=known.valid_until,
            ended_on=representation.ended_on,
            stands=representation.stands(self.today),
            version=version,
        )

    def representations(self, tx: Connection, person_id: str) -> RepresentationList:
        rows = self._rows(tx, REPRESENTATION, person_id)
        return RepresentationList(items=tuple(self.representation(row.id) for row in rows))

    def objection(self, person_id: str) -> ObjectionView:
        objection, version = self.store.load(Objection, person_id)
        notice = objection.notice
        return ObjectionView(
            person_id=person_id,
            notice_on=objection.notice_on,
            notice_form=notice.form if notice else None,
            notice_text_version=notice.text_version if notice else None,
            raised_on=objection.raised_on,
            processing=tuple(
                ProcessingObjectionView(
                    objection_id=objection_id,
                    person_id=person_id,
                    recipient=each.raised.recipient,
                    purpose=each.raised.purpose,
                    reasons=each.raised.reasons,
                    raised_on=each.raised.on,
                    state=each.state,
                    decided_on=each.decided.on if each.decided else None,
                    decided_by=each.decided.by if each.decided else None,
                    norm=each.decided.norm if each.decided else None,
                )
                for objection_id, each in objection.processing.items()
            ),
            version=version,
        )

    def evidence(self, tx: Connection, asked: EvidenceQuestion) -> Evidence:
        about = self._about(tx, asked)
        objection, _ = self.store.load(Objection, asked.person_id)
        return Evidence(
            consents=tuple(self._consents(about, asked.days)),
            releases=tuple(self._releases(tx, asked)),
            objection_notice_given=objection.notice_on is not None,
            objected=objection.raised_on is not None,
            refused=tuple(category for category in asked.categories if _last_word_was_no(about, category)),
            restricted=objection.restricts(asked.partner_id, asked.purpose),
        )

    def _about(self, tx: Connection, asked: EvidenceQuestion) -> list[tuple[Declared, frozenset[str]]]:
        """What was said about this recipient and purpose, with the categories, where one of them is asked about."""
        rows = self._rows(tx, CONSENT, asked.person_id, asked.partner_id, asked.purpose)
        named = ((row, read_categories(row.categories)) for row in rows)
        return [(row, categories) for row, categories in named if not categories.isdisjoint(asked.categories)]

    def _consents(
        self, about: Sequence[tuple[Declared, frozenset[str]]], days: Mapping[str, tuple[date, ...]] | None
    ) -> Iterator[ConsentEvidence]:
        for row, _ in about:
            if row.over_on and row.over_on <= self.today:
                continue
            course = read_course(row.course)
            status = course.status(self.today)
            if status not in SEEN_BY_THE_LAW:
                continue
            declared = read_terms(row.terms)
            yield ConsentEvidence(
                consent_id=row.id,
                status=status,
                given_on=course.valid_from or self.today,
                valid_until=course.valid_until,
                withdrawn_on=course.withdrawn_on,
                form=declared.form,
                given_by=declared.given_by,
                categories=_in_range(row.categories.split(), course.limit, days),
                purpose=row.purpose,
                informed=declared.informed,
                voluntary=declared.voluntary,
                erase_at=course.limit.erase_at if course.limit else None,
            )

    def _releases(self, tx: Connection, asked: EvidenceQuestion) -> Iterator[ReleaseEvidence]:
        for row in self._rows(tx, RELEASE, asked.person_id, asked.partner_id):
            release, _ = self.store.load(ReleaseFromSecrecy, row.id)
            if release.given:
                yield ReleaseEvidence(
                    release_id=row.id,
                    person_id=release.given.person_id,
                    professional=release.given.professional,
                    given_on=release.given.on,
                    valid_until=release.given.valid_until,
                    withdrawn_on=release.withdrawn_on,
                    form=release.given.form,
                    categories=release.given.categories,
                    given_by=release.given.given_by,
                )

    def _rows(
        self, tx: Connection, kind: str, person_id: str, recipient: str | None = None, purpose: str | None = None
    ) -> Sequence[Declared]:
        table = declaration
        found = select(table).where(
            table.c.agency == self.store.name, table.c.kind == kind, table.c.person_id == person_id
        )
        if recipient is not None:
            found = found.where(table.c.recipient == recipient)
        if purpose is not None:
            found = found.where(table.c.purpose == purpose)
        return tx.execute(found.order_by(table.c.id)).all()


def standing(store: AgencyStore, ids: Sequence[str], today: date, *, use_id: str = "") -> Standing:
    """Which of these do not stand on the day; the count of the disclosure `use_id` itself is left out of account."""
    codes, limited = list[Fallen](), list[str]()
    for declared in ids:
        consent, recorded = store.load(Consent, declared)
        if recorded:
            status = replace(consent, course=consent.without_use(use_id)).status(today)
            code, stands = f"consent_{status.value}", status is Status.GIVEN
            if consent.course.limit and consent.course.limit.times is not None:
                limited.append(declared)
        else:
            release, recorded = store.load(ReleaseFromSecrecy, declared)
            code = f"release_{release.status(today).value}" if recorded else "consent_unknown"
            stands = release.stands(today)
        if not stands:
            codes.append(Fallen(id=declared, code=code, use_id=use_id))
    return Standing(fallen=tuple(each.id for each in codes), codes=tuple(codes), limited=tuple(limited))


@dataclass(frozen=True)
class Declaration:
    """What the law wants to know about how a consent was given."""

    form: Form
    given_by: tuple[Giver, ...]
    informed: bool
    voluntary: bool


@lru_cache(maxsize=4096)
def read_terms(text: str) -> Declaration:
    """As the register keeps it, without givers who would speak for the person and have no representation on record."""
    kept = orjson.loads(text)
    givers = tuple(map(Giver, kept["given_by"]))
    if not kept["representation_id"]:
        givers = tuple(giver for giver in givers if giver is not Giver.AUTHORISED_REPRESENTATIVE)
    return Declaration(Form(kept["form"]), givers, kept["informed"], kept["voluntary"])


@lru_cache(maxsize=4096)
def read_categories(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _in_range(
    categories: Sequence[str], limit: UseLimit | None, days: Mapping[str, tuple[date, ...]] | None
) -> tuple[str, ...]:
    """The categories of which nothing would travel that lies outside the days which the consent means."""
    if limit is None or days is None or not limit.has_range:
        return tuple(categories)
    return tuple(name for name in categories if limit.includes(days.get(name, ())))


def _last_word_was_no(about: Sequence[tuple[Declared, frozenset[str]]], category: str) -> bool:
    """Yes and no in the order in which they were recorded, also within one day."""
    said = [row for row, categories in about if category in categories]
    last = max(said, key=lambda row: int(row.said_at), default=None)
    return last is not None and bool(last.said_no)
