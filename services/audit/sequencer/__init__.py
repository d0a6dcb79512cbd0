"""The audit log at work: one sequencer enters, commits, reads back, and only then signs."""

from services.audit.sequencer.log import AuditLog
from services.audit.sequencer.reading import Entry, Finding, LoggedEntry

__all__ = ["AuditLog", "Entry", "Finding", "LoggedEntry"]
