"""`python -m audit_service witness --config FILE`: take the folder, make the keys at the first start, serve."""

import logging
import time

from audit_service.http.server import run_server
from audit_service.witness.config import WitnessConfig
from audit_service.witness.core import Witness
from audit_service.witness.http import build
from audit_service.witness.storage import Storage

_log = logging.getLogger(__name__)


async def serve_witness(config: WitnessConfig) -> None:
    """Serve until SIGTERM or SIGINT. Raises InUseError, BadKeyError or OSError when it cannot begin."""
    storage = Storage(config.storage)
    try:
        witness = Witness(config, storage, storage.signers(config.name), time.time)
        for vkey in witness.vkeys:
            _log.info("known by the verifier key %s", vkey)
        await run_server(build(witness, storage), config.listen)
    finally:
        storage.close()
