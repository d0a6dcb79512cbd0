"""The gateway's public keys, for whoever sends personal data in messages."""

from services.gateway.operations import Desk, Resource
from shared.domain import Json, value

keys = Resource("keys", "Public keys of this gateway.")


@value
class NoChoice:
    """Nothing to choose."""


@value
class KeySet:
    """A JWK Set (RFC 7517): bodies of messages with personal data are sealed for its X25519 key."""

    keys: tuple[Json, ...]


@keys.reads("/keys", "keys")
def public_keys(desk: Desk, asked: NoChoice) -> KeySet:
    """Read the keys for which bodies of messages are sealed."""
    del asked
    return KeySet(keys=(desk.sealing_key(),))
