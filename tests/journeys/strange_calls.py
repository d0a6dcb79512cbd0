"""All services in one green process, and four calls to the log: one as it should be, three as they should not."""

import json
import sys
from datetime import UTC, datetime
from pathlib import Path

from shared import runtime

runtime.patch()

from services.audit.queries import LogKey, LogQuestion  # noqa: E402 - after the patch
from services.command.platform import DEFINITIONS, prepare  # noqa: E402
from services.exchange.directory import DirectoryPage, DirectoryQuestion  # noqa: E402
from shared.config import Settings  # noqa: E402
from shared.errors import HandschlagError  # noqa: E402
from shared.identity import Caller, ServiceIdentity, call_id, payload_digest, sign_call  # noqa: E402
from shared.runtime import Calls  # noqa: E402
from shared.runtime.calling import open_reply  # noqa: E402
from shared.runtime.envelope import pack  # noqa: E402


def main(folder: str) -> None:
    state = Path(folder)
    settings = Settings(state=state, keys=state / "keys")
    prepare(settings)
    running = runtime.start(list(DEFINITIONS.values()), settings)
    assert running.wait_until_ready()
    try:
        sys.stdout.write(json.dumps(tried(settings)))
    finally:
        running.stop()


def tried(settings: Settings) -> dict[str, str]:
    caller = Caller(service="gateway", actor="somebody", role="auditor", agency="jc")
    health = Calls(settings, ServiceIdentity.load(settings.keys, "health"))
    key = ServiceIdentity.load(settings.keys, "gateway")
    gateway = Calls(settings, key)
    question = pack(LogQuestion(), key, "audit")
    token = sign_call(key, "audit", "key", caller, payload_digest(question), datetime.now(UTC))

    def raw(envelope: dict[str, object], call: str) -> str:
        reply = gateway._lines.exchange("audit", "key", envelope, 5)
        if reply is None:
            return "no answer"
        return answer_of(lambda: open_reply(key, "audit", call, reply, LogKey))

    return {
        "granted": answer_of(
            lambda: gateway.ask("exchange", "directory", DirectoryQuestion(), DirectoryPage, caller=caller)
        ),
        "not granted": answer_of(lambda: health.ask("audit", "authorize", LogQuestion(), LogKey, caller=caller)),
        "unsigned": raw(dict(question), ""),
        "changed": raw({**question, "body": {"year": 1999}, "call": token}, call_id(token)),
    }


def answer_of(ask: object) -> str:
    try:
        ask()  # type: ignore[operator]
    except HandschlagError as error:
        return error.code
    return "answered"


if __name__ == "__main__":
    main(sys.argv[1])
