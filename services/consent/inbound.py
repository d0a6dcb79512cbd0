"""Which messages of others matter to data protection: none yet."""

from shared.runtime import Handler

HANDLERS: dict[str, Handler] = {}
