"""Which messages of others matter to partner exchange: a withdrawal reaches everybody who received something."""

from services.exchange.asks import Asks
from services.exchange.delivery import on_behalf_of
from services.exchange.documents import LogKey
from services.exchange.projections import DIRECTORY
from services.exchange.queries import Exchange
from services.exchange.withdrawal import Withdrawal
from shared.domain import value
from shared.eventstore import catch_up
from shared.messaging import Mailbox, Message
from shared.runtime import Handler, ServiceContext


@value
class ConsentWithdrawnSeen:
    consent_id: str


@value
class ReleaseWithdrawnSeen:
    release_id: str


def consent_fell(context: ServiceContext, seen: ConsentWithdrawnSeen, message: Message) -> None:
    stop_and_retract(context, seen.consent_id, message)


def release_fell(context: ServiceContext, seen: ReleaseWithdrawnSeen, message: Message) -> None:
    stop_and_retract(context, seen.release_id, message)


def stop_and_retract(context: ServiceContext, declaration: str, message: Message) -> None:
    """Everything that rested on the consent or release; the second time finds nothing left to do."""
    catch_up(context.store, DIRECTORY)
    store = context.store.agency(message.agency, trace=message.trace)
    with context.database.read() as tx:
        disclosures = Exchange(store).under_consent(tx, declaration)
    Withdrawal(
        agency=message.agency,
        store=store,
        database=context.database,
        clock=context.clock,
        asks=Asks(context.calls, on_behalf_of(message.agency)),
        log_key=LogKey.load(context.settings.keys),
        mailbox=None if context.settings.embedded else Mailbox(context.settings.broker),
    ).carry_out(disclosures)


HANDLERS = {
    "consent.ConsentWithdrawn.v1": Handler(ConsentWithdrawnSeen, consent_fell, transactional=False),
    "consent.ReleaseWithdrawn.v1": Handler(ReleaseWithdrawnSeen, release_fell, transactional=False),
}
