"""Use cases of health: a command in, a receipt out."""

from datetime import date

from services.health.copies import CorrectRecord
from services.health.domain.assessment import Assessment, AssessmentContested, RecordAssessment
from services.health.domain.finding import Finding, FindingContested, FindingRectified, RecordFinding
from services.health.instruments import instrument
from shared.domain import Receipt
from shared.errors import Invalid, Refused
from shared.eventstore import AgencyStore
from shared.law import health_categories


def record_assessment(command: RecordAssessment, store: AgencyStore, today: date, *, command_id: str) -> Receipt:
    used = instrument(command.instrument, command.instrument_version)
    return store.create(
        Assessment,
        command.assessment_id,
        lambda assessment: assessment.record(command, used, today),
        command_id=command_id,
    )


def record_finding(command: RecordFinding, store: AgencyStore, today: date, *, command_id: str) -> Receipt:
    if command.category not in health_categories():
        fault = ("/category", "not a category of health data", "see the categories at /v1/vocabulary")
        raise Invalid("finding.invalid", fault[1], fault[2], [fault])
    return store.create(
        Finding, command.finding_id, lambda finding: finding.record(command, today), command_id=command_id
    )


def correct_record(command: CorrectRecord, store: AgencyStore, today: date, *, command_id: str) -> Receipt:
    """Rectify a finding, or mark it as contested; an assessment can only be contested, its scores are as they were."""
    kind, _, record_id = command.record.partition(":")
    about = {"person_id": command.person_id, "request_id": command.request_id}
    if kind == "finding":
        category = store.load(Finding, record_id)[0].of(command.person_id).category
        change = (
            FindingContested(**about, category=category, note=command.note or "", on=today)
            if command.content is None
            else FindingRectified(**about, category=category, content=command.content, on=today)
        )
        return store.change(Finding, record_id, lambda finding: finding.correct(change), command_id=command_id)
    if command.content is not None:
        remedy = "mark it as contested, and record a new assessment"
        raise Refused("assessment.not_rewritten", "scores are not rewritten", remedy)
    contested = AssessmentContested(**about, note=command.note or "", on=today)
    return store.change(Assessment, record_id, lambda assessment: assessment.contest(contested), command_id=command_id)
