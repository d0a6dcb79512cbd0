"""Cases (Fälle), each with exactly one main companion."""

from datetime import date

from services.gateway.operations import Desk, Resource, require_limit
from shared.domain import value

cases = Resource("cases", "Cases and their main companions.")


@value
class NewCase:
    person_id: str
    main_companion: str
    case_id: str | None = None


@value
class OpenCase:
    case_id: str
    person_id: str
    main_companion: str


@value
class WhichCase:
    case_id: str


@value
class CaseLook:
    case_id: str
    automatic: bool


@value
class CaseView:
    case_id: str
    person_id: str
    main_companion: str
    opened_on: date
    handovers: int
    safety_checks_due: tuple[str, ...]
    version: int
    closed_on: date | None = None


@value
class CasesQuestion:
    person_id: str | None = None
    main_companion: str | None = None
    after: str = ""
    limit: int = 50


@value
class CaseItem:
    case_id: str
    person_id: str
    main_companion: str


@value
class CasePage:
    items: tuple[CaseItem, ...]
    next: str | None


@value
class NewMainCompanion:
    case_id: str
    main_companion: str
    reason: str


@value
class HandOverCase:
    case_id: str
    main_companion: str
    reason: str
    expected_version: int | None


@cases.reads("/cases/<case_id>", "cases.case")
def case(desk: Desk, which: WhichCase) -> CaseView:
    """Read a case."""
    return desk.ask("cases", "case", CaseLook(case_id=which.case_id, automatic=desk.asker.machine), CaseView)


@cases.reads("/cases", "cases.cases")
def list_cases(desk: Desk, asked: CasesQuestion) -> CasePage:
    """List cases, of one person or one main companion when named."""
    require_limit(asked.limit)
    return desk.ask("cases", "cases", asked, CasePage)


@cases.changes("POST", "/cases", "cases.open_case", shows=case)
def open_case(desk: Desk, new: NewCase) -> WhichCase:
    """Open a case for a person."""
    case_id = desk.new_id(new.case_id, "case_id")
    command = OpenCase(case_id=case_id, person_id=new.person_id, main_companion=new.main_companion)
    desk.tell("cases", "open_case", command)
    return WhichCase(case_id=case_id)


@cases.changes("PUT", "/cases/<case_id>/main-companion", "cases.hand_over_case", shows=case, status=200)
def hand_over_case(desk: Desk, wanted: NewMainCompanion) -> WhichCase:
    """Hand the case over to another main companion."""
    command = HandOverCase(
        case_id=wanted.case_id,
        main_companion=wanted.main_companion,
        reason=wanted.reason,
        expected_version=desk.seen_version,
    )
    desk.tell("cases", "hand_over_case", command)
    return WhichCase(case_id=wanted.case_id)


@cases.changes("POST", "/cases/<case_id>/closing", "cases.close_case", shows=case, status=200)
def close_case(desk: Desk, which: WhichCase) -> WhichCase:
    """Close the case: the work with the person is over, and the files are kept for their period."""
    desk.tell("cases", "close_case", which)
    return which


@cases.changes("POST", "/cases/<case_id>/safety-check", "cases.confirm_safety_check", shows=case, status=200)
def confirm_safety_check(desk: Desk, which: WhichCase) -> WhichCase:
    """Confirm that the main companion has looked after the person's safety."""
    desk.tell("cases", "confirm_safety_check", which)
    return which
