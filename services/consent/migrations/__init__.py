"""Alembic branch of the read models of the consent service."""
