"""Use cases of health: a command in, a receipt out."""

from datetime import date

from services.health.domain.assessment import Assessment, RecordAssessment
from services.health.domain.finding import Finding, RecordFinding
from services.health.instruments import instrument
from shared.domain import Receipt
from shared.errors import Invalid
from shared.eventstore import AgencyStore
from shared.law import health_categories


def record_assessment(command: RecordAssessment, store: AgencyStore, today: date, *, command_id: str) -> Receipt:
    used = instrument(command.instrument, command.instrument_version)
    return store.change(
        Assessment,
        command.assessment_id,
        lambda assessment: assessment.record(command, used, today),
        command_id=command_id,
    )


def record_finding(command: RecordFinding, store: AgencyStore, today: date, *, command_id: str) -> Receipt:
    if command.category not in health_categories():
        fault = ("/category", "not a category of health data", "see the categories at /v1/vocabulary")
        raise Invalid("finding.invalid", fault[1], fault[2], [fault])
    return store.change(
        Finding, command.finding_id, lambda finding: finding.record(command, today), command_id=command_id
    )
