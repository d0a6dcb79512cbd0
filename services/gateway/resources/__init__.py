"""What can be asked over HTTP and AMQP: one module per noun."""

from collections.abc import Mapping

from services.gateway.operations import Operation
from services.gateway.resources.agencies import agencies
from services.gateway.resources.assessments import assessments
from services.gateway.resources.cases import cases
from services.gateway.resources.consent_offers import offers
from services.gateway.resources.consent_receipts import receipts
from services.gateway.resources.consent_sheets import sheets
from services.gateway.resources.consents import consents
from services.gateway.resources.copies import copies
from services.gateway.resources.directory import directory
from services.gateway.resources.disclosures import disclosures
from services.gateway.resources.entries import entries
from services.gateway.resources.erasures import erasures
from services.gateway.resources.feed import feed
from services.gateway.resources.govstack import govstack
from services.gateway.resources.keys import keys
from services.gateway.resources.ledger import ledger
from services.gateway.resources.log import log
from services.gateway.resources.objections import objections
from services.gateway.resources.partners import partners
from services.gateway.resources.persons import persons
from services.gateway.resources.registers import registers
from services.gateway.resources.releases import releases
from services.gateway.resources.representations import representations
from services.gateway.resources.rights import rights
from services.gateway.resources.withdrawals import withdrawals
from services.gateway.resources.words import words

RESOURCES = (
    agencies,
    partners,
    directory,
    persons,
    cases,
    entries,
    consents,
    offers,
    sheets,
    receipts,
    releases,
    representations,
    withdrawals,
    objections,
    assessments,
    disclosures,
    feed,
    rights,
    copies,
    erasures,
    ledger,
    registers,
    log,
    words,
    keys,
    govstack,
)

OPERATIONS: Mapping[str, Operation] = {
    operation.name: operation for resource in RESOURCES for operation in resource.operations
}
"""Every operation by its name, which is also the type of an AMQP message."""
