"""The webhook's process: settings, logs, and the server."""

import asyncio
import sys

from pydantic import ValidationError

from tenant_operator.handlers.admission import Files, serve
from tenant_operator.handlers.logs import set_up
from tenant_operator.handlers.settings import load


def main() -> None:
    """Run the webhook; a wrong configuration ends it with one clear line."""
    try:
        config, pod = load()
        set_up(config.log_level)
        asyncio.run(serve(config, pod, Files()))
    except (OSError, KeyError, ValidationError) as error:
        sys.exit(f"the admission webhook cannot start: {type(error).__name__}: {error}")
