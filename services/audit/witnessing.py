"""Asking the witnesses: the newest checkpoint is laid before them, with the proof that it continues what they saw.

All witnesses are asked about the same checkpoint, so that a quorum meets on one, until it is met or `PATIENCE` is over;
then about the newest. Nothing waits for a witness: one that is late, away or contradicts us is asked again after
growing pauses, and stands in `witness_trouble`, a log line, and a span. What we are told is never believed, only
checked: a cosignature by the witness's key, a size by the proof that it makes us give.
"""

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Event
from urllib.parse import urlsplit

import requests
from sqlalchemy import select

from services.audit.evidence import policy_of
from services.audit.sequencer.cosignatures import (
    cosigned_up_to,
    cosigners,
    keep_cosignatures,
    no_trouble,
    trouble,
)
from services.audit.sequencer.reading import heads, last_checkpoint, nodes_of
from services.audit.tables import checkpoint
from shared import telemetry
from shared.clock import Clock
from shared.database import Database
from shared.errors import HandschlagError
from shared.merkle import NotProven, consistency_path
from shared.notes import AddCheckpoint, VerifierKey, claimed_checkpoint
from shared.runtime import ServiceContext
from shared.witness import KnownWitness, Policy

PACE = 1.0
"""Seconds between two looks at what is new."""

PATIENCE = 10.0
"""Seconds after which a quorum is sought on the newest checkpoint instead of the one before."""

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 300.0
TIMEOUT = (3.05, 10.0)
LONGEST_ANSWER = 16 * 1024
LARGEST = (1 << 63) - 1
STEPS = 3
"""How often one request follows a witness to the size that it names."""

AWAY = "witness.away"
ALL_LOGS = ""
REFUSALS = {
    400: "witness.bad_request",
    403: "witness.not_signed",
    404: "witness.unknown_log",
    422: "witness.not_proven",
}


@dataclass(frozen=True)
class Answer:
    """What a witness answered: status and body."""

    status: int
    body: str


Post = Callable[[str, str], Answer]
"""Sends a body to an address; raises `OSError` when there is no answer."""


class Trouble(Exception):
    """A witness that did not cosign; `code` says why."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass
class Target:
    """The checkpoint of one log on which a quorum is sought, and since when."""

    size: int
    note: str
    since: float


@dataclass
class Pause:
    """Until when a witness is not asked about a log, and how long the next pause is."""

    until: float = 0.0
    length: float = FIRST_PAUSE

    def again(self, now: float) -> None:
        self.until, self.length = now + self.length, min(2 * self.length, LONGEST_PAUSE)


@dataclass
class Witnessing:
    """For all logs of one database and all witnesses of the policy that have an address."""

    database: Database
    policy: Policy
    clock: Clock
    post: Post
    monotonic: Callable[[], float] = time.monotonic
    _targets: dict[str, Target] = field(default_factory=dict)
    _pauses: dict[tuple[str, str], Pause] = field(default_factory=dict)
    _settled: set[str] = field(default_factory=set)

    @property
    def asked(self) -> list[KnownWitness]:
        return [each for each in self.policy.witnesses.values() if each.url]

    def run(self, stop: Event) -> None:
        """Until told to stop; a witness that is slow holds up itself and nobody else."""
        busy = dict[str, Future[None]]()
        pool = ThreadPoolExecutor(max(1, len(self.asked)), "witness")
        try:
            while not stop.is_set():
                due = self.due()
                for witness in self.asked:
                    before = busy.get(witness.name)
                    if before is not None and before.done():
                        before.result()
                    if due and (before is None or before.done()):
                        busy[witness.name] = pool.submit(self._ask_all, witness, due)
                stop.wait(PACE)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def round(self) -> None:
        """Lay what is due before every witness, once, one after the other."""
        due = self.due()
        for witness in self.asked:
            self._ask_all(witness, due)

    def due(self) -> dict[str, Target]:
        """The checkpoint of each log that some witness has yet to cosign."""
        keys, now = {each.key for each in self.asked}, self.monotonic()
        found = dict[str, Target]()
        with self.database.read() as tx:
            known = heads(tx)
            written = {each.name.agency: each.log for each in known}.values()
            for log in (each.log for each in known if each.log not in self._settled):
                signed = last_checkpoint(tx, log)
                if signed is None:
                    continue
                target = self._targets.get(log)
                given = cosigners(tx, log, target.size) if target else set()
                late = target is not None and now - target.since > PATIENCE
                if target is None or (target.size < signed[0] and (late or self.policy.met_by_keys(given))):
                    target = self._targets[log] = Target(*signed, now)
                    given = cosigners(tx, log, target.size)
                if not keys <= given:
                    found[log] = target
                elif target.size == signed[0] and log not in written:
                    self._settled.add(log)
        return found

    def ask(self, witness: KnownWitness, log: str, target: Target) -> None:
        """One witness about one checkpoint; keeps the cosignature. Raises `Trouble`."""
        with self.database.read() as tx:
            known = cosigned_up_to(tx, log, witness.key)
        old = min(known, target.size)
        for _ in range(STEPS):
            answer = self._sent(witness, log, old, target)
            if answer.status == 200:
                self._keep(witness, log, target, answer.body)
                return
            if answer.status != 409:
                raise Trouble(REFUSALS.get(answer.status, "witness.unexpected_answer"))
            named = _size(answer.body)
            if named == old:
                raise Trouble("witness.other_tree")
            if named < known:
                raise Trouble("witness.forgot")
            if named > target.size:
                target = self._newer(log, named)
            old = named
        raise Trouble("witness.wavers")

    def _ask_all(self, witness: KnownWitness, due: dict[str, Target]) -> None:
        """One log after the other; a witness that is away is away for all of them."""
        for log, target in due.items():
            if self._paused(witness, ALL_LOGS) or self._paused(witness, log):
                continue
            with self.database.read() as tx:
                if witness.key in cosigners(tx, log, target.size):
                    continue
            try:
                with telemetry.span("ask a witness", agency=log.split("/")[-2], count=target.size):
                    self.ask(witness, log, target)
            except (Trouble, HandschlagError) as error:
                which = ALL_LOGS if error.code == AWAY else log
                self._pauses.setdefault((which, witness.name), Pause()).again(self.monotonic())
                self._in_trouble(witness, log, target, error.code)
            else:
                for which in (ALL_LOGS, log):
                    self._pauses.pop((which, witness.name), None)

    def _paused(self, witness: KnownWitness, log: str) -> bool:
        pause = self._pauses.get((log, witness.name))
        return pause is not None and self.monotonic() < pause.until

    def _sent(self, witness: KnownWitness, log: str, old: int, target: Target) -> Answer:
        proof: tuple[bytes, ...] = ()
        if 0 < old < target.size:
            with self.database.read() as tx:
                proof = consistency_path(old, target.size, nodes_of(tx, log))
        try:
            url = f"{str(witness.url).rstrip('/')}/add-checkpoint"
            return self.post(url, str(AddCheckpoint(old, proof, target.note)))
        except OSError:
            raise Trouble(AWAY) from None

    def _keep(self, witness: KnownWitness, log: str, target: Target, lines: str) -> None:
        try:
            with self.database.write() as tx:
                keep_cosignatures(tx, log, target.size, target.note + lines, [witness.key])
                no_trouble(tx, log, witness.key)
        except HandschlagError as error:
            code = "witness.bad_cosignature" if error.code.startswith("log.") else error.code
            raise Trouble(code) from error

    def _newer(self, log: str, named: int) -> Target:
        """The checkpoint that another process laid before the witness, or none: then our log ends before theirs."""
        with self.database.read() as tx:
            here = checkpoint.c.log == log, checkpoint.c.size >= named
            row = tx.execute(
                select(checkpoint.c.size, checkpoint.c.note).where(*here).order_by(checkpoint.c.size).limit(1)
            ).first()
        if row is None:
            raise Trouble("witness.knows_more")
        return Target(row.size, row.note, self.monotonic())

    def _in_trouble(self, witness: KnownWitness, log: str, target: Target, code: str) -> None:
        telemetry.logger("audit").warning("a witness has not cosigned", host=_host(witness), code=code)
        with self.database.write() as tx:
            trouble(tx, log, witness.key, code=code, size=target.size, now=self.clock.now())


class HttpPost:
    """Over HTTP, with one connection kept open for each witness; never to another address than the one named."""

    def __init__(self) -> None:
        self._sessions: dict[str, requests.Session] = {}

    def __call__(self, url: str, body: str) -> Answer:
        session = self._sessions.setdefault(url, requests.Session())
        headers = {"Content-Type": "text/plain; charset=utf-8"}
        sent = session.post(
            url, data=body.encode(), headers=headers, timeout=TIMEOUT, allow_redirects=False, stream=True
        )
        with sent as answer:
            found = next(answer.iter_content(LONGEST_ANSWER), b"")
            return Answer(answer.status_code, found.decode(errors="replace"))


def ask_witnesses(context: ServiceContext, stop: Event) -> None:
    """The loop that asks; without witnesses that have an address there is nobody to ask."""
    witnessing = Witnessing(context.database, policy_of(context.settings), context.clock, HttpPost())
    if witnessing.asked:
        witnessing.run(stop)
    else:
        stop.wait()


def keep_partners_cosignature(database: Database, agency: str, note: str, key: VerifierKey) -> None:
    """What a partner cosigned with its acknowledgement. Raises `NotProven` unless `key` did cosign it, and it is, word
    for word, a checkpoint of this agency's.
    """
    said = claimed_checkpoint(note)
    with database.write() as tx:
        logs = {each.log for each in heads(tx, agency)}
        here = checkpoint.c.log == said.origin, checkpoint.c.size == said.size
        ours = tx.scalar(select(checkpoint.c.note).where(*here))
        if said.origin not in logs or ours is None or claimed_checkpoint(ours) != said:
            raise NotProven("witness.other_checkpoint", "what was cosigned is no checkpoint of this log")
        keep_cosignatures(tx, said.origin, said.size, note, [key])


def _size(body: str) -> int:
    digits = body.removesuffix("\n")
    if digits == body or not (digits.isascii() and digits.isdigit()) or len(digits) > 19 or int(digits) > LARGEST:
        raise Trouble("witness.unexpected_answer")
    return int(digits)


def _host(witness: KnownWitness) -> str:
    return urlsplit(str(witness.url)).hostname or ""
