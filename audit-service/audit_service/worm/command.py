"""The command line of `restore`: which logs, from where, and what is said of it."""

import argparse
import sys
from argparse import Namespace

from audit_contract.report import Exit
from audit_service.settings import Settings
from audit_service.store.errors import StoreError
from audit_service.worm.bucket import CopyStoreError
from audit_service.worm.reading import BadCopyError
from audit_service.worm.restore import Desk, Restorer, desk, say, source_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    origin = "a Region that has a store of copies in the settings, or a folder with a bucket's objects"
    parser.add_argument("--from", dest="origin", metavar="REGION|FOLDER", required=True, help=origin)
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--log", action="append", default=[], help="a log to restore; may be given again")
    which.add_argument("--all", action="store_true", help="every log that has a copy there")
    parser.add_argument("--check", action="store_true", help="only prove that it could be done; touch no database")
    parser.add_argument("--key", action="append", default=[], help="a verifier key from before a rotation (a vkey)")


async def run(settings: Settings, chosen: Namespace) -> int:
    """Restore or check; return the exit code: 0, or the worst of what was found wrong with a log."""
    try:
        source = source_of(settings, chosen.origin)
        restorer = Restorer(settings, source, chosen.key)
        logs = chosen.log or await restorer.names()
        if chosen.check:
            return await _each(restorer, logs, None, source.where)
        async with desk(settings) as found:
            return await _each(restorer, logs, found, source.where)
    except BadCopyError as error:
        return _refused("restore", error)
    except (CopyStoreError, StoreError, OSError, ValueError) as error:
        return _refused("restore", error)


async def _each(restorer: Restorer, logs: list[str], found: Desk | None, where: str) -> int:
    """Do one log after another; one that cannot be restored does not keep the others back."""
    worst = Exit.OK
    for log in logs:
        try:
            done = await (restorer.check(log) if found is None else restorer.restore(found, log))
        except BadCopyError as error:
            worst = max(worst, error.code)
            _refused(log, error)
        except (CopyStoreError, StoreError) as error:
            worst = max(worst, Exit.BAD_INPUT)
            _refused(log, error)
        else:
            sys.stdout.write(say(done, where, checked=found is None) + "\n")
    return int(worst)


def _refused(what: str, error: Exception) -> int:
    sys.stderr.write(f"{what}: {error}\n")
    return int(error.code if isinstance(error, BadCopyError) else Exit.BAD_INPUT)
