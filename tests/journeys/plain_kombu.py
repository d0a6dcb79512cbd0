"""A partner's program over RabbitMQ: kombu, and what `plain_httpx.py` does with a document."""

import json
import sys
from pathlib import Path
from typing import Any

from kombu import Connection, Consumer, Exchange, Producer, Queue

from tests.journeys.plain_httpx import acknowledgement, opened


def main(url: str, partner: str, key_file: str, log_key: str, awaited: str) -> None:
    """Takes deliveries from the partner's queue until the one awaited, and acknowledges each over the broker, too."""
    keys = json.loads(Path(key_file).read_text("utf-8"))
    user = url.split("//")[1].split(":", maxsplit=1)[0]
    with Connection(url) as connection, connection.channel() as channel:
        done: list[bool] = []

        def take(body: Any, message: Any) -> None:
            document = body if isinstance(body, dict) else json.loads(body)
            delivery = document["type"] == "handschlag.delivery.v1"
            content = opened(document, log_key, keys) if delivery else {}
            order = {
                "type": "exchange.acknowledge",
                "idempotency_key": f"ack-{document['id']}",
                "body": {"signed": acknowledgement(document, keys)},
            }
            Producer(channel, Exchange("handschlag.inbox", type="topic", no_declare=True)).publish(
                order, routing_key="acknowledgement", user_id=user, correlation_id=document["id"], declare=[]
            )
            message.ack()
            sys.stdout.write(json.dumps({"id": document["id"], "content": content}) + "\n")
            done.append(document["id"] == awaited)

        with Consumer(channel, [Queue(f"partner.{partner}", no_declare=True)], callbacks=[take], accept=["json"]):
            while not any(done):
                connection.drain_events(timeout=30)


if __name__ == "__main__":
    main(*sys.argv[1:])
