"""The questions that data protection answers: how a consent stands, and what speaks for or against a disclosure."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

from sqlalchemy import Connection, select

from services.consent.domain.consent import Consent, ConsentGiven, Form, Giver, Status, Terms
from services.consent.domain.objection import Objection
from services.consent.domain.release_from_secrecy import ReleaseForm, ReleaseFromSecrecy
from services.consent.projections import will_of_person
from shared.domain import Personal, value
from shared.errors import NotFound
from shared.eventstore import AgencyStore


@value
class ConsentQuestion:
    consent_id: str


@value
class ConsentView:
    consent_id: str
    terms: Terms
    status: Status
    given_on: date | None
    withdrawn_on: date | None
    version: int


@value
class ConsentsQuestion:
    person_id: str


@value
class ConsentList:
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


@value
class EvidenceQuestion:
    """What the register knows about disclosing data of a person to a partner for a purpose."""

    person_id: str
    partner_id: str
    purpose: str
    categories: tuple[str, ...]


@value
class ConsentEvidence:
    """A consent that names this partner, as it stands on the day asked; standing or not, the engine judges."""

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


@value
class Evidence:
    """`refused` lists the categories about which the person's last word was no: refused, or withdrawn."""

    consents: tuple[ConsentEvidence, ...]
    releases: tuple[ReleaseEvidence, ...]
    objection_notice_given: bool
    objected: bool
    refused: tuple[str, ...]


@value
class StandingQuestion:
    """Ids of consents and of releases from secrecy."""

    ids: tuple[str, ...]


@value
class Standing:
    """Those of the declarations asked for that no longer stand today."""

    fallen: tuple[str, ...]


@dataclass(frozen=True)
class Register:
    """Reads one agency's register of the persons' will as of the legal day `today`."""

    store: AgencyStore
    today: date

    def consent(self, consent_id: str) -> ConsentView:
        consent, version = self.store.load(Consent, consent_id)
        if not consent.terms:
            raise NotFound("consent.unknown")
        return ConsentView(
            consent_id=consent_id,
            terms=consent.terms,
            status=consent.status(self.today),
            given_on=consent.given_on,
            withdrawn_on=consent.withdrawn_on,
            version=version,
        )

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
        )

    def consents(self, tx: Connection, person_id: str) -> ConsentList:
        return ConsentList(items=tuple(self.consent(found) for found in self._ids(tx, "consent", person_id)))

    def evidence(self, tx: Connection, asked: EvidenceQuestion) -> Evidence:
        consents = list(self._consents(tx, asked))
        objection, _ = self.store.load(Objection, asked.person_id)
        return Evidence(
            consents=tuple(consents),
            releases=tuple(self._releases(tx, asked)),
            objection_notice_given=objection.notice_on is not None,
            objected=objection.raised_on is not None,
            refused=tuple(
                category for category in asked.categories if self._last_word_was_no(asked, consents, category)
            ),
        )

    def standing(self, asked: StandingQuestion) -> Standing:
        def stands(declaration: str) -> bool:
            consent, _ = self.store.load(Consent, declaration)
            release, _ = self.store.load(ReleaseFromSecrecy, declaration)
            return consent.status(self.today) is Status.GIVEN or release.stands(self.today)

        return Standing(fallen=tuple(found for found in asked.ids if not stands(found)))

    def _consents(self, tx: Connection, asked: EvidenceQuestion) -> Iterator[ConsentEvidence]:
        for consent_id in self._ids(tx, "consent", asked.person_id, asked.partner_id):
            consent, _ = self.store.load(Consent, consent_id)
            if consent.terms:
                yield ConsentEvidence(
                    consent_id=consent_id,
                    status=consent.status(self.today),
                    given_on=consent.refused_on or consent.terms.valid_from or self.today,
                    valid_until=consent.terms.valid_until,
                    withdrawn_on=consent.withdrawn_on,
                    form=consent.terms.form,
                    given_by=consent.terms.given_by,
                    categories=consent.terms.categories,
                    purpose=consent.terms.purpose,
                    informed=consent.terms.information.complete,
                    voluntary=consent.terms.voluntary,
                )

    def _last_word_was_no(self, asked: EvidenceQuestion, consents: list[ConsentEvidence], category: str) -> bool:
        """Yes and no in the order in which they were recorded, also within one day."""
        about = [c.consent_id for c in consents if c.purpose == asked.purpose and category in c.categories]
        said = [record for consent_id in about for record in self.store.read(Consent, consent_id)]
        last = max(said, key=lambda record: record.position, default=None)
        return last is not None and not isinstance(last.event, ConsentGiven)

    def _releases(self, tx: Connection, asked: EvidenceQuestion) -> Iterator[ReleaseEvidence]:
        for release_id in self._ids(tx, "release_from_secrecy", asked.person_id, asked.partner_id):
            release, _ = self.store.load(ReleaseFromSecrecy, release_id)
            if release.given:
                yield ReleaseEvidence(
                    release_id=release_id,
                    person_id=release.given.person_id,
                    professional=release.given.professional,
                    given_on=release.given.on,
                    valid_until=release.given.valid_until,
                    withdrawn_on=release.withdrawn_on,
                    form=release.given.form,
                    categories=release.given.categories,
                )

    def _ids(self, tx: Connection, kind: str, person_id: str, recipient: str | None = None) -> list[str]:
        table = will_of_person
        found = select(table.c.id).where(
            table.c.agency == self.store.name, table.c.kind == kind, table.c.person_id == person_id
        )
        if recipient is not None:
            found = found.where(table.c.recipient == recipient)
        return list(tx.execute(found.order_by(table.c.id)).scalars())
