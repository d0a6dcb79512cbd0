"""Audit: the log that decides and records in one step, and says no when it cannot (Protokoll)."""

from services.audit import history as history
