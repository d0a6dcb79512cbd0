"""Bundles of every kind, given out by a whole platform over the turn of a year."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from services.audit.domain.ruling import Extent
from services.audit.evidence import audit_log
from services.audit.handlers import Office
from services.audit.queries import Answer, AuthorizeDisclosure, Kind, ReceiptView
from services.audit.reading_room import BundlePage, BundleQuestion, ExportLog
from shared.audit import commitment
from shared.domain import Json, known
from shared.identity import Caller
from tests.support.clock import FixedClock
from tests.support.local_platform import LocalPlatform, local_platform
from tests.support.workplace import STATED, STATUTORY_TASK, Workplace, fresh

AUDITOR = "pruefung"
BEFORE_NEW_YEAR = datetime(2026, 12, 29, 11, 0, tzinfo=UTC)


@dataclass(frozen=True)
class Given:
    """A bundle as it was given out, and the keys of the logs that it names."""

    lines: tuple[str, ...]
    keys: tuple[str, ...]

    @property
    def data(self) -> bytes:
        return "".join(f"{line}\n" for line in self.lines).encode()


def take_along(platform: LocalPlatform, agency: str, asked: Json, *, limit: int = 7) -> tuple[str, ...]:
    """The lines of an export, page by page, as an auditor fetches them."""
    export_id = fresh("export")
    more: Any = {"export_id": export_id, "reason": "Beschwerde 7/26", **asked}
    spoken: Any = {"agency": agency, "role": "auditor", "actor": AUDITOR}
    platform.ask("audit", "export", ExportLog(**more), ReceiptView, **spoken)
    lines, after = list[str](), ""
    while True:
        question = BundleQuestion(export_id=export_id, after=after, limit=limit)
        page = platform.ask("audit", "bundle", question, BundlePage, **spoken)
        lines += known(page.lines, ())
        if page.next is None:
            assert len(lines) == page.total
            return tuple(lines)
        after = page.next


def resealed(lines: list[str]) -> bytes:
    """The lines with an end that fits them, as somebody would write it who has changed them."""
    link = bytes(32)
    for line in lines:
        link = sha256(link + line.encode() + b"\n").digest()
    end = f'{{"chain":"{link.hex()}","end":{len(lines)}}}'
    return "".join(f"{line}\n" for line in [*lines, end]).encode()


@dataclass(frozen=True)
class Rulings:
    """An agency whose disclosures are ruled on and logged, without the services around."""

    at: Workplace

    def ruled(self, *categories: str, **changed: Any) -> AuthorizeDisclosure:
        """A disclosure to the pension insurer that was asked for, and how it went."""
        usual: dict[str, Any] = {
            "disclosure_id": fresh("disclosure"),
            "person_id": fresh("person"),
            "case_id": None,
            "sender": Kind(body="jobcenter", domain="sgb_ii"),
            "partner_id": "drv",
            "recipient": Kind(body="pension_insurer", domain="sgb_vi"),
            "held": categories,
            "purpose": STATUTORY_TASK,
            "basis": None,
            "extent": Extent.ALL,
            "facts": {**STATED, "age": 36},
            "commitments": {f"content.{name}": commitment(bytes(32), {"text": name}) for name in categories},
        }
        asked = AuthorizeDisclosure(categories=categories, **(usual | changed))
        caller = Caller(
            service="exchange", actor="tester", role="case_worker", agency=self.at.agency, command_id=fresh("command")
        )
        self.at.platform.calls.ask("audit", "authorize", asked, Answer, caller=caller)
        return asked

    def went(self, asked: AuthorizeDisclosure, result: str) -> None:
        """What became of it."""
        context = self.at.platform.contexts["audit"]
        store = context.store.agency(self.at.agency)
        office = Office(self.at.agency, store, audit_log(context), context.clock)
        office.record_outcome(asked.disclosure_id, "outcome", result, fresh("message"))


def all_kinds(folder: Path) -> Mapping[str, Given]:
    """A subject, a case, a period, one over the turn of a year, and every kind of an empty answer."""
    clock = FixedClock(BEFORE_NEW_YEAR)
    with local_platform(folder, clock=clock) as platform:
        jobcenter = Workplace.of(platform)
        at = Rulings(jobcenter)
        person, case = fresh("person"), fresh("case")
        first = at.ruled("benefit_data", "master_data", person_id=person, case_id=case)
        at.went(first, "handed_over")
        at.went(first, "matched")
        at.ruled("coaching_content", case_id=fresh("case"))
        clock.move(days=1)
        at.ruled("benefit_data", person_id=person, case_id=fresh("case"))
        for _ in range(4):
            at.ruled("master_data")
        clock.move(days=5)
        at.went(at.ruled("benefit_data", person_id=person, case_id=case), "handed_over")
        clock.move(days=3)
        at.ruled("coaching_content")
        wanted: dict[str, Json] = {
            "subject": {"what": "subject", "person_id": person, "open": ("person", "case", "facts")},
            "case": {"what": "case", "person_id": person, "case_id": case},
            "nobody": {"what": "subject", "person_id": "person-never-seen"},
            "day": {"what": "period", "first_day": date(2026, 12, 30), "last_day": date(2026, 12, 30)},
            "turn": {"what": "period", "first_day": date(2026, 12, 30), "last_day": date(2027, 1, 31)},
            "silence": {"what": "period", "first_day": date(2026, 12, 31), "last_day": date(2027, 1, 2)},
            "before": {"what": "period", "first_day": date(2025, 1, 1), "last_day": date(2025, 2, 1)},
        }
        log = audit_log(platform.contexts["audit"])
        keys = tuple(log.verifier_key(origin) for origin in log.origins(jobcenter.agency))
        return {name: Given(take_along(platform, jobcenter.agency, asked), keys) for name, asked in wanted.items()}
