"""Which messages of others matter to health: none yet."""

from shared.runtime import Handler

HANDLERS: dict[str, Handler] = {}
