"""What a call between two services costs: over the broker inside the process, and over RabbitMQ.

    python -m tests.bench.calls [--seconds 3] [--runs 3] [--json FILE]

Signed question and signed answer of a hundred characters, one caller, both sides in one process under green threads,
as in the default start. Each turn runs in a process of its own; turns alternate and medians count. The "peer" is the
same over RabbitMQ; goal: twice as fast without it.
"""

import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from shared import runtime

if __name__ == "__main__" and "--broker" in sys.argv:
    runtime.patch()

from shared.domain import value
from shared.identity import Caller, create_identities
from tests.bench.servers import rabbitmq
from tests.bench.table import Row, interleaved, options_of_turns, rate, report
from tests.support.flow import settings_of

CALLER = Caller(service="gateway", actor="anna", role="case_worker", agency="jobcenter", purpose="counselling")
RULES = "gateway:\n  answering: [answer]\n"
EMBEDDED, OVER_RABBITMQ = "embedded", "RabbitMQ"


@value
class Said:
    text: str


class Answering:
    name = "answering"

    @runtime.rpc
    def answer(self, question: Said, caller: Caller) -> Said:
        return question


def calls_a_second(url: str, seconds: float) -> float:
    """In this process, which has to be green."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        create_identities(folder / "keys", ["gateway", "answering"])
        (folder / "calls.yaml").write_text(RULES)
        settings = settings_of(folder, url)
        running = runtime.start([runtime.ServiceDefinition("answering", Answering, runtime.Work())], settings)
        assert running.wait_until_ready()
        calls, question = runtime.calls_of("gateway", settings), Said(text="x" * 100)

        def ask() -> int:
            assert calls.ask("answering", "answer", question, Said, caller=CALLER) == question
            return 1

        ends = time.monotonic() + 0.5
        while time.monotonic() < ends:
            ask()
        found = rate(ask, seconds)
        calls.close()
        running.stop()
        return found


def in_a_process_of_its_own(url: Callable[[], str], seconds: float) -> Callable[[], float]:
    def turn() -> float:
        command = [sys.executable, "-m", "tests.bench.calls", "--broker", url(), "--seconds", str(seconds)]
        told = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
        return float(told.split()[-1])

    return turn


def main() -> int:
    parser = options_of_turns(__doc__, seconds=3)
    parser.add_argument("--broker", help="only one turn, over this broker; prints calls a second")
    chosen = parser.parse_args()
    if chosen.broker:
        print(calls_a_second(chosen.broker, chosen.seconds))
        return 0
    with ExitStack() as stack:
        url = stack.enter_context(rabbitmq())
        urls: dict[str, Callable[[], str]] = {
            EMBEDDED: lambda: f"inproc://{uuid.uuid4().hex}",
            OVER_RABBITMQ: lambda: url,
        }
        turns = {name: in_a_process_of_its_own(each, chosen.seconds) for name, each in urls.items()}
        found = interleaved(turns, chosen.runs)
    note = "peer: the same over RabbitMQ; goal: 2"
    report([Row("calls", "signed call, one process", found[EMBEDDED], found[OVER_RABBITMQ], note=note)], chosen.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
