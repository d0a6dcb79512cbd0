"""Facts on their way between services, and letters to partners: exchanges, inbox, retries, mailboxes.

Each service publishes to its own topic exchange `<service>.events` (routing key = message type) and reads its own
quorum queue `<service>.inbox`. Delivery is at least once; the inbox table makes the second time harmless, because a
message is noted in the transaction that acts on it. Within one stream the order is kept: while a message waits in
`parked`, later ones of its stream wait behind it. Messages carry ids and states, never personal data; who may write
to an exchange is the broker's rights (`deploy/rabbitmq`), and whoever holds such a right can invent messages there.
"""

from shared.messaging.consumer import Consumer
from shared.messaging.inbox import Context, Handler, Inbox
from shared.messaging.listening import listen
from shared.messaging.mailbox import Letter, Mailbox
from shared.messaging.message import Message, message_of
from shared.messaging.publisher import Publisher
from shared.messaging.topology import (
    DELIVERY_LIMIT,
    PARTNERS,
    RPC_EXCHANGE,
    UNROUTED,
    bind_inbox,
    events_exchange,
    hearing,
    inbox_queue,
    matches,
    set_up,
    unrouted_queue,
)

__all__ = [
    "DELIVERY_LIMIT",
    "PARTNERS",
    "RPC_EXCHANGE",
    "UNROUTED",
    "Consumer",
    "Context",
    "Handler",
    "Inbox",
    "Letter",
    "Mailbox",
    "Message",
    "Publisher",
    "bind_inbox",
    "events_exchange",
    "hearing",
    "inbox_queue",
    "listen",
    "matches",
    "message_of",
    "set_up",
    "unrouted_queue",
]
