"""Assessments (Gutachten, Einschätzungen) by a versioned instrument."""

from datetime import date

from services.gateway.operations import Desk, Resource
from shared.domain import Personal, value

assessments = Resource("assessments", "Assessments by versioned instruments; item texts are never stored.")


@value
class NewAssessment:
    """`answers`: item key → number as text, or `refused`, `not_known`, `missing`."""

    person_id: str
    instrument: str
    instrument_version: str
    answers: dict[str, str]
    taken_on: date
    assessment_id: str | None = None


@value
class RecordAssessment:
    assessment_id: str
    person_id: str
    instrument: str
    instrument_version: str
    answers: Personal[dict[str, str]]
    taken_on: date


@value
class WhichAssessment:
    assessment_id: str


@value
class AssessmentLook:
    assessment_id: str
    automatic: bool


@value
class AssessmentView:
    """`total` and `band` are null when an item was refused, not known or missing."""

    assessment_id: str
    person_id: str
    instrument: str
    instrument_version: str
    answers: Personal[dict[str, str]]
    total: Personal[int | None]
    band: Personal[str | None]
    safety_concern: Personal[bool]
    taken_on: date
    version: int


@assessments.reads("/assessments/<assessment_id>", "health.assessment", dated=True)
def assessment(desk: Desk, which: WhichAssessment) -> AssessmentView:
    """Read an assessment. The look stands in the person's ledger."""
    question = AssessmentLook(assessment_id=which.assessment_id, automatic=desk.asker.machine)
    return desk.ask("health", "assessment", question, AssessmentView)


@assessments.changes("POST", "/assessments", "health.record_assessment", shows=assessment, personal=("answers",))
def record_assessment(desk: Desk, new: NewAssessment) -> WhichAssessment:
    """Record an assessment."""
    assessment_id = desk.new_id(new.assessment_id, "assessment_id")
    command = RecordAssessment(
        assessment_id=assessment_id,
        person_id=new.person_id,
        instrument=new.instrument,
        instrument_version=new.instrument_version,
        answers=new.answers,
        taken_on=new.taken_on,
    )
    desk.tell("health", "record_assessment", command)
    return WhichAssessment(assessment_id=assessment_id)
