"""Alembic branch of the read models of the audit service."""
