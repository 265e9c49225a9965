"""Commands of the app's image: `migrate`, `serve`, `export --out DIR` (docs/contracts.md)."""

import argparse
import asyncio
import logging
import sys
from pathlib import Path

from pydantic import ValidationError

from tenant_app import factory, settings
from tenant_app.errors import AppError
from tenant_app.logs import configure
from tenant_app.storage.migrations import migrate

log = logging.getLogger("tenant_app")
OK, FAILED, WRONG_CONFIGURATION = 0, 1, 2


def main(arguments: list[str] | None = None) -> int:
    """Run one command; return 0, 1 when it failed, 2 when the configuration is wrong."""
    configure()
    parsed = _parser().parse_args(arguments)
    try:
        config = settings.load()
        factory.workflow_of(config)
    except (OSError, ValueError) as error:
        log.error("the configuration cannot be used: %s", _where(error))  # noqa: TRY400  # it is one line for people
        return WRONG_CONFIGURATION
    try:
        return _run(parsed, config)
    except AppError as error:
        log.error("%s failed: %s: %s", parsed.command, error.code, error.detail)  # noqa: TRY400  # likewise
        return FAILED


def _run(parsed: argparse.Namespace, config: settings.Settings) -> int:
    if parsed.command == "migrate":
        applied = migrate(config.database)
        log.info("schema is up to date; applied now: %s", applied or "nothing")
    elif parsed.command == "export":
        asyncio.run(_export(config, parsed.out))
    else:
        # Late: the web's libraries are a second of start-up that the jobs do without.
        from tenant_app.web.server import serve

        serve(config)
    return OK


async def _export(config: settings.Settings, out: Path) -> None:
    app = factory.build(config, factory.real_ports(config, service_account="export"))
    await app.database.open()
    try:
        done = await app.export.run(out)
        log.info("exported %d documents, %d versions, %d bytes", done.documents, done.versions, done.size)
    finally:
        await app.close()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tenant_app", description="The tenant's document platform.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("migrate", help="bring the database schema up to date, as its owner")
    commands.add_parser("serve", help="serve HTTPS")
    export = commands.add_parser("export", help="write every document in its original bytes")
    export.add_argument("--out", type=Path, required=True, help="folder to write to")
    return parser


def _where(error: Exception) -> str:
    if isinstance(error, ValidationError):
        return "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
    return str(error)


if __name__ == "__main__":
    sys.exit(main())
