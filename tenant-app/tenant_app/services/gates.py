"""One at a time by key: so that what is counted is counted before the next is weighed."""

import asyncio
from weakref import WeakValueDictionary


class Gates:
    """A lock a key, forgotten when nobody waits at it. Within this process: a second replica adds its own try, no more."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[bytes, asyncio.Lock] = WeakValueDictionary()

    def of(self, key: bytes) -> asyncio.Lock:
        """Return the lock of this key; hold the returned object while it is needed."""
        lock = self._locks.get(key)
        if lock is None:
            lock = self._locks[key] = asyncio.Lock()
        return lock
