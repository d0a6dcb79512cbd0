"""Use cases of data protection: a command in, a receipt out."""

from collections.abc import Callable, Sequence
from datetime import date

from services.consent.domain.consent import Consent, GiveConsent, RefuseConsent, Terms, WithdrawConsent
from services.consent.domain.objection import Objection, ObjectionEvent
from services.consent.domain.release_from_secrecy import GiveRelease, ReleaseFromSecrecy, WithdrawRelease
from shared.domain import Receipt
from shared.errors import Invalid
from shared.eventstore import AgencyStore
from shared.law import VOCABULARY_PAGE, is_category
from shared.policy import present_law


def give_consent(command: GiveConsent, store: AgencyStore, today: date, *, command_id: str) -> Receipt:
    _check_words(command.terms)
    return store.change(Consent, command.consent_id, lambda c: c.give(command.terms, today), command_id=command_id)


def refuse_consent(command: RefuseConsent, store: AgencyStore, today: date, *, command_id: str) -> Receipt:
    _check_words(command.terms)
    return store.change(Consent, command.consent_id, lambda c: c.refuse(command.terms, today), command_id=command_id)


def withdraw_consent(command: WithdrawConsent, store: AgencyStore, today: date, *, command_id: str) -> Receipt:
    """Harmless for a consent that never was, is refused, or was withdrawn before."""
    return store.change(Consent, command.consent_id, lambda c: c.withdraw(today), command_id=command_id)


def give_release(command: GiveRelease, store: AgencyStore, today: date, *, command_id: str) -> Receipt:
    _refuse("release.invalid", _unknown_categories(command.categories, "/categories"))
    return store.change(ReleaseFromSecrecy, command.release_id, lambda r: r.give(command, today), command_id=command_id)


def withdraw_release(command: WithdrawRelease, store: AgencyStore, today: date, *, command_id: str) -> Receipt:
    return store.change(ReleaseFromSecrecy, command.release_id, lambda r: r.withdraw(today), command_id=command_id)


def change_objection(
    person_id: str,
    decide: Callable[[Objection], Sequence[ObjectionEvent]],
    store: AgencyStore,
    *,
    command_id: str,
) -> Receipt:
    return store.change(Objection, person_id, decide, command_id=command_id)


def _check_words(terms: Terms) -> None:
    """Raises `Invalid` for a word that the law does not know: whoever says yes or no to it says nothing."""
    faults = _unknown_categories(terms.categories, "/terms/categories")
    if terms.purpose not in present_law().vocabulary.purposes:
        faults.append(("/terms/purpose", "unknown purpose", VOCABULARY_PAGE))
    _refuse("consent.invalid", faults)


def _unknown_categories(categories: tuple[str, ...], pointer: str) -> list[tuple[str, str, str]]:
    return [
        (f"{pointer}/{place}", "unknown category", VOCABULARY_PAGE)
        for place, category in enumerate(categories)
        if not is_category(category)
    ]


def _refuse(code: str, faults: list[tuple[str, str, str]]) -> None:
    if faults:
        raise Invalid(code, faults[0][1], faults[0][2], faults)
