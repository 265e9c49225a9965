"""When a password was set, as directories tell it: ppolicy's pwdChangedTime, Active Directory's pwdLastSet (11.300(b), AT-41)."""

from datetime import UTC, datetime, timedelta

PASSWORD_ATTRIBUTES = ["pwdChangedTime", "pwdLastSet"]
# Active Directory counts tenths of microseconds since 1601.
_AD_EPOCH = datetime(1601, 1, 1, tzinfo=UTC)
_TICKS_PER_MICROSECOND = 10


def changed_at(attributes: dict[str, list[bytes]]) -> datetime | None:
    """Return when the password was set, None when the entry does not say it in a form that we understand.

    Active Directory's 0 means that it has to be changed at the next logon: that is as old as can be.
    """
    told = {name.lower(): values[0].decode("ascii", "replace") for name, values in attributes.items() if values}
    ticks = told.get("pwdlastset", "")
    if ticks.isascii() and ticks.isdigit():
        return _AD_EPOCH + timedelta(microseconds=int(ticks) // _TICKS_PER_MICROSECOND)
    return _generalized(told.get("pwdchangedtime", ""))


def _generalized(text: str) -> datetime | None:
    for form in ("%Y%m%d%H%M%SZ", "%Y%m%d%H%M%S.%fZ"):
        try:
            return datetime.strptime(text, form).replace(tzinfo=UTC)
        except ValueError:
            continue
    return None
