"""Use cases of data protection: a command in, a receipt out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date

from sqlalchemy import Connection

from services.consent.domain.consent import (
    AcceptOffer,
    Consent,
    ConsentEvent,
    DeclineOffer,
    GiveConsent,
    OfferConsent,
    RefuseConsent,
    refuse,
)
from services.consent.domain.objection import Objection, ObjectionEvent
from services.consent.domain.release_from_secrecy import GiveRelease, ReleaseFromSecrecy, WithdrawRelease
from services.consent.domain.representation import Act, RegisterRepresentation, Representation, RepresentationKind
from services.consent.domain.terms import FOR_ANOTHER, Fault, Giver, Offer, Sheet, Terms
from services.consent.projections import due
from services.consent.queries import Fallen, Use, UseConsents, Used, standing
from shared.database import Database
from shared.domain import Erased, Receipt
from shared.errors import Invalid, Refused
from shared.eventstore import AgencyStore, EventStore
from shared.law import VOCABULARY_PAGE, is_category
from shared.policy import present_law
from shared.policy.consent import ENTRUSTED, THIRD_PARTY, names_a_person

KINDS = {
    Giver.LEGAL_GUARDIAN: (RepresentationKind.LEGAL_GUARDIAN,),
    Giver.AUTHORISED_REPRESENTATIVE: (RepresentationKind.AUTHORISED_REPRESENTATIVE, RepresentationKind.HELPER),
}
OWN_GIVER = {THIRD_PARTY: Giver.THIRD_PARTY, ENTRUSTED: Giver.ENTRUSTING_PERSON}
"""Data over which nobody else disposes: § 67d Abs. 2 SGB X, § 65 Abs. 1 Satz 1 Nr. 1 SGB VIII."""


@dataclass(frozen=True)
class Desk:
    """Records one agency's yes and no on the legal day `today`."""

    store: AgencyStore
    database: Database
    today: date

    def offer(self, command: OfferConsent, *, command_id: str) -> Receipt:
        refuse(word_faults(command.offer, "/offer"))
        return self._change(command.consent_id, lambda c: c.make_offer(command.offer, self.today), command_id)

    def accept(self, command: AcceptOffer, *, command_id: str) -> Receipt:
        consent, _ = self.store.load(Consent, command.consent_id)
        if consent.offered and not consent.terms:
            terms = consent.offered.offer.terms(command.answer)
            refuse(self._giver_faults(terms, "/answer"))
        return self._change(command.consent_id, lambda c: c.accept(command.answer, self.today), command_id)

    def decline(self, command: DeclineOffer, *, command_id: str) -> Receipt:
        return self._change(command.consent_id, lambda c: c.decline(command.answer, self.today), command_id)

    def give(self, command: GiveConsent, *, command_id: str) -> Receipt:
        """With `replaces` the old consent gives way in the same moment, or nothing happens."""
        refuse(word_faults(command.terms, "/terms"))
        refuse(self._giver_faults(command.terms, "/terms"))
        if command.replaces is None:
            return self._give(command, command_id, None)
        replaced, new = command.replaces, command.consent_id
        with self.database.write() as tx:
            receipt = self._give(command, command_id, tx)
            self.store.change(
                Consent,
                replaced,
                lambda old: old.give_way(new, command.terms, self.today),
                command_id=command_id,
                tx=tx,
            )
        return receipt

    def refuse(self, command: RefuseConsent, *, command_id: str) -> Receipt:
        refuse(word_faults(command.terms, "/terms"))
        return self._change(command.consent_id, lambda c: c.refuse(command.terms, self.today), command_id)

    def record(self, sheet: Sheet, *, command_id: str) -> None:
        """A sheet with a cell for each recipient and category: each its own yes or no, all of them or none."""
        said = [(cell, sheet.terms(cell)) for cell in sheet.cells]
        refuse([fault for place, (_, terms) in enumerate(said) for fault in self._cell_faults(place, terms)])
        refuse([] if said else _no_cells())
        with self.database.write() as tx:
            for cell, terms in said:
                answer = _answer(terms, self.today, yes=cell.yes)
                self.store.change(Consent, cell.consent_id, answer, command_id=command_id, tx=tx)

    def change(
        self, consent_id: str, decide: Callable[[Consent, date], Sequence[ConsentEvent]], *, command_id: str
    ) -> Receipt:
        """Withdraw, pause, resume: what needs nothing but the id."""
        return self._change(consent_id, lambda consent: decide(consent, self.today), command_id)

    def withdraw_all(self, consent_ids: Sequence[str], *, command_id: str) -> None:
        """All of them in one step, or none; those that had ended before stay as they are."""
        with self.database.write() as tx:
            for consent_id in consent_ids:
                self.store.change(Consent, consent_id, lambda c: c.withdraw(self.today), command_id=command_id, tx=tx)

    def use(self, wanted: UseConsents) -> Used:
        """Count each delivery under the consents it rests on, all of them or none; which do not stand, and why.

        The same delivery again counts nothing. Of two at once under a consent for one, the second finds it used up.
        """
        return Used(fallen=tuple(fallen for use in wanted.uses for fallen in self._use(use)))

    def give_release(self, command: GiveRelease, *, command_id: str) -> Receipt:
        faults = [fault[1:] for fault in category_faults(command.categories, "/categories", "release.invalid")]
        professional = command.professional
        if not isinstance(professional, Erased) and not names_a_person(professional):
            detail = "a release names the professional, not a house and not everybody"
            faults.append(("/professional", detail, "write the name of the person"))
        if command.given_by and command.representation_id:
            found = self._representation_faults(
                command.given_by, command.person_id, command.representation_id, Act.RELEASE, None, ""
            )
            faults += [fault[1:] for fault in found]
        if faults:
            raise Invalid("release.invalid", faults[0][1], faults[0][2], faults)
        return self.store.create(
            ReleaseFromSecrecy, command.release_id, lambda r: r.give(command, self.today), command_id=command_id
        )

    def withdraw_release(self, command: WithdrawRelease, *, command_id: str) -> Receipt:
        return self.store.change(
            ReleaseFromSecrecy, command.release_id, lambda r: r.withdraw(self.today), command_id=command_id
        )

    def register_representation(self, command: RegisterRepresentation, *, command_id: str) -> Receipt:
        unknown = [purpose for purpose in command.purposes if purpose not in present_law().vocabulary.purposes]
        if unknown:
            fault = (f"/purposes/{command.purposes.index(unknown[0])}", "unknown purpose", VOCABULARY_PAGE)
            raise Invalid("representation.invalid", fault[1], fault[2], [fault])
        return self.store.create(
            Representation, command.representation_id, lambda r: r.register(command, self.today), command_id=command_id
        )

    def end_representation(self, representation_id: str, *, command_id: str) -> Receipt:
        return self.store.change(Representation, representation_id, lambda r: r.end(self.today), command_id=command_id)

    def change_objection(
        self, person_id: str, decide: Callable[[Objection, date], Sequence[ObjectionEvent]], *, command_id: str
    ) -> Receipt:
        return self.store.change(
            Objection, person_id, lambda objection: decide(objection, self.today), command_id=command_id
        )

    def _give(self, command: GiveConsent, command_id: str, tx: Connection | None) -> Receipt:
        return self.store.create(
            Consent, command.consent_id, lambda c: c.give(command.terms, self.today), command_id=command_id, tx=tx
        )

    def _change(self, consent_id: str, decide: Callable[[Consent], Sequence[ConsentEvent]], command_id: str) -> Receipt:
        return self.store.change(Consent, consent_id, decide, command_id=command_id)

    def _use(self, use: Use) -> Sequence[Fallen]:
        """First those that do not stand at all, then the counting, which decides between two at once."""
        counted = replace(use, ids=tuple(sorted(set(use.ids))))
        fallen = self._fallen(counted)
        if fallen:
            return fallen
        try:
            with self.database.write() as tx:
                for consent_id in counted.ids:
                    self._count(use.use_id, consent_id, tx)
        except Refused:
            return self._fallen(counted)
        return ()

    def _fallen(self, use: Use) -> tuple[Fallen, ...]:
        return standing(self.store, use.ids, self.today, use_id=use.use_id).codes

    def _count(self, use_id: str, consent_id: str, tx: Connection) -> None:
        if self.store.load(Consent, consent_id, tx)[0].terms:
            self.store.change(
                Consent, consent_id, lambda c: c.use(use_id, self.today), command_id=f"use:{use_id}", tx=tx
            )

    def _giver_faults(self, terms: Terms, at: str) -> list[Fault]:
        """Who may not give this one, and who speaks for another without a representation that covers it."""
        found = own_giver_faults(terms, at)
        if terms.representation_id:
            found += self._representation_faults(
                terms.given_by, terms.person_id, terms.representation_id, Act.CONSENT, terms.purpose, at
            )
        return found

    def _cell_faults(self, place: int, terms: Terms) -> list[Fault]:
        """Recipient and category stand in the cell, everything else on the sheet."""
        words = [
            (code, _CELL.get(pointer, pointer).format(place=place), detail, remedy)
            for code, pointer, detail, remedy in word_faults(terms, "")
        ]
        return [*words, *self._giver_faults(terms, "/terms")]

    def _representation_faults(  # noqa: PLR0917 - who, for whom, within what, for which act and matter
        self,
        given_by: Sequence[Giver],
        person_id: str,
        representation_id: str,
        act: Act,
        purpose: str | None,
        at: str,
    ) -> list[Fault]:
        known, _ = self.store.load(Representation, representation_id)
        kinds = {kind for giver in FOR_ANOTHER & set(given_by) for kind in KINDS[giver]}
        matter = purpose if purpose is not None else "".join(known.registered.purposes[:1]) if known.registered else ""
        of_this_kind = known.registered is not None and known.registered.kind in kinds
        if of_this_kind and known.covers(person_id, act, matter, self.today):
            return []
        detail, remedy = "this representation does not cover it today", "name one that stands and covers the act"
        return [("consent.not_represented", f"{at}/representation_id", detail, remedy)]


def pass_days(store: EventStore, database: Database, today: date) -> int:
    """Write down what the calendar brought by `today`, each once and under its own date; for how many."""
    with database.read() as tx:
        reached = due(tx, today)
    for agency, consent_id in reached:
        store.agency(agency, actor="calendar").change(
            Consent, consent_id, lambda c: c.pass_days(today), command_id=f"days:{today.isoformat()}"
        )
    return len(reached)


def own_giver_faults(terms: Terms, at: str) -> list[Fault]:
    """Data over which nobody else disposes, and a giver who disposes over nothing else: C.4 of the rules, as far as it
    does not depend on the age.
    """
    found: list[Fault] = []
    for category, giver in OWN_GIVER.items():
        if category in terms.categories and giver not in terms.given_by:
            detail, remedy = f"{category} is given by the {giver.value} alone", "ask them, on a consent of its own"
            found.append(("consent.wrong_giver", f"{at}/given_by", detail, remedy))
    mixed = THIRD_PARTY in terms.categories and len(set(terms.categories)) > 1
    if mixed or (Giver.THIRD_PARTY in terms.given_by and THIRD_PARTY not in terms.categories):
        detail, remedy = "a third person speaks for their own data only", "record a consent of its own"
        found.append(("consent.wrong_giver", f"{at}/given_by", detail, remedy))
    return found


def word_faults(said: Terms | Offer, at: str) -> list[Fault]:
    """Words that the law does not know, and blanket ones: whoever says yes or no to them says nothing."""
    found: list[Fault] = []
    if _blanket(said.recipient):
        detail, remedy = "a consent names its recipient, not everybody", "record one for each recipient"
        found.append(("consent.blanket", f"{at}/recipient", detail, remedy))
    found += category_faults(said.categories, f"{at}/categories", "consent.invalid")
    if said.purpose not in present_law().vocabulary.purposes:
        found.append(("consent.invalid", f"{at}/purpose", "unknown purpose", VOCABULARY_PAGE))
    return found


def category_faults(categories: tuple[str, ...], at: str, code: str) -> list[Fault]:
    found: list[Fault] = []
    for place, category in enumerate(categories):
        if code.startswith("consent") and _blanket(category):
            detail, remedy = "a consent names its data, not everything", "name each category of data"
            found.append(("consent.blanket", f"{at}/{place}", detail, remedy))
        elif not is_category(category):
            found.append((code, f"{at}/{place}", "unknown category", VOCABULARY_PAGE))
    return found


def _blanket(word: str) -> bool:
    return word.strip().casefold() in ("any", "all", "alle", "*") or word.startswith("@")


_CELL = {"/categories/0": "/cells/{place}/category", "/recipient": "/cells/{place}/recipient"}


def _no_cells() -> list[Fault]:
    return [("consent.invalid", "/cells", "the sheet is empty", "add a cell for each recipient and category")]


def _answer(terms: Terms, today: date, *, yes: bool) -> Callable[[Consent], Sequence[ConsentEvent]]:
    return lambda consent: consent.give(terms, today) if yes else consent.refuse(terms, today)
