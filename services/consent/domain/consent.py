"""Consent (Einwilligung), § 67b Abs. 2 SGB X and Art. 7 DSGVO: the whole life of a yes and of a no.

    offered ─┬─ lapsed (nobody answered in time)
             ├─ refused
             └─ given ── paused ⇄ resumed ── used up, replaced by a new consent, expired, withdrawn

A person lets one partner receive data of named categories for one purpose, after having been told what that means,
until a chosen day; and takes it back whenever they like, in one step. A refusal is recorded as carefully as a yes.
How a consent stands is derived from its dated facts and the day asked for, never stored as a flag.
"""

from dataclasses import dataclass, replace
from datetime import date, timedelta
from enum import StrEnum

from services.consent.domain.terms import Answer, Fault, Offer, Terms
from services.consent.domain.use_limit import UseLimit
from shared.domain import Command, Event, command, event, value
from shared.errors import Invalid, NotFound, Refused


class Status(StrEnum):
    """`unknown` before anything was recorded; `not_yet` before the first day; `lapsed`: an offer nobody answered."""

    UNKNOWN = "unknown"
    OFFERED = "offered"
    LAPSED = "lapsed"
    NOT_YET = "not_yet"
    GIVEN = "given"
    PAUSED = "paused"
    USED_UP = "used_up"
    REPLACED = "replaced"
    REFUSED = "refused"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"


@command
class OfferConsent(Command):
    consent_id: str
    offer: Offer


@command
class AcceptOffer(Command):
    consent_id: str
    answer: Answer


@command
class DeclineOffer(Command):
    consent_id: str
    answer: Answer


@command
class GiveConsent(Command):
    """`replaces` is the consent that this one takes the place of: an amendment is a new consent, never an edit."""

    consent_id: str
    terms: Terms
    replaces: str | None = None


@command
class RefuseConsent(Command):
    consent_id: str
    terms: Terms


@command
class WithdrawConsent(Command):
    """`person_id` names whoever takes back for themselves; what another person gave stays untouched."""

    consent_id: str
    person_id: str | None = None


@command
class WithdrawAll(Command):
    """Everything that a person gave to `recipient`, or to anybody: one step."""

    person_id: str
    recipient: str | None = None


@command
class PauseConsent(Command):
    consent_id: str


@command
class ResumeConsent(Command):
    consent_id: str


@event(version=1)
class ConsentOffered(Event):
    offer: Offer
    on: date


@event(version=1)
class OfferLapsed(Event):
    """Nobody answered; `on` is the first day on which it was too late. Neither a yes nor a no."""

    person_id: str
    on: date


@event(version=2)
class ConsentGiven(Event):
    terms: Terms
    on: date


@event(version=2)
class ConsentRefused(Event):
    terms: Terms
    on: date


@event(version=1)
class ConsentWithdrawn(Event):
    person_id: str
    on: date


@event(version=1)
class WithdrawalNoted(Event):
    """Somebody took back what was never given, or not by them: recorded, and without effect."""

    on: date


@event(version=1)
class ConsentPaused(Event):
    person_id: str
    on: date


@event(version=1)
class ConsentResumed(Event):
    person_id: str
    on: date


@event(version=1)
class ConsentReplaced(Event):
    person_id: str
    by: str
    on: date


@event(version=1)
class ConsentUsed(Event):
    """One disclosure under a consent whose number of uses is limited; counted when it was handed over."""

    person_id: str
    use_id: str
    on: date


@event(version=1)
class ConsentExpired(Event):
    """`on` is the first day on which it no longer stood, however late this was written."""

    person_id: str
    on: date


@event(version=1)
class EraseAtReached(Event):
    """The day has come by which recipients have to have erased what they got under this consent."""

    person_id: str
    on: date


Dated = (
    ConsentGiven
    | ConsentRefused
    | ConsentWithdrawn
    | ConsentPaused
    | ConsentResumed
    | ConsentReplaced
    | ConsentUsed
    | ConsentExpired
    | EraseAtReached
)
ConsentEvent = ConsentOffered | OfferLapsed | WithdrawalNoted | Dated


@value
class Pause:
    """From the day `since` until before the day `until`."""

    since: date
    until: date | None = None

    def covers(self, day: date) -> bool:
        return self.since <= day and (self.until is None or day < self.until)


@value
class Course:
    """The dated facts of a yes or a no, and how it stands on a day (contracts/decisions/0013, 0032)."""

    given_on: date | None = None
    valid_from: date | None = None
    valid_until: date | None = None
    refused_on: date | None = None
    withdrawn_on: date | None = None
    replaced_on: date | None = None
    expired_on: date | None = None
    erased_on: date | None = None
    limit: UseLimit | None = None
    pauses: tuple[Pause, ...] = ()
    uses: tuple[date, ...] = ()

    def status(self, day: date) -> Status:
        """How it stands on the legal `day`, what is final before what may pass. On the day of its end it has ended."""
        if self.withdrawn_on and self.withdrawn_on <= day:
            return Status.WITHDRAWN
        if self.refused_on and self.refused_on <= day:
            return Status.REFUSED
        if self.replaced_on and self.replaced_on <= day:
            return Status.REPLACED
        if not self.given_on:
            return Status.UNKNOWN
        if self.valid_from and day < self.valid_from:
            return Status.NOT_YET
        if self.valid_until and day > self.valid_until:
            return Status.EXPIRED
        if self.limit and self.limit.used_up(self.uses, day):
            return Status.USED_UP
        if any(pause.covers(day) for pause in self.pauses):
            return Status.PAUSED
        return Status.GIVEN

    @property
    def over_on(self) -> date | None:
        """Since when it is no consent any more by what somebody said; running out is left to the calendar."""
        return min((day for day in (self.refused_on, self.withdrawn_on, self.replaced_on) if day), default=None)

    @property
    def paused(self) -> bool:
        return bool(self.pauses) and self.pauses[-1].until is None

    def apply(self, event: Dated) -> "Course":
        match event:
            case ConsentGiven(terms=terms):
                return replace(
                    self,
                    given_on=event.on,
                    valid_from=terms.valid_from,
                    valid_until=terms.valid_until,
                    limit=terms.use,
                )
            case ConsentRefused():
                return replace(self, refused_on=event.on)
            case ConsentWithdrawn():
                return replace(self, withdrawn_on=event.on)
            case ConsentPaused():
                return replace(self, pauses=(*self.pauses, Pause(since=event.on)))
            case ConsentResumed():
                last = replace(self.pauses[-1], until=event.on)
                return replace(self, pauses=(*self.pauses[:-1], last))
            case ConsentReplaced():
                return replace(self, replaced_on=event.on)
            case ConsentUsed():
                return replace(self, uses=(*self.uses, event.on))
            case ConsentExpired():
                return replace(self, expired_on=event.on)
            case EraseAtReached():
                return replace(self, erased_on=event.on)


NOTHING_YET = Course()


@dataclass(frozen=True)
class Consent:
    offered: ConsentOffered | None = None
    lapsed: bool = False
    terms: Terms | None = None
    course: Course = NOTHING_YET
    replaced_by: str = ""
    use_ids: tuple[str, ...] = ()
    withdrawal_noted: bool = False

    def make_offer(self, offer: Offer, today: date) -> list[ConsentEvent]:
        """Asks, with all that has to be told. A yes or no may follow, or nothing, and nothing follows from nothing."""
        if self.offered or self.terms:
            raise Refused("consent.already_recorded", "this id is taken", "make a new offer")
        refuse(offer.faults(today))
        return [ConsentOffered(offer=offer, on=today)]

    def accept(self, answer: Answer, today: date) -> list[ConsentEvent]:
        """A yes to exactly what was offered; it begins today at the earliest."""
        offer = self._open_offer(today)
        terms = offer.terms(answer)
        begins = max(terms.valid_from or today, today)
        return Consent().give(replace(terms, valid_from=begins), today)

    def decline(self, answer: Answer, today: date) -> list[ConsentEvent]:
        """A no to what was offered. It needs no proof of anything and has no consequence anywhere."""
        return [ConsentRefused(terms=self._open_offer(today).terms(answer), on=today)]

    def give(self, terms: Terms, today: date) -> list[ConsentEvent]:
        """Only for the future: a consent never heals what happened before it (§ 67b Abs. 2 SGB X)."""
        self._require_new("record a new consent")
        dated = replace(terms, valid_from=terms.valid_from or today)
        refuse(dated.faults(today))
        return [ConsentGiven(terms=dated, on=today)]

    def refuse(self, terms: Terms, today: date) -> list[ConsentEvent]:
        """A no has no consequence anywhere but that it stands in the way of this disclosure."""
        self._require_new("record a new refusal")
        return [ConsentRefused(terms=terms, on=today)]

    def withdraw(self, today: date, person_id: str | None = None) -> list[ConsentEvent]:
        """Always possible, never asks why, works from now on (Art. 7 Abs. 3 DSGVO). The second time changes nothing.

        What was never given, or not by this person, is noted, and nothing else: nobody is sent away with a withdrawal.
        """
        if self.terms and self.course.given_on and person_id in (None, self.terms.person_id):
            done = self.course.withdrawn_on is not None
            return [] if done else [ConsentWithdrawn(person_id=self.terms.person_id, on=today)]
        return [] if self.withdrawal_noted else [WithdrawalNoted(on=today)]

    def pause(self, today: date) -> list[ConsentEvent]:
        """Not now; what was given stays given. As easy as a withdrawal, and undone by `resume`."""
        person_id = self._standing_terms(today).person_id
        return [] if self.course.paused else [ConsentPaused(person_id=person_id, on=today)]

    def resume(self, today: date) -> list[ConsentEvent]:
        person_id = self._standing_terms(today).person_id
        return [ConsentResumed(person_id=person_id, on=today)] if self.course.paused else []

    def give_way(self, to: str, new: Terms, today: date) -> list[ConsentEvent]:
        """Be replaced by the consent `to` of the same person; the same one again changes nothing."""
        if self.replaced_by == to:
            return []
        terms = self._standing_terms(today)
        if terms.person_id != new.person_id:
            raise NotFound("consent.unknown")
        return [ConsentReplaced(person_id=terms.person_id, by=to, on=today)]

    def use(self, use_id: str, today: date) -> list[ConsentEvent]:
        """Count one disclosure, once, however often it is told. Raises `Refused` when it does not stand at this moment.

        Its own earlier count does not speak against it: the same delivery may come twice.
        """
        status = replace(self, course=self.without_use(use_id)).status(today)
        if status is not Status.GIVEN or not self.terms:
            raise Refused(f"consent.{status.value}", "the consent does not stand at this moment")
        limited = self.course.limit is not None and self.course.limit.times is not None
        if not limited or use_id in self.use_ids:
            return []
        return [ConsentUsed(person_id=self.terms.person_id, use_id=use_id, on=today)]

    def pass_days(self, today: date) -> list[ConsentEvent]:
        """What the calendar brought by `today`: an offer lapsed, a consent expired, the day to erase came."""
        course, found = self.course, list[ConsentEvent]()
        if self.offered and not self.terms:
            offer = self.offered.offer
            over = offer.answer_by < today and not self.lapsed
            return [OfferLapsed(person_id=offer.person_id, on=offer.answer_by + timedelta(1))] if over else []
        if not self.terms or not course.given_on or course.withdrawn_on:
            return []
        person_id, last, limit = self.terms.person_id, course.valid_until, course.limit
        if last and last < today and not course.expired_on and not course.replaced_on:
            found.append(ConsentExpired(person_id=person_id, on=last + timedelta(1)))
        if limit and limit.erase_at and limit.erase_at <= today and not course.erased_on:
            found.append(EraseAtReached(person_id=person_id, on=limit.erase_at))
        return found

    def status(self, day: date) -> Status:
        """How it stands on the legal `day`."""
        status = self.course.status(day)
        if status is not Status.UNKNOWN or not self.offered or day < self.offered.on:
            return status
        return Status.OFFERED if day <= self.offered.offer.answer_by else Status.LAPSED

    def without_use(self, use_id: str) -> Course:
        """The course as if this disclosure had not been counted."""
        if use_id not in self.use_ids:
            return self.course
        place = self.use_ids.index(use_id)
        return replace(self.course, uses=self.course.uses[:place] + self.course.uses[place + 1 :])

    def apply(self, event: ConsentEvent) -> "Consent":
        match event:
            case ConsentOffered():
                return replace(self, offered=event)
            case OfferLapsed():
                return replace(self, lapsed=True)
            case WithdrawalNoted():
                return replace(self, withdrawal_noted=True)
            case ConsentGiven() | ConsentRefused():
                return replace(self, terms=event.terms, course=self.course.apply(event))
            case ConsentReplaced():
                return replace(self, replaced_by=event.by, course=self.course.apply(event))
            case ConsentUsed():
                return replace(self, use_ids=(*self.use_ids, event.use_id), course=self.course.apply(event))
            case _:
                return replace(self, course=self.course.apply(event))

    def _require_new(self, remedy: str) -> None:
        if self.terms or self.offered:
            raise Refused("consent.already_recorded", "this id is taken", remedy)

    def _open_offer(self, today: date) -> Offer:
        if not self.offered:
            raise NotFound("consent.unknown")
        if self.terms:
            raise Refused("consent.already_recorded", "the offer was answered", "make a new offer")
        if self.status(today) is Status.LAPSED:
            raise Refused("consent.offer_lapsed", "the offer was not answered in time", "make a new offer")
        return self.offered.offer

    def _standing_terms(self, today: date) -> Terms:
        """The terms of a consent that was given and has not ended."""
        alive = (Status.GIVEN, Status.NOT_YET, Status.PAUSED, Status.USED_UP)
        if not self.terms:
            raise NotFound("consent.unknown")
        if self.status(today) not in alive:
            raise Refused("consent.does_not_stand", "this consent has ended or was never given", "record a new one")
        return self.terms


def refuse(faults: list[Fault]) -> None:
    """Raises `Invalid` naming every faulty field; under a code of its own when there is one reason only."""
    if faults:
        codes = dict.fromkeys(code for code, _, _, _ in faults)
        ends_early = "consent.ends_before_it_begins"
        code = next(iter(codes)) if len(codes) == 1 else ends_early if ends_early in codes else "consent.invalid"
        raise Invalid(code, faults[0][2], faults[0][3], [fault[1:] for fault in faults])
