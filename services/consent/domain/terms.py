"""Terms (Inhalt der Einwilligung): who may receive what for which purpose, who said so, in which form, knowing what.

§ 67b Abs. 2 SGB X: specific, informed, in a form that can be proven. An offer has the same content before anybody
answered it.
"""

from datetime import date
from enum import StrEnum
from typing import TypeAlias

from services.consent.domain.use_limit import UseLimit
from shared.domain import value

Fault: TypeAlias = tuple[str, str, str, str]
"""Code, JSON pointer, what is wrong, what would be right."""


class Form(StrEnum):
    WRITTEN = "written"
    ELECTRONIC = "electronic"
    ORAL_DOCUMENTED = "oral_documented"


class Giver(StrEnum):
    """Several may have to give it together: under 15 and able to understand, the person and a guardian."""

    DATA_SUBJECT = "data_subject"
    LEGAL_GUARDIAN = "legal_guardian"
    ENTRUSTING_PERSON = "entrusting_person"
    THIRD_PARTY = "third_party"
    AUTHORISED_REPRESENTATIVE = "authorised_representative"


FOR_ANOTHER = frozenset({Giver.LEGAL_GUARDIAN, Giver.AUTHORISED_REPRESENTATIVE})
"""Givers who speak for the person: only within a representation on record."""


@value
class Information:
    """What was explained beforehand (§ 67b Abs. 2 Satz 3 SGB X); without all of it there is no valid consent.

    `plain_text` is the id of the text in plain language that lay beside the text of `text_version`.
    """

    text_version: str
    language: str
    purpose: bool
    consequences_of_refusal: bool
    right_to_withdraw: bool
    recipient: bool = True
    categories: bool = True
    plain_text: str | None = None

    @property
    def complete(self) -> bool:
        told = (self.purpose, self.recipient, self.categories, self.consequences_of_refusal, self.right_to_withdraw)
        return all(told)


@value
class Proof:
    """What shows later that it was so: the id of the signed sheet or of the record, who explained it, and when."""

    document: str | None = None
    explained_by: str | None = None
    explained_on: date | None = None


@value
class Terms:
    """`recipient` is a partner's id.

    `valid_from` is the first day, without one that on which it is given; `valid_until` is the last day. A consent that
    was not given freely is recorded as it was said (`voluntary`), and opens nothing.
    `representation_id` names the representation within which somebody speaks for the person; `giver_id` the other
    person whose data these are, or who entrusted them.
    """

    person_id: str
    recipient: str
    purpose: str
    categories: tuple[str, ...]
    form: Form
    given_by: tuple[Giver, ...]
    information: Information
    voluntary: bool
    valid_from: date | None = None
    valid_until: date | None = None
    use: UseLimit | None = None
    representation_id: str | None = None
    giver_id: str | None = None
    proof: Proof | None = None

    def faults(self, today: date) -> list[Fault]:
        """Why no consent can come of it, by field; empty when one can."""
        return [
            *dates_faults(self.valid_from, self.valid_until, today, "/terms"),
            *content_faults(self.categories, self.information, self.use, "/terms"),
            *self._giver_faults(today),
        ]

    def _giver_faults(self, today: date) -> list[Fault]:
        found: list[Fault] = []
        if not self.given_by:
            remedy = "name who gives the consent"
            found.append(("consent.wrong_giver", "/terms/given_by", "nobody is named who gives it", remedy))
        if FOR_ANOTHER & set(self.given_by) and not self.representation_id:
            detail, remedy = "who speaks for another needs a representation on record", "record it, then name it here"
            found.append(("consent.not_represented", "/terms/representation_id", detail, remedy))
        if self.proof and self.proof.explained_on and self.proof.explained_on > today:
            remedy = "name a day until today"
            found.append(("consent.invalid", "/terms/proof/explained_on", "explained after it was given", remedy))
        return found


@value
class Offer:
    """What the person is asked, with everything that has to be told before; answered until `answer_by` or lapsed."""

    person_id: str
    recipient: str
    purpose: str
    categories: tuple[str, ...]
    information: Information
    answer_by: date
    valid_from: date | None = None
    valid_until: date | None = None
    use: UseLimit | None = None

    def faults(self, today: date) -> list[Fault]:
        found = dates_faults(self.valid_from, self.valid_until, today, "/offer")
        if self.answer_by < today:
            remedy = "leave time to think it over"
            found.append(("consent.invalid", "/offer/answer_by", "the time to answer is over", remedy))
        return [*found, *content_faults(self.categories, self.information, self.use, "/offer")]

    def terms(self, answer: "Answer") -> Terms:
        """What was offered, in the mouth of who answered."""
        return Terms(
            person_id=self.person_id,
            recipient=self.recipient,
            purpose=self.purpose,
            categories=self.categories,
            form=answer.form,
            given_by=answer.given_by,
            information=self.information,
            voluntary=answer.voluntary,
            valid_from=self.valid_from,
            valid_until=self.valid_until,
            use=self.use,
            representation_id=answer.representation_id,
            giver_id=answer.giver_id,
            proof=answer.proof,
        )


@value
class Answer:
    """Who answers an offer, and how."""

    form: Form
    given_by: tuple[Giver, ...]
    voluntary: bool
    representation_id: str | None = None
    giver_id: str | None = None
    proof: Proof | None = None


@value
class Cell:
    """One field of a sheet: a yes or a no for one recipient and one category, with an id of its own."""

    consent_id: str
    recipient: str
    category: str
    yes: bool


@value
class Sheet:
    """One purpose, several recipients and categories, explained and signed together, answered each by itself."""

    person_id: str
    purpose: str
    form: Form
    given_by: tuple[Giver, ...]
    information: Information
    voluntary: bool
    cells: tuple[Cell, ...]
    valid_from: date | None = None
    valid_until: date | None = None
    use: UseLimit | None = None
    representation_id: str | None = None
    giver_id: str | None = None
    proof: Proof | None = None

    def terms(self, cell: Cell) -> Terms:
        return Terms(
            person_id=self.person_id,
            recipient=cell.recipient,
            purpose=self.purpose,
            categories=(cell.category,),
            form=self.form,
            given_by=self.given_by,
            information=self.information,
            voluntary=self.voluntary,
            valid_from=self.valid_from,
            valid_until=self.valid_until,
            use=self.use,
            representation_id=self.representation_id,
            giver_id=self.giver_id,
            proof=self.proof,
        )


def dates_faults(first: date | None, last: date | None, today: date, at: str) -> list[Fault]:
    found: list[Fault] = []
    begins = first or today
    if last and last < begins:
        detail, remedy = "the consent ends before it begins", "choose a last day on or after the first day"
        found.append(("consent.ends_before_it_begins", f"{at}/valid_until", detail, remedy))
    if begins < today:
        detail, remedy = "a consent does not reach back", "choose today or a later day"
        found.append(("consent.reaches_back", f"{at}/valid_from", detail, remedy))
    return found


def content_faults(categories: tuple[str, ...], told: Information, use: UseLimit | None, at: str) -> list[Fault]:
    found: list[Fault] = []
    if not categories:
        remedy = "name each category of data"
        found.append(("consent.invalid", f"{at}/categories", "no category is named", remedy))
    if not told.complete:
        detail = "purpose, recipient, categories, consequences of a refusal and the right to withdraw were not all told"
        remedy = "explain all of it first, then ask"
        found.append(("consent.not_informed", f"{at}/information", detail, remedy))
    faults = use.faults() if use else []
    return [*found, *(("consent.invalid", f"{at}/use{place}", detail, remedy) for place, detail, remedy in faults)]
