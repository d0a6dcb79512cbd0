"""What every page needs to read: through the operations of the interface, and as a citizen where only they may."""

from typing import Any

from services.gateway.auth import CITIZEN, Asker
from services.gateway.front_door import FrontDoor
from shared.domain import Json
from shared.errors import Forbidden


def view(front: FrontDoor, asker: Asker, operation: str, asked: Json) -> Any:
    """What the operation answers to whoever asks. Raises what it raises."""
    return front.handle(front.operations[operation], asker, asked).view


def citizen(asker: Asker) -> Asker:
    """Raises `Forbidden` unless a citizen is signed in."""
    if asker.role != CITIZEN:
        raise Forbidden("role.not_allowed", "these pages are for citizens", "sign in with another role")
    return asker


def partner_names(front: FrontDoor, asker: Asker) -> dict[str, str]:
    """What the partners of the agency are called, by their ids."""
    names: dict[str, str] = {}
    after: str | None = ""
    while after is not None:
        page = view(front, asker, "exchange.partners", {"after": after, "limit": 500})
        names |= {item.partner_id: item.name for item in page.items}
        after = page.next if len(page.items) == 500 else None
    return names
