"""Use cases of the rights of data subjects: a request comes, has an owner and a last day, and gets its answer.

What an answer sets off (the ruling on an access, a correction, the order to erase) comes before the answer is written,
each step recognised when it is repeated, so that a process that dies in between goes on where it was.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from hashlib import sha256
from typing import Any

from sqlalchemy import Connection

from services.cases.asks import ACCESS, DATA_SUBJECT, Asks, AuthorizeAccess, CorrectRecord, Extent, Held, Kind
from services.cases.copies import Copies
from services.cases.deadlines import rights_term
from services.cases.domain.file_entry import EntryContested, EntryRectified, FileEntry
from services.cases.domain.person import Person, PersonContested, PersonRectified, ProcessingRestricted
from services.cases.domain.rights_request import (
    AssignRequest,
    ExtendRequest,
    Outcome,
    RequestRight,
    Right,
    RightAnswered,
    RightRequested,
    RightsRequest,
)
from services.cases.erasing import NORMS as ERASURE_NORMS
from services.cases.erasing import Eraser, Order
from services.cases.rights_views import AnswerRight
from shared.canonical import canonical
from shared.clock import Clock
from shared.crypto import PersonKeys
from shared.database import Database
from shared.domain import ERASED, Receipt, known
from shared.errors import Invalid, NotFound, Refused
from shared.eventstore import AgencyStore
from shared.identity import Caller

NORMS: Mapping[Right, tuple[str, ...]] = {
    Right.ACCESS: ("Art. 15 DSGVO", "§ 83 SGB X"),
    Right.RECTIFICATION: ("Art. 16 DSGVO", "§ 84 Abs. 2 SGB X"),
    Right.ERASURE: ERASURE_NORMS,
    Right.RESTRICTION: ("Art. 18 DSGVO", "§ 84 Abs. 3 SGB X"),
    Right.PORTABILITY: ("Art. 20 DSGVO",),
    Right.OBJECTION: ("Art. 21 DSGVO", "§ 84 Abs. 5 SGB X"),
}
PARTLY = "Ein Teil der Angaben bleibt verschlossen (Art. 15 Abs. 4 DSGVO, § 83 Abs. 1 SGB X)."
RESTRICTED_INSTEAD = ("§ 84 Abs. 4 SGB X", "Art. 18 DSGVO")


@dataclass(frozen=True)
class RightsDesk:
    """Deals with the requests of one agency on behalf of `caller`."""

    store: AgencyStore
    database: Database
    keys: PersonKeys
    clock: Clock
    asks: Asks
    caller: Caller

    def request(self, command: RequestRight) -> Receipt:
        """Take a request; its term begins with the day of its receipt.

        Raises `NotFound` when the agency holds nothing about such a person, `Invalid` for a day to come.
        """
        today = self.clock.today()
        received = command.received_on or today
        if received > today:
            fault = ("/received_on", "this day is still to come", "give the day on which it came")
            raise Invalid("rights.invalid", fault[1], fault[2], [fault])
        if bool(command.representative_id) != bool(command.representative):
            fault = ("/representative", "a representative has a name and an id", "give both or neither")
            raise Invalid("rights.invalid", fault[1], fault[2], [fault])
        self._require_known(command.person_id)
        term = rights_term(received)
        return self.store.change(
            RightsRequest,
            command.request_id,
            lambda request: request.request(command, received_on=received, due_on=term.due(received), norm=term.norm),
            command_id=self.caller.command_id,
        )

    def assign(self, command: AssignRequest) -> Receipt:
        today = self.clock.today()
        return self._change(command.request_id, lambda request: request.assign(command.owner, today))

    def extend(self, command: ExtendRequest) -> Receipt:
        """The term becomes three months from the receipt. Raises `Refused` once the first month is over."""
        requested = self._requested(command.request_id, command.person_id)
        due_on, today = rights_term(requested.received_on).extended(requested.received_on), self.clock.today()
        return self._change(command.request_id, lambda request: request.extend(command, due_on, today))

    def answer(self, command: AnswerRight) -> Receipt:
        """Carry out what the answer says, then write it down. Raises before anything is done where it cannot be."""
        if not command.by.strip():
            fault = ("/decided_by", "nobody answers for it", "name the person who decided")
            raise Invalid("rights.invalid", fault[1], fault[2], [fault])
        requested = self._requested(command.request_id, command.person_id)
        request, _ = self.store.load(RightsRequest, command.request_id)
        answered = RightAnswered(
            person_id=requested.person_id,
            outcome=command.outcome,
            reasons=command.reasons,
            norms=NORMS[requested.right],
            by=command.by,
            on=self.clock.today(),
        )
        if request.answered:
            return self._change(command.request_id, lambda known: known.answer(answered))
        request.answer(answered)
        if requested.right is Right.ERASURE and command.outcome is Outcome.GRANTED:
            return self._erase(command, requested, replace(answered, erasure_id=command.request_id))
        if command.outcome is not Outcome.REFUSED:
            answered = self._carried_out(command, requested, answered)
        try:
            return self._change(command.request_id, lambda known: known.answer(answered))
        except Refused as error:
            if error.code != "person.erased":
                raise
            without = replace(answered, reasons=ERASED)
            return self._change(command.request_id, lambda known: known.answer(without))

    def _carried_out(self, command: AnswerRight, requested: RightRequested, answered: RightAnswered) -> RightAnswered:
        match requested.right:
            case Right.ACCESS | Right.PORTABILITY:
                return self._open(command, requested, answered)
            case Right.RECTIFICATION:
                self._correct(command, requested)
                return answered
            case Right.ERASURE | Right.RESTRICTION:
                norms = RESTRICTED_INSTEAD if requested.right is Right.ERASURE else answered.norms
                self._restrict(command, requested, norms)
                return replace(answered, norms=norms, until=command.until)
            case Right.OBJECTION:
                self.asks.raise_objection(requested.person_id)
                return answered

    def _open(self, command: AnswerRight, requested: RightRequested, answered: RightAnswered) -> RightAnswered:
        """Which categories the law opens to the person: ruled and logged by the audit service before anything is shown.

        Third persons' data open only where somebody weighed their interests (Art. 15 Abs. 4 DSGVO).
        """
        held = tuple(sorted(each.category for each in self.held(requested.person_id)))
        facts: dict[str, Any] = {
            "identity_verified": command.identity_verified,
            "access_exception_83": command.access_exception_83,
            "third_party_interests_override": command.third_party_interests_override,
            "representation_covers": command.representation_covers,
            "requested_by_private_recipient": False,
        }
        stated = {name: said for name, said in facts.items() if said is not None}
        recipient = "authorised_representative" if requested.representative_id else DATA_SUBJECT
        ruling = self.asks.authorize(
            AuthorizeAccess(
                disclosure_id=_ruling_id(command.request_id, stated, held, self.clock.today()),
                person_id=requested.person_id,
                case_id=None,
                sender=self.asks.kind(),
                partner_id=recipient,
                recipient=Kind(body=recipient, domain="person"),
                categories=held or ("master_data",),
                held=held,
                purpose=ACCESS,
                basis=None,
                extent=Extent.PERMITTED,
                facts=stated,
                reasons=command.reasons,
                decided_by=command.by,
            )
        )
        if held and not ruling.sent:
            raise Refused("rights.access_not_open", ruling.explanation, "state what was examined, or refuse")
        closed = tuple(category for category in held if category not in ruling.sent)
        norms = tuple(dict.fromkeys(norm for each in ruling.categories if each.permitted for norm in each.norms))
        partly = bool(closed) and requested.right is Right.ACCESS
        return replace(
            answered,
            outcome=Outcome.PARTLY_GRANTED if partly else answered.outcome,
            reasons=answered.reasons or (PARTLY if partly else ""),
            norms=norms or answered.norms,
            opened=ruling.sent,
            closed=closed,
            via_doctor=command.via_doctor,
            log=ruling.origin,
            index=ruling.index,
        )

    def _correct(self, command: AnswerRight, requested: RightRequested) -> None:
        """Rectified, or marked as contested; the recipients are told by the messages that follow (Art. 19 DSGVO)."""
        record = command.record or requested.record
        kind, _, key = record.partition(":")
        wanted = known(command.corrected, None) or {}
        rectified = command.outcome is Outcome.GRANTED
        if rectified and not wanted:
            fault = ("/corrected", "what is right now is not said", "give the right content, or mark it as contested")
            raise Invalid("rights.invalid", fault[1], fault[2], [fault])
        match kind:
            case "person":
                self._correct_person(command, wanted, rectified=rectified)
            case "entry":
                self._correct_entry(command, key, wanted, rectified=rectified)
            case "finding" | "assessment":
                correction = CorrectRecord(
                    record=record,
                    person_id=command.person_id,
                    request_id=command.request_id,
                    content=str(wanted.get("content", "")) if rectified else None,
                    note=None if rectified else command.reasons,
                )
                replace_caller(self.asks, f"{command.request_id}:correct").correct_in_health(correction)
            case _:
                fault = ("/record", "nothing that can be rectified is named", "name the record that is wrong")
                raise Refused("rights.record_not_named", fault[1], "make a request that names person, entry or finding")

    def _correct_person(self, command: AnswerRight, wanted: Mapping[str, Any], *, rectified: bool) -> None:
        today = self.clock.today()

        def decide(person: Person) -> Any:
            old = person.known()
            if not rectified:
                noted = PersonContested(
                    person_id=command.person_id, request_id=command.request_id, note=command.reasons, on=today
                )
                return person.contest(noted)
            right = PersonRectified(
                person_id=command.person_id,
                request_id=command.request_id,
                name=wanted.get("name", old.name),
                birth_date=_day(wanted["birth_date"]) if "birth_date" in wanted else old.birth_date,
                contact=wanted.get("contact", old.contact),
                on=today,
            )
            return person.rectify(right)

        self.store.change(Person, command.person_id, decide, command_id=f"{command.request_id}:correct")

    def _correct_entry(
        self, command: AnswerRight, entry_id: str, wanted: Mapping[str, Any], *, rectified: bool
    ) -> None:
        today = self.clock.today()
        category = self.store.load(FileEntry, entry_id)[0].of(command.person_id).category
        change = (
            EntryRectified(
                person_id=command.person_id,
                request_id=command.request_id,
                category=category,
                content=str(wanted.get("content", "")),
                on=today,
            )
            if rectified
            else EntryContested(
                person_id=command.person_id,
                request_id=command.request_id,
                category=category,
                note=command.reasons,
                on=today,
            )
        )
        self.store.change(
            FileEntry, entry_id, lambda entry: entry.correct(change), command_id=f"{command.request_id}:correct"
        )

    def _erase(self, command: AnswerRight, requested: RightRequested, answered: RightAnswered) -> Receipt:
        """The answer and the order in one transaction: what the answer says can no longer be sealed afterwards."""
        order = Order(
            erasure_id=command.request_id,
            person_id=requested.person_id,
            reason="requested",
            by=command.by,
            held=self.held(requested.person_id),
            request_id=command.request_id,
            unlawful=command.unlawful,
        )
        return Eraser(self.store, self.database, self.keys).order(
            order,
            known=True,
            command_id=f"{command.request_id}:erase",
            now=self.clock.now(),
            first=lambda tx: self._change(command.request_id, lambda known: known.answer(answered), tx),
        )

    def _restrict(self, command: AnswerRight, requested: RightRequested, norms: tuple[str, ...]) -> None:
        restriction = ProcessingRestricted(
            person_id=requested.person_id,
            request_id=command.request_id,
            norms=norms,
            until=command.until,
            on=self.clock.today(),
        )
        self.store.change(
            Person,
            requested.person_id,
            lambda person: person.restrict(restriction),
            command_id=f"{command.request_id}:restrict",
        )

    def held(self, person_id: str) -> tuple[Held, ...]:
        """What case management and health hold, by category."""
        with self.database.read() as tx:
            own = Copies(self.store).held(tx, person_id)
        found: dict[str, Held] = {}
        counted = [Held(category=each.category, count=each.count, last_on=each.last_on) for each in own]
        for each in (*counted, *self.asks.held_in_health(person_id).items):
            before = found.get(each.category, replace(each, count=0))
            last_on = max(each.last_on, before.last_on)
            found[each.category] = replace(each, count=each.count + before.count, last_on=last_on)
        return tuple(found.values())

    def _require_known(self, person_id: str) -> None:
        if not self.knows(person_id):
            fault = ("/person_id", "nobody here knows such a person", "check the id")
            raise NotFound("rights.person_unknown", fault[1], fault[2], [fault])

    def knows(self, person_id: str) -> bool:
        """Whether the agency registered the person, or holds anything about them."""
        return self.store.load(Person, person_id)[0].registered is not None or bool(self.held(person_id))

    def _requested(self, request_id: str, person_id: str) -> RightRequested:
        requested = self.store.load(RightsRequest, request_id)[0].known()
        if requested.person_id != person_id:
            raise NotFound("rights.unknown")
        return requested

    def _change(self, request_id: str, decide: Any, tx: Connection | None = None) -> Receipt:
        return self.store.change(RightsRequest, request_id, decide, command_id=self.caller.command_id, tx=tx)


def remind(store: AgencyStore, request_id: str, today: date) -> None:
    """Write down that the owner is to be reminded, if it is time; once for each stage."""

    def decide(request: RightsRequest) -> Any:
        if not request.requested:
            return []
        return request.remind(rights_term(request.requested.received_on).remind_days_before, today)

    store.change(RightsRequest, request_id, decide, command_id=f"{request_id}:remind:{today.isoformat()}")


def replace_caller(asks: Asks, command_id: str) -> Asks:
    """The same questions with a command id that a repeated step has again."""
    return Asks(asks.calls, replace(asks.caller, command_id=command_id))


def _ruling_id(request_id: str, stated: Mapping[str, Any], held: tuple[str, ...], today: date) -> str:
    """The same statement about the same file on the same day is one ruling; another one is ruled on anew."""
    said = canonical([request_id, dict(stated), list(held), today.isoformat()])
    return f"{request_id}.{sha256(said).hexdigest()[:16]}"


def _day(text: object) -> date:
    try:
        return date.fromisoformat(str(text))
    except ValueError:
        fault = ("/corrected/birth_date", "not a day", "write a day as YYYY-MM-DD")
        raise Invalid("rights.invalid", fault[1], fault[2], [fault]) from None
