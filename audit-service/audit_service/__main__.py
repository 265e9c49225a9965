"""`python -m audit_service serve | migrate | restore | keygen | witness`."""

import argparse
import logging
import sys
from pathlib import Path

import uvloop

from audit_service import json_log, keyring, settings
from audit_service.serve import serve
from audit_service.store.migrate import migrate
from audit_service.witness.config import WitnessConfig
from audit_service.witness.run import serve_witness
from audit_service.worm import command


def main(arguments: list[str] | None = None) -> int:
    """Run one command."""
    parser = argparse.ArgumentParser(prog="audit_service", description="Cloister's audit service.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("serve", help="serve; settings in the file CLOISTER_AUDIT_CONFIG names")
    commands.add_parser("migrate", help="bring the database up to date, as its superuser")
    restore = commands.add_parser("restore", help="make logs again from their copies under Object Lock")
    command.add_arguments(restore)
    keygen = commands.add_parser("keygen", help="make the keys that are not there yet")
    keygen.add_argument("--out", type=Path, required=True, help="folder for ed25519.pem, ml-dsa-44.pem, sealing.key")
    keygen.add_argument("--next", action="store_true", help="keys that are to take over: no sealing.key, which stays")
    witness = commands.add_parser("witness", help="run a witness: a program of its own, with its own keys and storage")
    witness.add_argument("--config", type=Path, required=True, help="its settings, one JSON file")
    chosen = parser.parse_args(arguments)
    json_log.set_up()
    match chosen.command:
        case "serve":
            uvloop.run(serve(settings.load()))
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
