"""Which bucket a log is copied to: from the settings, or from a file that appears and changes while the service runs."""

import logging
from pathlib import Path

from pydantic import ValidationError

from audit_service.settings import PLATFORM_LOG, Worm, WormStore, WormStores, secret
from audit_service.store.records import LogRecord
from audit_service.worm.bucket import Access, Bucket, CopyStoreError

_log = logging.getLogger(__name__)


class Stores:
    """The buckets by Region, as they are now."""

    def __init__(self, settings: Worm) -> None:
        self._settings = settings
        self._buckets: dict[str, Bucket] = {}
        self._platform = ""
        self._said = ""

    def refresh(self) -> None:
        """Read the file and the credentials anew. What cannot be read is said once and leaves everything as it was."""
        try:
            self._take(*self._read())
        except (OSError, ValidationError, CopyStoreError, ValueError) as error:
            said = f"{type(error).__name__}: {error}"
            if said != self._said:
                _log.warning("the object stores of the copies are left as they were: %s", said)
            self._said = said
        else:
            self._said = ""

    def _read(self) -> tuple[WormStores, Path]:
        file = self._settings.stores_file
        if file is None or not file.exists():
            return self._settings, Path()
        return WormStores.model_validate_json(file.read_bytes()), file.parent

    def _take(self, found: WormStores, folder: Path) -> None:
        wanted = {store.region: _access(store, folder) for store in found.stores}
        buckets = {}
        for region, access in wanted.items():
            known = self._buckets.get(region)
            buckets[region] = known if known is not None and known.access == access else Bucket(access)
            if known is not buckets[region]:
                _log.info("logs of region %s are copied to %s as %s", region, access.where, access.access_key)
        self._buckets = buckets
        self._platform = found.platform_region or self._settings.platform_region or next(iter(wanted), "")

    @property
    def platform(self) -> Bucket | None:
        """Return the bucket of the platform log's copy."""
        return self._buckets.get(self._platform)

    def region_of(self, log: LogRecord) -> str:
        """Return the Region whose bucket has this log's copy."""
        return self._platform if log.name == PLATFORM_LOG else log.region

    def of(self, log: LogRecord) -> Bucket | None:
        """Return the bucket of this log's copy; None when its Region has none."""
        return self._buckets.get(self.region_of(log))

    @property
    def regions(self) -> list[str]:
        """Return the Regions that have a bucket."""
        return sorted(self._buckets)

    def named(self, region: str) -> Bucket | None:
        """Return a Region's bucket."""
        return self._buckets.get(region)

    def __bool__(self) -> bool:
        return bool(self._buckets)


def _access(store: WormStore, folder: Path) -> Access:
    key, hidden = secret(folder / store.access_key_file), secret(folder / store.secret_key_file)
    ca = secret(folder / store.ca_file) if store.ca_file is not None else None
    return Access(store.endpoint, store.store_region, store.bucket, key or "", hidden or "", ca or "")
