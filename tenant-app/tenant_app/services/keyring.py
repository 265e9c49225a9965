"""The signing key's public halves, remembered: they never change, only new versions join them."""

import time

from tenant_app.adapters.ports import Keys

REMEMBER = 300.0


class Keyring:
    """Asks Vault for public keys at most every five minutes."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self._found: dict[int, bytes] = {}
        self._at = float("-inf")

    async def public_keys(self, *, at_least: int = 0) -> dict[int, bytes]:
        """Return raw Ed25519 keys by version, asked anew when `at_least` is not among them. Raises VaultAway, VaultRefused."""
        if time.monotonic() - self._at > REMEMBER or (at_least and at_least not in self._found):
            self._found = await self._keys.public_keys()
            self._at = time.monotonic()
        return self._found
