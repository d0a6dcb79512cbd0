"""How the log stands: how long it is, whether it signs, what the checks found and when they last ran."""

from services.audit.findings import CheckView, Findings, FindingView
from services.audit.sequencer import AuditLog
from shared.database import Database
from shared.domain import value
from shared.errors import NotFound


@value
class StatusQuestion:
    """Nothing to choose."""


@value
class LogStatus:
    """`refusal` says why nothing is signed at present, as a code. `findings` stand until the same check no longer makes
    them; `checks` say when each last came to its end.
    """

    origin: str | None
    entries: int
    refusal: str | None
    findings: tuple[FindingView, ...]
    checks: tuple[CheckView, ...]


def log_status(database: Database, log: AuditLog, agency: str) -> LogStatus:
    """Also of an agency that has no log yet."""
    try:
        origins = log.origins(agency)
    except NotFound:
        origins = []
    with database.read() as tx:
        found, checks = Findings(agency).all(tx), Findings(agency).checks(tx)
    return LogStatus(
        origin=origins[-1] if origins else None,
        entries=log.size(agency),
        refusal=log.refusal(agency),
        findings=found,
        checks=checks,
    )
