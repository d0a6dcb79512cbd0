"""Alembic branch of the read models of the exchange service."""
