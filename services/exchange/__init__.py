"""Exchange: the partners, and every disclosure to them from request to acknowledgement (Partneraustausch)."""

from services.exchange import history as history
