"""`make contracts`: writes again what is generated from the code.

The dataclasses are the source. `commands/` and `views/` hold the questions and answers of RPC, `events/` and
`messages/` what is stored and sent, `asyncapi/` and `openapi.yaml` the documents for those who integrate,
`samples/` one example per event version, which is written once and kept for ever.
"""

import json
import sys
import tempfile
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import yaml

from services import SERVICES
from shared import runtime
from shared.domain import event_classes
from shared.event_hashes import AUDIT, EventsHashed, message_type
from shared.runtime.calling import signature_of
from shared.schema import json_schema

Json = dict[str, Any]
FOLDER = Path(__file__).resolve().parent
GENERATED = ("commands", "views", "events", "messages", "asyncapi")


def generated() -> dict[str, str]:
    """Every generated file, by its path in `contracts/`."""
    files: dict[str, str] = {}
    for service in SERVICES:
        for method, question, answer in methods(service):
            files[f"commands/{service}.{method}.json"] = _json(json_schema(question))
            if answer is not type(None):
                files[f"views/{service}.{method}.json"] = _json(json_schema(answer))
        for name, cls in messages(service).items():
            files[f"messages/{name}.json"] = _json(json_schema(cls))
        files[f"asyncapi/{service}.yaml"] = _yaml(asyncapi(service))
    for name, event in sorted(event_classes().items()):
        if event.__module__.startswith("services."):
            files[f"events/{name}.v{event.version}.json"] = _json(json_schema(event))
    files["openapi.yaml"] = _yaml(openapi())
    return files


def methods(service: str) -> Iterator[tuple[str, type, type]]:
    """The RPC methods of a service: name, question, answer."""
    module = import_module(f"services.{service}.service")
    offered = getattr(module, f"{service.capitalize()}Service")
    for name, member in sorted(vars(offered).items()):
        if getattr(member, "nameko_entrypoints", None):
            question, answer = signature_of(member)
            yield name, question, answer or type(None)


def messages(service: str) -> dict[str, type]:
    """The messages of a service by type."""
    own: dict[str, type] = import_module(f"services.{service}.outbound").MESSAGES
    hashed = {} if service == AUDIT else {message_type(service): EventsHashed}
    return own | hashed


def samples() -> dict[str, str]:
    """An example of every event in its present version; only those that are not there yet are written."""
    return {
        f"samples/{name}.v{event.version}.json": _json(example(json_schema(event)))
        for name, event in sorted(event_classes().items())
        if event.__module__.startswith("services.")
    }


def example(schema: Json, definitions: Json | None = None) -> Any:
    """A small value that fits the schema, always the same one."""
    definitions = definitions or schema.get("$defs", {})
    if "$ref" in schema:
        return example(definitions[schema["$ref"].rsplit("/", 1)[1]], definitions)
    if "anyOf" in schema:
        return example(schema["anyOf"][0], definitions)
    if "enum" in schema:
        return schema["enum"][0]
    kind = schema.get("type", "string")
    match kind[0] if isinstance(kind, list) else kind:
        case "object":
            return {name: example(inner, definitions) for name, inner in schema.get("properties", {}).items()}
        case "array":
            return [example(schema["items"], definitions)]
        case "integer":
            return 1
        case "boolean":
            return True
    texts = {"date": "2026-11-22", "date-time": "2026-11-22T08:02:00.000000Z"}
    return texts.get(schema.get("format", ""), "example")


def earlier_version(name: str) -> bool:
    """Whether a file describes an older version of an event that there still is: published, and kept for ever."""
    folder, _, file = name.partition("/")
    event, _, version = file.removesuffix(".json").rpartition(".v")
    known = event_classes().get(event)
    return folder == "events" and known is not None and version.isdigit() and int(version) < known.version


def asyncapi(service: str) -> Json:
    """AsyncAPI 3.0 of what one service tells."""
    exchange = f"{service}.events"
    known = messages(service)
    return {
        "asyncapi": "3.0.0",
        "info": {"title": f"Handschlag {service}", "version": "1.0.0", "license": {"name": "EUPL-1.2"}},
        "defaultContentType": "application/json",
        "channels": {
            name: {
                "address": name,
                "messages": {name: {"name": name, "payload": json_schema(cls)}},
                "bindings": {"amqp": {"is": "routingKey", "exchange": {"name": exchange, "type": "topic"}}},
            }
            for name, cls in sorted(known.items())
        },
        "operations": {
            f"send {name}": {
                "action": "send",
                "channel": {"$ref": f"#/channels/{name}"},
                "messages": [{"$ref": f"#/channels/{name}/messages/{name}"}],
            }
            for name in sorted(known)
        },
    }


def openapi() -> Json:
    """The document of the gateway, as it serves it."""
    from services.gateway.app import create_app  # noqa: PLC0415
    from shared.config import Settings  # noqa: PLC0415

    with tempfile.TemporaryDirectory() as folder:
        state = Path(folder)
        settings = Settings(database=f"sqlite:///{folder}", state=state, keys=state / "keys")
        app = create_app(settings, runtime.LocalCalls())
        document: Json = app.test_client().get("/openapi.json").get_json()
    return document


def _json(document: Any) -> str:
    return json.dumps(document, ensure_ascii=False, indent=2, sort_keys=True) + "\n"


def _yaml(document: Json) -> str:
    return yaml.safe_dump(document, allow_unicode=True, sort_keys=False, width=120)


def main() -> None:
    files = generated()
    for folder in GENERATED:
        for old in (FOLDER / folder).glob("*"):
            name = f"{folder}/{old.name}"
            if name not in files and not earlier_version(name):
                old.unlink()
    for name, text in files.items():
        path = FOLDER / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, "utf-8")
    for name, text in samples().items():
        path = FOLDER / name
        path.parent.mkdir(exist_ok=True)
        if not path.exists():
            path.write_text(text, "utf-8")
    sys.stdout.write(f"{len(files)} files written\n")


if __name__ == "__main__":
    main()
