"""A sheet: one purpose, several recipients and categories, each cell a yes or a no with an id of its own."""

from dataclasses import replace

import pytest

from services.consent.domain.terms import Cell, Form, Giver, Sheet
from services.consent.queries import ConsentList, ConsentsQuestion, SheetView
from shared.errors import Invalid, Refused
from tests.support.workplace import INFORMED, REFERRAL, Workplace, fresh

COACHING, LOG = "coaching_content", "contact_log"


def sheet(*cells: tuple[str, str, bool]) -> Sheet:
    return Sheet(
        person_id="p-1",
        purpose=REFERRAL,
        form=Form.WRITTEN,
        given_by=(Giver.DATA_SUBJECT,),
        information=INFORMED,
        voluntary=True,
        cells=tuple(Cell(consent_id=fresh("cell"), recipient=to, category=name, yes=yes) for to, name, yes in cells),
    )


def consents(at: Workplace) -> ConsentList:
    return at.ask("consent", "consents", ConsentsQuestion(person_id="p-1"), ConsentList)


def test_each_cell_becomes_a_yes_or_a_no_of_its_own(jobcenter: Workplace) -> None:
    wanted = sheet(("drv", COACHING, True), ("drv", LOG, False), ("kk", COACHING, True))
    told = jobcenter.ask("consent", "record_sheet", wanted, SheetView)
    assert [(i.terms.recipient, i.terms.categories, i.status.value) for i in told.items] == [
        ("drv", (COACHING,), "given"),
        ("drv", (LOG,), "refused"),
        ("kk", (COACHING,), "given"),
    ]
    assert len({item.consent_id for item in told.items}) == 3


def test_one_cell_is_withdrawn_and_the_others_stand(jobcenter: Workplace) -> None:
    wanted = sheet(("drv", COACHING, True), ("kk", COACHING, True))
    jobcenter.ask("consent", "record_sheet", wanted, SheetView)
    jobcenter.withdraw(wanted.cells[0].consent_id)
    assert sorted(item.status.value for item in consents(jobcenter).items) == ["given", "withdrawn"]


def test_the_same_sheet_again_changes_nothing(jobcenter: Workplace) -> None:
    wanted = sheet(("drv", COACHING, True), ("drv", LOG, False))
    told = [jobcenter.ask("consent", "record_sheet", wanted, SheetView, command_id="once") for _ in range(2)]
    assert told[0] == told[1]


def test_a_sheet_with_one_cell_that_cannot_be_leaves_nothing_behind(jobcenter: Workplace) -> None:
    good = sheet(("drv", COACHING, True))
    jobcenter.ask("consent", "record_sheet", good, SheetView)
    taken = replace(sheet(("kk", LOG, True)), cells=(*sheet(("kk", LOG, True)).cells, good.cells[0]))
    with pytest.raises(Refused):
        jobcenter.ask("consent", "record_sheet", taken, SheetView)
    assert len(consents(jobcenter).items) == 1


@pytest.mark.parametrize(
    ("wanted", "code", "pointer"),
    [
        (sheet(), "consent.invalid", "/cells"),
        (sheet(("drv", COACHING, True), ("any", COACHING, True)), "consent.blanket", "/cells/1/recipient"),
        (sheet(("drv", "any", True)), "consent.blanket", "/cells/0/category"),
    ],
)
def test_a_faulty_sheet_is_refused_by_the_faulty_place(
    jobcenter: Workplace, wanted: Sheet, code: str, pointer: str
) -> None:
    with pytest.raises(Invalid) as refused:
        jobcenter.ask("consent", "record_sheet", wanted, SheetView)
    assert (refused.value.code, refused.value.problems[0].pointer) == (code, pointer)
