"""A message as services see it, and as it travels: JSON of ids and states, the rest in AMQP properties and headers."""

from dataclasses import dataclass
from typing import Any

import orjson

from shared.domain import Json, Recorded


@dataclass(frozen=True, kw_only=True)
class Message:
    """One fact for others. `id` is the event's; `key` names the stream within which the order is kept.

    `position` is its place in the log of the service that tells it, 0 when that is not known.
    """

    id: str
    type: str
    agency: str
    data: Json
    trace: str = ""
    key: str = ""
    position: int = 0

    @property
    def source(self) -> str:
        """The service that tells it."""
        return self.type.partition(".")[0]

    @property
    def stream(self) -> str:
        """What its order is kept within."""
        return self.key or self.id


def message_of(service: str, record: Recorded, data: Json) -> Message:
    """The message about an event of `service`: named like it and known by its id. The relay adds in which order it is
    kept: that of its agency's stream.
    """
    name = f"{service}.{type(record.event).__name__}.v{record.event.version}"
    return Message(id=record.event_id, type=name, agency=record.agency, data=data, trace=record.trace)


def on_the_wire(channel: Any, message: Message) -> Any:
    """The message as `channel` publishes it, persistent."""
    headers: Json = {"agency": message.agency, "stream": message.key, "position": message.position}
    if message.trace:
        headers["traceparent"] = message.trace
    properties = {"message_id": message.id, "type": message.type, "delivery_mode": 2}
    return channel.prepare_message(
        orjson.dumps(message.data).decode(),
        content_type="application/json",
        content_encoding="utf-8",
        headers=headers,
        properties=properties,
    )


def off_the_wire(raw: Any) -> Message:
    """What was received; ValueError, KeyError or TypeError when it is no message of ours."""
    headers = raw.headers or {}
    body = raw.body if isinstance(raw.body, (str, bytes)) else bytes(raw.body)
    return Message(
        id=str(raw.properties["message_id"]),
        type=str(raw.delivery_info["routing_key"]),
        agency=str(headers.get("agency", "")),
        data=orjson.loads(body),
        trace=str(headers.get("traceparent", "")),
        key=str(headers.get("stream", "")),
        position=int(headers.get("position") or 0),
    )
