"""What the commands that read the log share: who reads and why, and the reading room in which they do.

A command at the machine asks nobody's account; whoever can start it could open the database as well. So the name is
what they say, and it stands in the log.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

from shared.config import Settings

if TYPE_CHECKING:
    from services.audit.reading_room import Looker, ReadingRoom

F = TypeVar("F", bound=Callable[..., Any])
ROLE = "operator"


def explained(function: F) -> F:
    """Options that every reading of the log needs."""
    function = click.option("--reason", required=True, help="Why; kept sealed, and the reading is logged.")(function)
    function = click.option("--by", required=True, help="Who reads: a name that the agency knows.")(function)
    return click.option("--agency", required=True, help="Whose log.")(function)


@contextmanager
def reading_room(agency: str, by: str) -> "Iterator[tuple[ReadingRoom, Looker]]":
    """Over the database of the settings. The log is written by whoever sequences it; by us, if nobody does."""
    from services.audit.evidence import audit_log
    from services.audit.reading_room import Looker, ReadingRoom
    from shared.runtime import context

    held = context("audit", Settings.from_environment())
    log = audit_log(held)
    log.start()
    try:
        store = held.store.agency(agency, actor=by)
        yield ReadingRoom(held.store, store, log, held.database, held.clock), Looker(by, ROLE)
    finally:
        log.stop()
        held.close()
