"""The feed of a partner and its signed acknowledgements. Which partner is in the token, never in the request."""

import time

from services.gateway.operations import Desk, Resource, require_limit
from shared.domain import Json, value
from shared.errors import Forbidden, Invalid

feed = Resource("feed", "What lies ready for a partner, and the partner's acknowledgements.")

LONGEST_PAGE = 100
LONGEST_WAIT = 25
POLLING = 0.25


@value
class FeedQuestion:
    """Items after the partner's own sequence number `after`; waits up to `wait` seconds for the first one.

    `partner_id` may be named and must then be the token's own.
    """

    after: int = 0
    limit: int = 20
    wait: int = 0
    partner_id: str | None = None


@value
class FeedOfPartner:
    partner_id: str
    after: int
    limit: int


@value
class FeedItem:
    sequence: int
    kind: str
    document: Json


@value
class FeedPage:
    items: tuple[FeedItem, ...]
    next: int


@value
class SignedAcknowledgement:
    """`signed` is a compact JWS by the partner's signing key."""

    signed: str


@value
class Acknowledge:
    partner_id: str
    signed: str


@value
class Acknowledged:
    result: str


@feed.reads("/feed", "exchange.feed")
def read_feed(desk: Desk, asked: FeedQuestion) -> FeedPage:
    """Read on in the partner's own feed."""
    require_limit(asked.limit, LONGEST_PAGE)
    if not 0 <= asked.wait <= LONGEST_WAIT:
        fault = ("/wait", "out of range", f"choose 0 to {LONGEST_WAIT}")
        raise Invalid("request.invalid", "the request has faulty fields", "", [fault])
    partner_id = desk.asker.own_partner()
    if asked.partner_id not in (None, partner_id):
        raise Forbidden("feed.not_yours", "this feed belongs to another partner", "leave partner_id out")
    question = FeedOfPartner(partner_id=partner_id, after=asked.after, limit=asked.limit)
    ends = time.monotonic() + asked.wait
    while True:
        page = desk.ask("exchange", "feed", question, FeedPage)
        if page.items or time.monotonic() + POLLING > ends:
            return page
        time.sleep(POLLING)


@feed.changes("POST", "/acknowledgements", "exchange.acknowledge")
def acknowledge(desk: Desk, sent: SignedAcknowledgement) -> Acknowledged:
    """Acknowledge a disclosure or a retraction."""
    command = Acknowledge(partner_id=desk.asker.own_partner(), signed=sent.signed)
    return desk.ask("exchange", "acknowledge", command, Acknowledged)
