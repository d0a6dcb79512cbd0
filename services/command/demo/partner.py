"""A partner of the demonstration: fetches, verifies the receipt, decrypts, acknowledges with its own key.

It is a witness of the log, too: it remembers the newest checkpoint it saw, asks for the proof that the next one
continues it, and returns its cosignature with the acknowledgement.
"""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol

from amqp.exceptions import AMQPError
from kombu import Connection

from services.command.demo.platform_client import As, Unexpected
from services.command.witness import identity
from shared.audit import VerifiedReceipt, verify_receipt
from shared.clock import SystemClock
from shared.envelope import Acknowledgement, Opened, Result, open_envelope, sign_acknowledgement
from shared.errors import HandschlagError
from shared.merkle import NotProven, verify_consistency
from shared.notes import AddCheckpoint, VerifierKey, open_checkpoint
from shared.witness import Witness, WitnessStore

Json = dict[str, Any]
DISCLOSURE, RETRACTION = "handschlag.delivery.v1", "handschlag.retraction.v1"


class Inbox(Protocol):
    """Where a partner finds what was sent to it."""

    def documents(self) -> Iterator[Json]: ...


@dataclass
class FeedInbox:
    """Over HTTP: `GET /v1/feed?after=`."""

    platform: As
    after: int = 0

    def documents(self) -> Iterator[Json]:
        page = self.platform.get("/feed", after=self.after)
        for item in page["items"]:
            yield item["document"]
        self.after = page["next"]


@dataclass
class QueueInbox:
    """Over RabbitMQ: the partner's own queue. A message is acknowledged once it was dealt with.

    A broker that is away, or a queue that is not there yet, holds nothing now; what it holds comes later.
    """

    url: str
    queue: str

    def documents(self) -> Iterator[Json]:
        try:
            with Connection(self.url, connect_timeout=5) as connection:
                channel = connection.default_channel
                while (message := channel.basic_get(self.queue, no_ack=False)) is not None:
                    yield json.loads(message.body)
                    channel.basic_ack(message.delivery_tag)
        except (AMQPError, OSError):
            return


@dataclass
class DemoPartner:
    """Opens what it can verify and refuses the rest without an answer, as `contracts/formats/envelope.md` says."""

    partner_id: str
    keys: Json
    platform: As
    inbox: Inbox
    memory: Path | None = None
    opened: dict[str, Opened] = field(default_factory=dict)
    retracted: set[str] = field(default_factory=set)
    receipts: dict[str, Json] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)
    cosigned: dict[str, int] = field(default_factory=dict)
    _log_key: str = ""

    def wait_for(self, document_id: str, seconds: float) -> None:
        """Deal with what arrives until this document was among it."""
        ends = time.monotonic() + seconds
        while document_id not in self.opened and document_id not in self.retracted:
            if time.monotonic() > ends:
                message = f"{self.partner_id} was not sent {document_id}"
                raise Unexpected(message)
            self.take()
            time.sleep(0.05)

    def take(self) -> int:
        """Verify, open and acknowledge all that lies ready; how many documents."""
        count = 0
        for document in self.inbox.documents():
            self._take(document)
            count += 1
        return count

    def _take(self, document: Json) -> None:
        try:
            receipt = verify_receipt(document.get("receipt", ""), document.get("leaf", "").encode(), self._key())
            cosigned = self._cosigned(str(document.get("checkpoint", "")))
        except HandschlagError as error:
            self.refused.append(error.code)
            return
        if document["type"] == DISCLOSURE:
            keys, me = self.keys["encryption_key"], self.partner_id
            self.opened[document["id"]] = open_envelope(document["envelope"], keys, receipt, recipient=me)
        else:
            self.retracted.add(document["id"])
        self.receipts[document["id"]] = document
        signed = self._signed(receipt, cosigned)
        self.platform.post("/acknowledgements", {"signed": signed}, sha256(signed.encode()).hexdigest())

    def _cosigned(self, note: str) -> str | None:
        """The sender's checkpoint with our cosignature; None for one that is older than what we saw. Raises
        `NotProven` or `OtherSize` when it does not go together with that: then the log shows us two histories.
        """
        if self.memory is None:
            return None
        key = VerifierKey.parse(self._key())
        store = WitnessStore(self.memory)
        checkpoint = open_checkpoint(note, [key])
        seen = store.seen().get(checkpoint.origin)
        old = seen.size if seen else 0
        if seen and checkpoint.size < old:
            path = self._proof(checkpoint.origin, checkpoint.size, old)
            verify_consistency(checkpoint.size, old, path, checkpoint.root, seen.root)
            return None
        asked = AddCheckpoint(old, self._proof(checkpoint.origin, old, checkpoint.size), note)
        line = Witness(*identity(self.memory), store, SystemClock(), [key]).add_checkpoint(asked)
        self.cosigned[checkpoint.origin] = checkpoint.size
        return note + line

    def _proof(self, origin: str, old: int, new: int) -> tuple[bytes, ...]:
        if not 0 < old < new:
            return ()
        try:
            year = origin.rsplit("/", 1)[1][:4]
            found = self.platform.get("/log/consistency", old=old, new=new, year=year)
        except Unexpected as error:
            raise NotProven("log.consistency", "the log does not show that it continues what we saw") from error
        return tuple(map(bytes.fromhex, found["proof"]))

    def _signed(self, receipt: VerifiedReceipt, cosigned: str | None) -> str:
        said = Acknowledgement(
            receipt.origin,
            receipt.index,
            receipt.leaf_hash.hex(),
            Result.MATCHED,
            datetime.now(UTC),
            cosigned=cosigned,
        )
        return sign_acknowledgement(said, self.keys["signing_key"])

    def _key(self) -> str:
        self._log_key = self._log_key or str(self.platform.get("/log/key")["key"])
        return self._log_key
