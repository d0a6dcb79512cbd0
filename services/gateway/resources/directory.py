"""The directory of bodies that exist (Verzeichnis): Jobcenters, pension and health insurers, with their numbers."""

from services.gateway.operations import Desk, Resource, require_limit
from shared.domain import value

directory = Resource("directory", "Bodies that exist. One becomes a partner when it is registered with its keys.")


@value
class DirectoryQuestion:
    """Of one kind of body when named; whose name contains `name`."""

    body: str | None = None
    name: str | None = None
    after: str = ""
    limit: int = 50


@value
class Body:
    body_id: str
    name: str
    body: str
    domain: str
    area: str
    number: str
    source: str


@value
class DirectoryPage:
    items: tuple[Body, ...]
    next: str | None


@directory.reads("/directory", "exchange.directory")
def look_up(desk: Desk, asked: DirectoryQuestion) -> DirectoryPage:
    """Look up a body by its kind or a part of its name."""
    require_limit(asked.limit)
    return desk.ask("exchange", "directory", asked, DirectoryPage)
