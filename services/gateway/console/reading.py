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
