"""`python -m audit_service serve | migrate | restore | keygen | witness`."""

import argparse
import json
import logging
import sys
from datetime import UTC, datetime
from pathlib import Path

import uvloop

from audit_service import keyring, settings
from audit_service.front.run import run_front
from audit_service.serve import serve
from audit_service.store.migrate import migrate
from audit_service.witness.config import WitnessConfig
from audit_service.witness.run import serve_witness
from audit_service.worm import command


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as JSON."""
        said = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            said["error"] = self.formatException(record.exc_info)
        return json.dumps(said, ensure_ascii=False)


def main(arguments: list[str] | None = None) -> int:
    """Run one command."""
    parser = argparse.ArgumentParser(prog="audit_service", description="Cloister's audit service.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("serve", help="serve; settings in the file CLOISTER_AUDIT_CONFIG names")
    front = commands.add_parser("front", help="what `serve` starts to take entries in; not for people")
    for descriptor in ("--address", "--channel"):
        front.add_argument(descriptor, type=int, required=True)
    front.add_argument("--inside", required=True)
    commands.add_parser("migrate", help="bring the database up to date, as its superuser")
    restore = commands.add_parser("restore", help="make logs again from their copies under Object Lock")
    command.add_arguments(restore)
    keygen = commands.add_parser("keygen", help="make the keys that are not there yet")
    keygen.add_argument("--out", type=Path, required=True, help="folder for ed25519.pem, ml-dsa-44.pem, sealing.key")
    keygen.add_argument("--next", action="store_true", help="keys that are to take over: no sealing.key, which stays")
    witness = commands.add_parser("witness", help="run a witness: a program of its own, with its own keys and storage")
    witness.add_argument("--config", type=Path, required=True, help="its settings, one JSON file")
    chosen = parser.parse_args(arguments)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.getLogger("httpx").setLevel(logging.WARNING)
    match chosen.command:
        case "serve":
            uvloop.run(serve(settings.load()))
        case "front":
            uvloop.run(run_front(settings.load(), chosen.address, chosen.channel, chosen.inside))
        case "migrate":
            uvloop.run(migrate(settings.load().database))
        case "witness":
            uvloop.run(serve_witness(WitnessConfig.model_validate_json(chosen.config.read_bytes())))
        case "restore":
            return uvloop.run(command.run(settings.load(), chosen))
        case _:
            for file in keyring.generate(chosen.out, sealing=not chosen.next):
                logging.getLogger(__name__).info("made %s", file)
    return 0


if __name__ == "__main__":
    sys.exit(main())
