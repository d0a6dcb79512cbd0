"""The directory of bodies that exist (`contracts/partners/directory.csv`): facts, without keys and without contracts.

A body in it is not yet a partner; an agency makes it one by registering it with its public keys.
"""

import csv
from functools import cache
from pathlib import Path

from shared.domain import value

DIRECTORY = Path(__file__).resolve().parents[2] / "contracts" / "partners" / "directory.csv"
LONGEST_PAGE = 500


@value
class DirectoryQuestion:
    """Bodies after the id `after`, of one kind of body when named, whose name contains `name`. `limit` 1 to 500."""

    body: str | None = None
    name: str | None = None
    after: str = ""
    limit: int = 50


@value
class Body:
    """`number` is the area number of a pension insurer or the Institutionskennzeichen of a health insurer."""

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


@cache
def bodies() -> tuple[Body, ...]:
    """All of them, in the order of their ids."""
    with DIRECTORY.open(encoding="utf-8", newline="") as source:
        return tuple(sorted((Body(**row) for row in csv.DictReader(source)), key=lambda body: body.body_id))


def look_up(asked: DirectoryQuestion) -> DirectoryPage:
    limit = min(max(asked.limit, 1), LONGEST_PAGE)
    found = [
        body
        for body in bodies()
        if body.body_id > asked.after
        and asked.body in (None, body.body)
        and (asked.name or "").casefold() in body.name.casefold()
    ]
    return DirectoryPage(items=tuple(found[:limit]), next=found[limit - 1].body_id if len(found) > limit else None)
