"""Erasures (Art. 17 DSGVO, § 84 SGB X): ordered by the agency, complete when every service has confirmed."""

from dataclasses import replace
from datetime import datetime

from services.gateway.auth import CITIZEN
from services.gateway.operations import SLOW, Desk, Resource
from services.gateway.resources.rights import Written
from shared.domain import value

erasures = Resource("erasures", "Erasures of persons in every service.")


@value
class NewErasure:
    """By the agency itself; `reason` is a short code. `unlawful`: the data should never have been there."""

    person_id: str
    reason: str
    unlawful: bool = False
    erasure_id: str | None = None


@value
class OrderErasure:
    erasure_id: str
    person_id: str
    reason: str
    unlawful: bool


@value
class WhichErasure:
    erasure_id: str


@value
class ErasureConfirmation:
    service: str
    at: datetime


@value
class ErasureView:
    """Complete when no service is `waiting` any more."""

    erasure_id: str
    person_id: str
    reason: str
    by: str
    norms: tuple[str, ...]
    ordered_at: datetime
    confirmed: tuple[ErasureConfirmation, ...]
    waiting: tuple[str, ...]
    completed_at: datetime | None
    version: int


@erasures.reads("/erasures/<erasure_id>", "cases.erasure")
def erasure(desk: Desk, which: WhichErasure) -> ErasureView:
    """Read how far an erasure has come: who has confirmed, who is waited for."""
    found = desk.ask("cases", "erasure", which, ErasureView)
    desk.asker.require_own(found.person_id, "erasure.unknown")
    return replace(found, by="") if desk.asker.role == CITIZEN else found


@erasures.changes("POST", "/erasures", "cases.order_erasure", shows=erasure)
def order_erasure(desk: Desk, new: NewErasure) -> WhichErasure:
    """Erase a person in every service, because the term is over or the data should not be there."""
    erasure_id = desk.new_id(new.erasure_id, "erasure_id")
    command = OrderErasure(erasure_id=erasure_id, person_id=new.person_id, reason=new.reason, unlawful=new.unlawful)
    desk.ask("cases", "order_erasure", command, Written, timeout=SLOW)
    return WhichErasure(erasure_id=erasure_id)
