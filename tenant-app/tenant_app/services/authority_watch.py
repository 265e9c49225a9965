"""Ends what is over, lets take effect what two people agreed on, and tells what is overdue."""

import asyncio
import logging
from datetime import UTC, datetime

from tenant_app.errors import AppError
from tenant_app.services.access_review import AccessReview
from tenant_app.services.authority import Authority
from tenant_app.services.columns import Columns
from tenant_app.services.delegations import Delegations
from tenant_app.services.two_person import TwoPerson
from tenant_app.storage.database import Database

log = logging.getLogger(__name__)
EVERY_SECONDS = 5.0


class AuthorityWatch:
    """Looks every five seconds. What a request depends on is checked at the request; this only makes the record timely."""

    def __init__(
        self,
        database: Database,
        columns: Columns,
        authority: Authority,
        delegations: Delegations,
        two_person: TwoPerson,
        review: AccessReview,
    ) -> None:
        self._database = database
        self._columns = columns
        self._authority = authority
        self._delegations = delegations
        self._two_person = two_person
        self._review = review

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            try:
                await self.look()
            except AppError as error:
                log.warning("grants and requests could not be looked at: %s", error.code)
            await asyncio.sleep(EVERY_SECONDS)

    async def look(self) -> None:
        """Look once."""
        await self._columns.ready()
        now = datetime.now(UTC)
        async with self._database.transaction() as conn:
            await self._authority.lapse(conn, now)
            await self._delegations.lapse(conn, now)
        await self._two_person.do_due()
        await self._review.tell_overdue()
