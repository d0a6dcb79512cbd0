"""Consent receipts (Einwilligungsbelege): what a person said, for them to keep, to print, and for programs.

As JSON; as JSON-LD with the words of the W3C Data Privacy Vocabulary (`contracts/interoperability/dpv.yaml`), the
context inside, so that nothing is fetched to read it; and as a page in German. Art. 7 Abs. 1 DSGVO.
"""

from datetime import date
from functools import cache
from pathlib import Path

import yaml
from flask import render_template

from services.gateway.operations import Desk, Resource
from services.gateway.resources.agencies import WhichAgency, agency
from services.gateway.resources.consent_forms import ConsentView, WhichConsent
from services.gateway.resources.consents import consent
from services.gateway.resources.partners import WhichPartner, partner
from shared.canonical import canonical
from shared.domain import Json, value
from shared.errors import NotFound
from shared.law import health_categories
from shared.policy import present_law

WORDS = Path(__file__).resolve().parents[3] / "contracts" / "interoperability" / "dpv.yaml"
SCHEMA = "urn:handschlag:consent-receipt:1"
JSON_LD, HTML = "application/ld+json", "text/html"
WITHDRAWAL, COMPLAINT, CONSENT, EXPLICIT_CONSENT = "A7-3", "A77", "A6-1-a", "A9-2-a"

receipts = Resource("consent receipts", "What a person said about their data, for them to keep.")


@value
class Named:
    """Something by its id, and what it is called in German."""

    id: str
    name: str


@value
class ConsentReceipt:
    """`status` is that of today; the days are those on which it was said."""

    receipt_id: str
    consent_id: str
    person_id: str
    controller: Named
    recipient: Named
    purpose: Named
    categories: tuple[Named, ...]
    special_categories: tuple[str, ...]
    status: str
    given_on: date | None
    refused_on: date | None
    withdrawn_on: date | None
    paused_on: date | None
    ended_on: date | None
    valid_from: date | None
    valid_until: date | None
    uses_left: int | None
    erase_at: date | None
    form: str
    given_by: tuple[str, ...]
    text_version: str
    language: str
    plain_text: str | None
    version: int


def json_ld(receipt: ConsentReceipt) -> str:
    """The receipt as one JSON-LD object."""
    return canonical(_linked(receipt)).decode()


def page(receipt: ConsentReceipt) -> str:
    """The receipt as a page to print."""
    return render_template("consent_receipt.html", receipt=receipt, statuses=STATUSES, forms=FORMS, givers=GIVERS)


@receipts.reads("/consents/<consent_id>/receipt", "consent.receipt", dated=True, forms={JSON_LD: json_ld, HTML: page})
def consent_receipt(desk: Desk, which: WhichConsent) -> ConsentReceipt:
    """Read the receipt of a consent or a refusal, as JSON, JSON-LD or a page."""
    found = consent.run(desk, which)
    return _receipt(desk, found)


STATUSES = {
    "given": "gilt",
    "not_yet": "gilt noch nicht",
    "paused": "ruht",
    "used_up": "aufgebraucht",
    "replaced": "durch eine neue ersetzt",
    "refused": "abgelehnt",
    "withdrawn": "widerrufen",
    "expired": "abgelaufen",
    "unknown": "unbekannt",
}
FORMS = {"written": "schriftlich", "electronic": "elektronisch", "oral_documented": "mündlich, mit Vermerk"}
GIVERS = {
    "data_subject": "Sie selbst",
    "legal_guardian": "gesetzliche Vertretung",
    "entrusting_person": "die Person, die es anvertraut hat",
    "third_party": "die dritte Person, um deren Angaben es geht",
    "authorised_representative": "bevollmächtigte Person",
}


def _receipt(desk: Desk, found: ConsentView) -> ConsentReceipt:
    terms, words = found.terms, present_law().vocabulary
    health = health_categories()
    return ConsentReceipt(
        receipt_id=f"{found.consent_id}.{found.version}",
        consent_id=found.consent_id,
        person_id=terms.person_id,
        controller=_agency(desk),
        recipient=_partner(desk, terms.recipient),
        purpose=Named(id=terms.purpose, name=words.purposes.get(terms.purpose, terms.purpose)),
        categories=tuple(Named(id=each, name=words.categories.get(each, each)) for each in terms.categories),
        special_categories=tuple(each for each in terms.categories if each in health),
        status=found.status,
        given_on=found.given_on,
        refused_on=found.refused_on,
        withdrawn_on=found.withdrawn_on,
        paused_on=found.paused_on,
        ended_on=found.ended_on,
        valid_from=terms.valid_from,
        valid_until=terms.valid_until,
        uses_left=found.uses_left,
        erase_at=terms.use.erase_at if terms.use else None,
        form=terms.form,
        given_by=tuple(terms.given_by),
        text_version=terms.information.text_version,
        language=terms.information.language,
        plain_text=terms.information.plain_text,
        version=found.version,
    )


def _agency(desk: Desk) -> Named:
    try:
        return Named(id=desk.asker.agency, name=agency.run(desk, WhichAgency(agency_id=desk.asker.agency)).name)
    except NotFound:
        return Named(id=desk.asker.agency, name=desk.asker.agency)


def _partner(desk: Desk, partner_id: str) -> Named:
    """A partner that is not registered any more keeps its id."""
    try:
        return Named(id=partner_id, name=partner.run(desk, WhichPartner(partner_id=partner_id)).name)
    except NotFound:
        return Named(id=partner_id, name=partner_id)


@cache
def words() -> Json:
    """The vocabulary of receipts."""
    found: Json = yaml.safe_load(WORDS.read_text("utf-8"))
    return found


def _linked(receipt: ConsentReceipt) -> Json:
    controller, recipient = f"urn:handschlag:agency:{receipt.controller.id}", _partner_id(receipt)
    special = set(receipt.special_categories)
    process: Json = {
        "@type": "dpv:Process",
        "dpv:hasPurpose": [_word("purpose", receipt.purpose, "dpv:Purpose")],
        "dpv:hasPersonalData": [
            _word("category", each, "dpv:SpecialCategoryPersonalData" if each.id in special else "dpv:PersonalData")
            for each in receipt.categories
        ],
        "dpv:hasProcessing": [_means("dpv:Disclose")],
        "dpv:hasDataController": [{"@id": controller}],
        "dpv:hasRecipient": [{"@id": recipient, "@type": "dpv:Recipient", "dpv:hasName": receipt.recipient.name}],
        "dpv:hasLegalBasis": [
            _means(f"eu-gdpr:{each}") for each in (CONSENT, *((EXPLICIT_CONSENT,) if special else ()))
        ],
        "dpv:hasRight": [_means(f"eu-gdpr:{each}") for each in (WITHDRAWAL, COMPLAINT)],
        "dpv:hasConsentStatus": [_means(f"dpv:{words()['statuses'].get(receipt.status, 'ConsentUnknown')}")],
        "handschlag:status": receipt.status,
    }
    valid = {"handschlag:valid_from": receipt.valid_from, "handschlag:valid_until": receipt.valid_until}
    process |= {name: day.isoformat() for name, day in valid.items() if day}
    if receipt.uses_left is not None:
        process["handschlag:uses_left"] = receipt.uses_left
    if receipt.erase_at:
        process["handschlag:erase_at"] = receipt.erase_at.isoformat()
    return {
        "@context": words()["context"],
        "@id": f"urn:handschlag:consent:{receipt.consent_id}",
        "@type": "dpv:ConsentReceipt",
        "dct:conformsTo": SCHEMA,
        "dct:language": "de",
        "dpv:hasIdentifier": receipt.receipt_id,
        "dpv:hasDataSubject": {"@type": "dpv:DataSubject", "dpv:hasIdentifier": receipt.person_id},
        "dpv:hasDataController": [
            {"@id": controller, "@type": "dpv:DataController", "dpv:hasName": receipt.controller.name}
        ],
        "dpv:hasNotice": [_notice(receipt)],
        "dpv:hasProcess": [process],
        "handschlag:events": _events(receipt),
    }


def _partner_id(receipt: ConsentReceipt) -> str:
    return f"urn:handschlag:partner:{receipt.recipient.id}"


def _means(name: str) -> Json:
    return {"@id": name}


def _word(kind: str, word: Named, type_: str) -> Json:
    return {"@id": f"urn:handschlag:{kind}:{word.id}", "@type": type_, "skos:prefLabel": word.name}


def _notice(receipt: ConsentReceipt) -> Json:
    notice: Json = {
        "@type": "dpv:ConsentNotice",
        "dpv:hasIdentifier": receipt.text_version,
        "dct:language": receipt.language,
    }
    if receipt.plain_text:
        notice["handschlag:plain_text"] = receipt.plain_text
    return notice


def _events(receipt: ConsentReceipt) -> list[Json]:
    """What was said, by whom, on which day, in the order of the days."""
    said = [
        ("dpv:ConsentGiven", receipt.given_on),
        ("dpv:ConsentRefused", receipt.refused_on),
        ("handschlag:ConsentPaused", receipt.paused_on),
        ("dpv:ConsentWithdrawn", receipt.withdrawn_on),
    ]
    dated = sorted(((day, kind) for kind, day in said if day), key=lambda each: each[0])
    return [
        {
            "@type": kind,
            "dpv:isIndicatedAtTime": day.isoformat(),
            "dpv:isIndicatedBy": [_means(f"handschlag:{each}") for each in receipt.given_by],
            "dpv:hasIndicationMethod": _means(f"handschlag:{receipt.form}"),
        }
        for day, kind in dated
    ]
