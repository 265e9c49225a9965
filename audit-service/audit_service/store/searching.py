"""Search: which entries have these values. What is asked stands in parameters; the query's own text is only this module's."""

from collections.abc import Mapping
from typing import Final

from audit_service.store.postings import SPAN, Facet, digest

_FACETS: Final = {
    "object_id": Facet.OBJECT,
    "actor": Facet.ACTOR,
    "action": Facet.ACTION,
    "object_type": Facet.TYPE,
}
_TIMES: Final = {"since": ("latest", ">="), "until": ("earliest", "<")}


def question(
    log: int, begin: int, size: int, filters: Mapping[str, str], limit: int, *, newest: bool
) -> tuple[str, list[object]]:
    """Return the query, and its parameters, for the indices from `begin` to before `size` that fit every filter, in order.

    All lists of a span begin at its start, so spans that have every value are found by joining on it, and their entries by
    joining the lists. Spans come in the order of the index, so a page is read without reading what comes after it.
    """
    values: list[object] = [log, begin, size]
    spans, lists, within = ["span s"], [], []
    where = ["s.log = $1", f"s.start > $2 - {SPAN}", "s.start < $3"]
    for name, facet in _FACETS.items():
        if name in filters:
            values.append(digest(filters[name]))
            each = f"p{int(facet)}"
            spans.append(
                f"JOIN posting {each} ON {each}.log = s.log AND {each}.start = s.start "
                f"AND {each}.facet = {int(facet)} AND {each}.value = ${len(values)}"
            )
            lists.append(f"unnest({each}.offsets) AS {each} (n)")
    for name, (edge, compares) in _TIMES.items():
        if name in filters:
            values.append(filters[name])
            time = f"${len(values)}::text::timestamptz"
            where.append(f"s.{edge} {compares} {time}")
            within.append(f"happened {compares} {time}")
    if within or not lists:
        lists.append(
            "(SELECT n - 1 AS n FROM unnest(s.events) WITH ORDINALITY AS event (happened, n)"  # noqa: S608  # see above
            f" WHERE {' AND '.join(within) or 'true'}) AS event"
        )
    found = " JOIN ".join([lists[0], *(f"{each} USING (n)" for each in lists[1:])])
    order = "DESC" if newest else "ASC"
    query = (
        f"SELECT s.start + found.n FROM {' '.join(spans)} CROSS JOIN LATERAL (SELECT n FROM {found}) AS found "  # noqa: S608  # see above
        f"WHERE {' AND '.join(where)} AND s.start + found.n >= $2 AND s.start + found.n < $3 "
        f"ORDER BY s.start {order}, found.n {order} LIMIT {int(limit)}"
    )
    return query, values
