"""Use cases of case management: a command in, a receipt out."""

from datetime import date

from services.cases.domain.case import Case, CaseEvent, CloseCase, ConfirmSafetyCheck, HandOverCase, OpenCase
from services.cases.domain.file_entry import FileEntry, RecordEntry
from services.cases.domain.person import LiftRestriction, Person, RegisterPerson
from shared.domain import Receipt
from shared.errors import Conflict, Invalid, NotFound
from shared.eventstore import AgencyStore
from shared.law import health_categories, is_category


def register_person(command: RegisterPerson, store: AgencyStore, *, command_id: str) -> Receipt:
    return store.create(Person, command.person_id, lambda person: person.register(command), command_id=command_id)


def lift_restriction(command: LiftRestriction, store: AgencyStore, today: date, *, command_id: str) -> Receipt:
    return store.change(
        Person, command.person_id, lambda person: person.lift_restriction(command, today), command_id=command_id
    )


def open_case(command: OpenCase, store: AgencyStore, today: date, *, command_id: str) -> Receipt:
    """A case is about a person whom this agency knows."""
    require_person(store, command.person_id)
    return store.create(Case, command.case_id, lambda case: case.open(command, today), command_id=command_id)


def hand_over_case(command: HandOverCase, store: AgencyStore, today: date, *, command_id: str) -> Receipt:
    """Refused with `Conflict` when the case has moved on since the asker read it; the same command again is not."""

    def decide(case: Case) -> list[CaseEvent]:
        _, version = store.load(Case, command.case_id)
        if command.expected_version not in (None, version):
            raise Conflict("case.changed", "the case was changed meanwhile", "read it again, then repeat")
        return case.hand_over(command.main_companion, command.reason, today)

    return store.change(Case, command.case_id, decide, command_id=command_id)


def close_case(command: CloseCase, store: AgencyStore, actor: str, today: date, *, command_id: str) -> Receipt:
    """Refused while a safety check is due; closing it again changes nothing."""
    return store.change(Case, command.case_id, lambda case: case.close(actor, today), command_id=command_id)


def record_entry(command: RecordEntry, store: AgencyStore, today: date, *, command_id: str) -> Receipt:
    if not is_category(command.category) or command.category in health_categories():
        fault = ("/category", "not a category of the case file", "see the categories at /v1/vocabulary")
        raise Invalid("entry.invalid", fault[1], fault[2], [fault])
    require_person(store, command.person_id)
    return store.create(FileEntry, command.entry_id, lambda entry: entry.record(command, today), command_id=command_id)


def require_person(store: AgencyStore, person_id: str) -> None:
    person, _ = store.load(Person, person_id)
    if not person.registered:
        fault = ("/person_id", "this agency knows no such person", "register the person first")
        raise NotFound("person.unknown", fault[1], fault[2], [fault])


def confirm_safety_check(
    command: ConfirmSafetyCheck, store: AgencyStore, actor: str, today: date, *, command_id: str
) -> Receipt:
    return store.change(
        Case,
        command.case_id,
        lambda case: case.confirm_safety_check(actor, today),
        command_id=command_id,
    )


def note_safety_concern(
    case_ids: list[str], assessment_id: str, store: AgencyStore, today: date, *, command_id: str
) -> None:
    """Every case of the person is told, a closed one as well; the same message again changes nothing."""
    for case_id in case_ids:
        store.change(
            Case,
            case_id,
            lambda case: case.note_safety_concern(assessment_id, today),
            command_id=command_id,
        )
