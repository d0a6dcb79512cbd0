"""Health: assessments and findings, sealed, with the scoring of their instruments."""

from services.health import history as history
