"""Running services: their containers, their work, one way to stop.

Every part runs in a thread of its own and is started again, later each time, when it fails; a broker or a database
that is away delays things and ends nothing. In the default start all services share a process and the broker inside
it; in a deployment each process runs one.
"""

import signal
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from threading import Event
from typing import Any

import eventlet
import eventlet.wsgi
from nameko.runners import ServiceRunner

from shared import collector, telemetry
from shared.config import Settings
from shared.event_hashes import hash_events
from shared.eventstore import Bookmark, EventStore, Projection, run_once
from shared.eventstore.projections import PAGE
from shared.messaging import Consumer, set_up
from shared.outbox import relay
from shared.runtime.service import CONTEXTS, ServiceContext, ServiceDefinition, context

WORKERS = 40
STOP_SECONDS = 10.0
FIRST_DELAY, LONGEST_DELAY = 0.25, 5.0
HEARTBEAT = 30
GATHERING_SECONDS = 0.2

Part = Callable[[Event], None]


class Running:
    """Services at work. `contexts` holds what each of them uses, by name."""

    def __init__(self, definitions: Sequence[ServiceDefinition], settings: Settings) -> None:
        self.settings = settings
        self.contexts = {each.name: context(each.name, settings) for each in definitions}
        self._definitions = list(definitions)
        self._stop = Event()
        self._asked_to_stop = False
        self._ready = {each.name: Event() for each in definitions}
        self._threads: list[threading.Thread] = []

    def start(self) -> "Running":
        """Begin. Answers at once; `wait_until_ready` tells when calls will be answered."""
        consumers = {each.name: self._consumer(each) for each in self._definitions if each.work.inbound}
        for definition in self._definitions:
            self._spawn(f"{definition.name}.container", partial(self._containers, definition))
            for name, part in _parts(definition, self.contexts[definition.name], consumers):
                self._spawn(f"{definition.name}.{name}", part)
        return self

    def wait_until_ready(self, timeout: float = 30.0) -> bool:
        """Whether all services take calls now."""
        ends = time.monotonic() + timeout
        return all(ready.wait(max(ends - time.monotonic(), 0)) for ready in self._ready.values())

    def wait(self) -> None:
        """Until somebody calls `stop` or `ask_to_stop`."""
        while not self._asked_to_stop and not self._stop.wait(0.2):
            pass

    def ask_to_stop(self) -> None:
        """Only make a note of it, as a signal handler must: it may run in the middle of anything."""
        self._asked_to_stop = True

    def stop(self) -> None:
        """Finish what is under way and end, at the latest after about ten seconds. Stopping twice changes nothing."""
        self._stop.set()
        ends = time.monotonic() + STOP_SECONDS
        for thread in self._threads:
            thread.join(max(ends - time.monotonic(), 0.01))
        for held in self.contexts.values():
            held.close()
        telemetry.shut_down()

    def _consumer(self, definition: ServiceDefinition) -> Consumer:
        return Consumer(self.contexts[definition.name], definition.work.inbound, definition.work.sources)

    def _spawn(self, name: str, part: Part) -> None:
        thread = threading.Thread(target=supervised, args=(name, part, self._stop), name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _containers(self, definition: ServiceDefinition, stop: Event) -> None:
        """Answer calls until `stop`; raises when the container died."""
        set_up(self.settings.broker, definition.name)
        runner = ServiceRunner(config=self._config())
        runner.add_service(definition.service)
        watcher = threading.Thread(target=_stop_with, args=(runner, stop), daemon=True)
        watcher.start()
        runner.start()
        self._ready[definition.name].set()
        try:
            runner.wait()
        finally:
            self._ready[definition.name].clear()

    def _config(self) -> dict[str, Any]:
        return {
            "AMQP_URI": self.settings.broker,
            "HEARTBEAT": HEARTBEAT,
            "max_workers": WORKERS,
            "serializer": "json",
            CONTEXTS: self.contexts,
        }


@dataclass
class Serving:
    """A WSGI application at `http://host:port`."""

    host: str
    port: int
    _thread: Any
    _socket: Any

    def stop(self) -> None:
        """Take no more requests."""
        self._thread.kill()
        self._socket.close()


def start(definitions: Sequence[ServiceDefinition], settings: Settings) -> Running:
    """Begin to run these services in this process. In a green process only: `runtime.patch()` came first."""
    if not eventlet.patcher.is_monkey_patched("thread"):
        message = "call shared.runtime.patch() before anything else"
        raise RuntimeError(message)
    telemetry.set_up(
        definitions[0].name if len(definitions) == 1 else "handschlag",
        log_level=settings.log_level,
        spans=settings.spans,
    )
    return Running(definitions, settings).start()


def run(
    definitions: Sequence[ServiceDefinition],
    settings: Settings,
    *,
    also: Callable[[Running], object] | None = None,
) -> None:
    """Run these services until SIGTERM or SIGINT, then stop them gracefully.

    `also(running)` is called once they are started, for what else belongs into the process; what it returns is
    stopped with them if it has a `stop`.
    """
    running = start(definitions, settings)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: running.ask_to_stop())
    beside = also(running) if also else None
    collector.spare()
    try:
        running.wait()
    finally:
        if hasattr(beside, "stop"):
            beside.stop()
        running.stop()


class _Nowhere:
    def write(self, _text: str) -> None:
        """Forget it."""


def serve_wsgi(app: Callable[..., Any], host: str, port: int) -> Serving:
    """Serve a WSGI application in this process, without a log of requests (paths may name persons)."""
    listening = eventlet.listen((host, port), reuse_addr=True)
    thread = eventlet.spawn(eventlet.wsgi.server, listening, app, log=_Nowhere(), log_output=False, debug=False)
    return Serving(host, listening.getsockname()[1], thread, listening)


def timer(seconds: float, action: Callable[[ServiceContext], object]) -> Callable[[ServiceContext, Event], None]:
    """A loop for `Work.loops` that acts now and then every so many seconds."""

    def loop(context: ServiceContext, stop: Event) -> None:
        while not stop.is_set():
            action(context)
            stop.wait(seconds)

    return loop


def supervised(name: str, part: Part, stop: Event) -> None:
    """Run `part(stop)` again and again until `stop`, after growing pauses when it fails soon."""
    delay = FIRST_DELAY
    while not stop.is_set():
        began = time.monotonic()
        try:
            part(stop)
        except Exception as error:  # noqa: BLE001
            telemetry.logger("runtime").error("a part is started again", loop=name, **telemetry.describe(error))
        if time.monotonic() - began > LONGEST_DELAY:
            delay = FIRST_DELAY
        stop.wait(delay)
        delay = min(delay * 2, LONGEST_DELAY)


def _parts(
    definition: ServiceDefinition, held: ServiceContext, consumers: Mapping[str, Consumer]
) -> Iterable[tuple[str, Part]]:
    work = definition.work
    for projection in work.projections:
        yield f"projection.{projection.name}", partial(_project, held.store, projection)
    if work.outbound is not None:
        bound = [each.bound for each in consumers.values()]
        yield "relay", partial(_when_bound, held, bound, partial(relay, held, work.outbound))
        own = partial(work.hashes, held) if work.hashes else None
        yield "hashes", partial(_when_bound, held, bound, partial(hash_events, held, hand_over=own))
    if work.inbound:
        consumer = consumers[definition.name]
        yield "inbox", partial(_after_set_up, held, consumer.sources, consumer.run)
    for number, loop in enumerate(work.loops):
        yield f"loop.{number}", partial(loop, held)


def _when_bound(held: ServiceContext, bound: Sequence[Event], part: Part, stop: Event) -> None:
    """Tell nothing before everybody in this process listens: in the broker inside it, nobody keeps it for later."""
    while not stop.is_set():
        if all(each.wait(0.25) for each in bound):
            _after_set_up(held, [], part, stop)


def _after_set_up(held: ServiceContext, sources: Sequence[str], part: Part, stop: Event) -> None:
    set_up(held.settings.broker, held.name, sources)
    part(stop)


def _project(store: EventStore, projection: Projection, stop: Event) -> None:
    """Nobody waits for this: who asks a read model brings it on first (`catch_up`). So it goes in larger steps."""
    bookmark = Bookmark(store.database, projection.name)
    while not stop.is_set():
        if store.wait(bookmark.position(), 0.5):
            stop.wait(GATHERING_SECONDS)
            while run_once(store, projection, PAGE) == PAGE and not stop.is_set():
                pass


def _stop_with(runner: ServiceRunner, stop: Event) -> None:
    """Stop the container when everything stops; without a broker it does not stop by itself, so not for ever."""
    stop.wait()
    with eventlet.Timeout(STOP_SECONDS / 2, exception=False):
        runner.stop()
        return
    with eventlet.Timeout(1, exception=False):
        runner.kill()
