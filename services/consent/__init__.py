"""Consent: what the person allows, refuses, takes back and objects to (Datenschutz)."""

from services.consent import history as history
from services.consent.domain import imported_consent as imported_consent
