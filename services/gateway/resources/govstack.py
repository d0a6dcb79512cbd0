"""The GovStack consent building block (1.1.0-rc1), as far as it is lawful here: contracts/interoperability/govstack.md.

A data agreement is what one person was asked, its id that of the offer or the consent: nobody agrees to what was not
explained to them before (§ 67b Abs. 2 Satz 3 SGB X). What the person says goes through the same operations as
everywhere else. Fields are named as there.
"""
# ruff: noqa: N815 - the names are those of the other standard

import hashlib
from datetime import date

from services.gateway.operations import Desk, Resource
from services.gateway.resources.agencies import WhichAgency, agency
from services.gateway.resources.consent_forms import ConsentView, OfferView, WhichConsent
from services.gateway.resources.consent_offers import AnsweredOffer, accept_offer, decline_offer, offer
from services.gateway.resources.consents import ConsentsQuestion, consent, list_consents, resume_consent
from services.gateway.resources.withdrawals import withdraw_consent
from services.gateway.resources.words import Everything
from shared.canonical import canonical
from shared.domain import value
from shared.errors import NotFound
from shared.policy import present_law
from shared.schema import dump

govstack = Resource("govstack", "Consents in the words of the GovStack building block, where that is lawful.")

SIGNED, UNSIGNED = "signed", "unsigned"
STANDS = ("given", "not_yet", "paused", "used_up")


@value
class Individual:
    id: str


@value
class Controller:
    id: str
    name: str
    url: str


@value
class Policy:
    """The law as it is loaded; `version` is its hash."""

    id: str
    name: str
    version: str
    url: str
    jurisdiction: str


@value
class DataAgreementAttribute:
    id: str
    name: str
    category: str
    sensitivity: str


@value
class DataAgreement:
    """`active`: the person may still answer. Consents are kept as proof (Art. 7 Abs. 1 DSGVO): never `forgettable`."""

    id: str
    version: str
    controller: Controller
    policy: Policy
    purpose: str
    lawfulBasis: str
    dataUse: str
    dpia: str
    active: bool
    forgettable: bool
    attributes: tuple[DataAgreementAttribute, ...]


@value
class Revision:
    """`serializedHash` is SHA-256 of the snapshot, in hex."""

    id: str
    schemaName: str
    objectId: str
    signedWithoutObjectId: bool
    serializedSnapshot: str
    serializedHash: str
    timestamp: str


@value
class ConsentRecord:
    """`optIn`: what the person said last; a no, a withdrawal and a pause are all false."""

    id: str
    dataAgreement: str
    dataAgreementRevisionHash: str
    individual: Individual
    optIn: bool
    state: str


@value
class Policies:
    policies: tuple[Policy, ...]


@value
class WhichPolicy:
    policyId: str


@value
class PolicyAndRevision:
    policy: Policy
    revision: Revision


@value
class WhichAgreement:
    dataAgreementId: str


@value
class AgreementAndRevision:
    dataAgreement: DataAgreement
    revision: Revision


@value
class RecordsQuestion:
    """A citizen may leave the individual out."""

    individualId: str | None = None


@value
class WhichRecord:
    consentRecordId: str


@value
class UpdatedRecord:
    """Only `optIn` can be changed: true answers an offer with yes or ends a pause, false refuses or withdraws."""

    consentRecordId: str
    optIn: bool


@value
class Record:
    consentRecord: ConsentRecord


@value
class RecordAndRevision:
    consentRecord: ConsentRecord
    revision: Revision


@value
class Records:
    consentRecords: tuple[ConsentRecord, ...]


@govstack.reads("/govstack/config/policies/", "govstack.policies")
def policies(desk: Desk, asked: Everything) -> Policies:
    """configPolicyList: the law that is in force."""
    del desk, asked
    return Policies(policies=(_law(),))


@govstack.reads("/govstack/service/policy/<policyId>/", "govstack.policy")
def policy(desk: Desk, which: WhichPolicy) -> PolicyAndRevision:
    """servicePolicyRead, configPolicyRead: the law that is in force."""
    del desk
    known = _law()
    if which.policyId != known.id:
        raise NotFound("request.no_such_place")
    return PolicyAndRevision(policy=known, revision=_revision("Policy", known.id, known, ""))


@govstack.reads("/govstack/service/data-agreement/<dataAgreementId>/", "govstack.data_agreement")
def data_agreement(desk: Desk, which: WhichAgreement) -> AgreementAndRevision:
    """serviceDataAgreementRead, configDataAgreementRead: what a person is or was asked."""
    made, said_on = _agreement(desk, which.dataAgreementId)
    return AgreementAndRevision(dataAgreement=made, revision=_revision("DataAgreement", made.id, made, said_on))


@govstack.reads("/govstack/service/individual/record/consent-record/draft/<dataAgreementId>/", "govstack.draft_record")
def draft_record(desk: Desk, which: WhichAgreement) -> Record:
    """serviceIndividualConsentRecordDraftCreate: the record that an answer would make; nothing is stored."""
    asked = offer.run(desk, WhichConsent(consent_id=which.dataAgreementId))
    return Record(consentRecord=_draft(desk, asked))


@govstack.reads("/govstack/service/individual/record/consent-record/", "govstack.records")
def records(desk: Desk, asked: RecordsQuestion) -> Records:
    """serviceIndividualConsentRecordList: what a person allowed, refused and took back."""
    found = list_consents.run(desk, ConsentsQuestion(person_id=asked.individualId))
    return Records(consentRecords=tuple(_record(desk, each) for each in found.items))


@govstack.reads("/govstack/service/individual/record/data-agreement/<dataAgreementId>/", "govstack.record_of_agreement")
def record_of_agreement(desk: Desk, which: WhichAgreement) -> Record:
    """serviceIndividualConsentRecordRead: the answer to what was asked."""
    return Record(consentRecord=_record(desk, consent.run(desk, WhichConsent(consent_id=which.dataAgreementId))))


@govstack.reads(
    "/govstack/service/individual/record/data-agreement/<dataAgreementId>/all/", "govstack.records_of_agreement"
)
def records_of_agreement(desk: Desk, which: WhichAgreement) -> Records:
    """serviceIndividualDataAgreementConsentRecordList: one at most, since each agreement is with one person."""
    return Records(consentRecords=(record_of_agreement.run(desk, which).consentRecord,))


@govstack.reads("/govstack/service/verification/consent-record/<consentRecordId>/", "govstack.verified_record")
def verified_record(desk: Desk, which: WhichRecord) -> RecordAndRevision:
    """serviceVerificationConsentRecordRead: whether a consent stands, for the agency that relies on it."""
    return _with_revision(desk, which.consentRecordId)


@govstack.changes(
    "POST", "/govstack/service/individual/record/data-agreement/<dataAgreementId>/", "govstack.create_record"
)
def create_record(desk: Desk, which: WhichAgreement) -> RecordAndRevision:
    """serviceIndividualConsentRecordCreate: the person says yes to what was offered."""
    accept_offer.run(desk, AnsweredOffer(consent_id=which.dataAgreementId))
    return _with_revision(desk, which.dataAgreementId)


@govstack.changes(
    "PUT",
    "/govstack/service/individual/record/consent-record/<consentRecordId>/",
    "govstack.update_record",
    status=200,
    guarded=False,
)
def update_record(desk: Desk, said: UpdatedRecord) -> RecordAndRevision:
    """serviceIndividualConsentRecordUpdate: yes or no to an offer, withdrawal, end of a pause; without If-Match."""
    which = WhichConsent(consent_id=said.consentRecordId)
    try:
        consent.run(desk, which)
    except NotFound:
        answer = accept_offer if said.optIn else decline_offer
        answer.run(desk, AnsweredOffer(consent_id=said.consentRecordId))
    else:
        (resume_consent if said.optIn else withdraw_consent).run(desk, which)
    return _with_revision(desk, said.consentRecordId)


def _with_revision(desk: Desk, consent_id: str) -> RecordAndRevision:
    found = consent.run(desk, WhichConsent(consent_id=consent_id))
    made = _record(desk, found)
    days = [day for day in (found.given_on, found.refused_on, found.withdrawn_on, found.paused_on) if day]
    revision = _revision("ConsentRecord", made.id, made, _day(max(days, default=None)), found.version)
    return RecordAndRevision(consentRecord=made, revision=revision)


def _record(desk: Desk, found: ConsentView) -> ConsentRecord:
    made = _of_consent(desk, found)
    return ConsentRecord(
        id=found.consent_id,
        dataAgreement=found.consent_id,
        dataAgreementRevisionHash=_hash(made),
        individual=Individual(id=found.terms.person_id),
        optIn=found.status in STANDS and found.status != "paused",
        state=SIGNED,
    )


def _draft(desk: Desk, asked: OfferView) -> ConsentRecord:
    return ConsentRecord(
        id="",
        dataAgreement=asked.consent_id,
        dataAgreementRevisionHash=_hash(_of_offer(desk, asked)),
        individual=Individual(id=asked.offer.person_id),
        optIn=False,
        state=UNSIGNED,
    )


def _agreement(desk: Desk, agreement_id: str) -> tuple[DataAgreement, str]:
    which = WhichConsent(consent_id=agreement_id)
    try:
        asked = offer.run(desk, which)
    except NotFound:
        found = consent.run(desk, which)
        return _of_consent(desk, found), _day(found.given_on or found.refused_on)
    return _of_offer(desk, asked), _day(asked.offered_on)


def _of_offer(desk: Desk, asked: OfferView) -> DataAgreement:
    said = asked.offer
    version, open_ = said.information.text_version, asked.status == "offered"
    return _made(desk, asked.consent_id, version, said.purpose, said.categories, open_=open_)


def _of_consent(desk: Desk, found: ConsentView) -> DataAgreement:
    terms = found.terms
    version = terms.information.text_version
    return _made(desk, found.consent_id, version, terms.purpose, terms.categories, open_=False)


def _made(
    desk: Desk, agreement_id: str, version: str, purpose: str, categories: tuple[str, ...], *, open_: bool
) -> DataAgreement:
    words = present_law().vocabulary
    special = words.category_groups["health_categories"]
    return DataAgreement(
        id=agreement_id,
        version=version,
        controller=_controller(desk),
        policy=_law(),
        purpose=words.purposes.get(purpose, purpose),
        lawfulBasis="consent",
        dataUse="data_source",
        dpia="/v1/registers/impact",
        active=open_,
        forgettable=False,
        attributes=tuple(
            DataAgreementAttribute(
                id=each,
                name=words.categories.get(each, each),
                category=each,
                sensitivity="special category (Art. 9 DSGVO)" if each in special else "social data (§ 67 SGB X)",
            )
            for each in categories
        ),
    )


def _controller(desk: Desk) -> Controller:
    agency_id = desk.asker.agency
    try:
        name = agency.run(desk, WhichAgency(agency_id=agency_id)).name
    except NotFound:
        name = agency_id
    return Controller(id=agency_id, name=name, url="/")


def _law() -> Policy:
    law = present_law()
    return Policy(id=law.hash, name="Regelwerk der Datenweitergabe", version=law.hash, url="/law", jurisdiction="DE")


def _revision(schema: str, object_id: str, made: object, timestamp: str, version: int = 1) -> Revision:
    snapshot = canonical({"objectData": dump(made), "schemaName": schema, "objectId": object_id})
    return Revision(
        id=f"{object_id}.{version}",
        schemaName=schema,
        objectId=object_id,
        signedWithoutObjectId=False,
        serializedSnapshot=snapshot.decode(),
        serializedHash=hashlib.sha256(snapshot).hexdigest(),
        timestamp=timestamp,
    )


def _hash(made: DataAgreement) -> str:
    return _revision("DataAgreement", made.id, made, "").serializedHash


def _day(day: date | None) -> str:
    return day.isoformat() if day else ""
