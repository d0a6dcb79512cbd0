"""Releases from secrecy (Schweigepflichtentbindungen): they name the professional."""

from datetime import date
from enum import StrEnum

from services.gateway.operations import Desk, Resource
from services.gateway.resources.consent_forms import Giver
from services.gateway.vocabulary import require_categories
from shared.domain import Personal, value

releases = Resource("releases", "Releases of professionals from their duty of secrecy.")


class ReleaseForm(StrEnum):
    WRITTEN = "written"
    ELECTRONIC = "electronic"


@value
class NewRelease:
    """`professional` is a person, not a house."""

    person_id: str
    professional: str
    recipient: str
    categories: tuple[str, ...]
    form: ReleaseForm
    valid_until: date | None = None
    release_id: str | None = None
    given_by: tuple[Giver, ...] = (Giver.DATA_SUBJECT,)
    representation_id: str | None = None


@value
class GiveRelease:
    release_id: str
    person_id: str
    professional: Personal[str]
    recipient: str
    categories: tuple[str, ...]
    form: ReleaseForm
    valid_until: date | None
    given_by: tuple[Giver, ...]
    representation_id: str | None


@value
class WhichRelease:
    release_id: str


@value
class ReleaseView:
    release_id: str
    person_id: str
    professional: Personal[str]
    recipient: str
    categories: tuple[str, ...]
    form: str
    stands: bool
    version: int
    given_by: tuple[Giver, ...] = ()
    given_on: date | None = None
    valid_until: date | None = None
    withdrawn_on: date | None = None


@releases.reads("/releases/<release_id>", "consent.release", dated=True)
def release(desk: Desk, which: WhichRelease) -> ReleaseView:
    """Read a release and whether it stands today."""
    return desk.ask("consent", "release", which, ReleaseView)


@releases.changes("POST", "/releases", "consent.give_release", shows=release, personal=("professional",))
def give_release(desk: Desk, new: NewRelease) -> WhichRelease:
    """Record a release."""
    require_categories(new.categories, "/categories")
    release_id = desk.new_id(new.release_id, "release_id")
    command = GiveRelease(
        release_id=release_id,
        person_id=new.person_id,
        professional=new.professional,
        recipient=new.recipient,
        categories=new.categories,
        form=new.form,
        valid_until=new.valid_until,
        given_by=new.given_by,
        representation_id=new.representation_id,
    )
    desk.tell("consent", "give_release", command)
    return WhichRelease(release_id=release_id)


@releases.changes("POST", "/releases/<release_id>/withdrawal", "consent.withdraw_release", shows=release, status=200)
def withdraw_release(desk: Desk, which: WhichRelease) -> WhichRelease:
    """Withdraw a release; always possible, without a reason."""
    release.run(desk, which)
    desk.tell("consent", "withdraw_release", which)
    return which
