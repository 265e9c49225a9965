"""Does a live object have what is desired? Purely, from the two objects, without asking the API server.

For most kinds others may add fields (defaults, status, a scheduler's annotations), so desired must be *covered* by live.
For the kinds in EXACT an addition is as bad as a change (one more ingress rule in a NetworkPolicy, one more rule in a
Role), so their payload must be *equal*.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from tenant_operator.stack.part import Manifest

EXACT: Mapping[str, tuple[str, ...]] = {
    "NetworkPolicy": ("spec",),
    "Role": ("rules",),
    "RoleBinding": ("subjects", "roleRef"),
    "ResourceQuota": ("spec",),
    "LimitRange": ("spec",),
    "Secret": ("data", "type"),
    "ConfigMap": ("data", "binaryData"),
    "MutatingWebhookConfiguration": ("webhooks",),
    "ValidatingWebhookConfiguration": ("webhooks",),
}

_QUANTITY = re.compile(r"([0-9]+(?:\.[0-9]+)?)(m|k|M|G|T|P|Ki|Mi|Gi|Ti|Pi)?")
_SCALE = {
    None: Decimal(1), "m": Decimal("0.001"), "k": Decimal(10**3), "M": Decimal(10**6), "G": Decimal(10**9),
    "T": Decimal(10**12), "P": Decimal(10**15), "Ki": Decimal(2**10), "Mi": Decimal(2**20), "Gi": Decimal(2**30),
    "Ti": Decimal(2**40), "Pi": Decimal(2**50),
}  # fmt: skip
_QUANTITIES_IN = {"resources", "hard", "default", "defaultRequest", "max", "min", "emptyDir"}
_NOTHING: tuple[Any, ...] = (None, {}, [], "", 0, False)


def differences(desired: Manifest, live: Manifest) -> list[str]:
    """Return the paths at which a live object is not what is desired; empty when it is."""
    exact = EXACT.get(desired["kind"], ())
    found: list[str] = []
    for field in desired:
        if field == "metadata":
            found += _metadata(desired[field], live["metadata"])
        elif field not in exact and field not in {"apiVersion", "kind", "status"}:
            found += _missing(desired[field], live.get(field), field, quantity=False)
    for field in exact:
        ours, theirs = desired.get(field), live.get(field)
        found += _missing(ours, theirs, field, quantity=False)
        found += _added(ours, theirs, field)
    return found


def added_only(desired: Manifest, live: Manifest) -> bool:
    """Tell whether someone added to a payload that must be exactly ours: an apply cannot take that away, a PUT can."""
    return any(
        path for field in EXACT.get(desired["kind"], ()) for path in _added(desired.get(field), live.get(field), field)
    )


def _metadata(desired: Mapping[str, Any], live: Mapping[str, Any]) -> Iterator[str]:
    for field in ("labels", "annotations"):
        yield from _missing(desired.get(field), live.get(field), f"metadata.{field}", quantity=False)


def _missing(desired: Any, live: Any, path: str, *, quantity: bool) -> Iterator[str]:
    """Yield where live lacks what is desired."""
    if desired is None or (desired in _NOTHING and live is None):
        return
    if isinstance(desired, Mapping):
        if not isinstance(live, Mapping):
            yield path
            return
        for key, value in desired.items():
            inside = quantity or key in _QUANTITIES_IN
            yield from _missing(value, live.get(key), f"{path}.{key}", quantity=inside)
    elif isinstance(desired, list):
        if not isinstance(live, list) or len(live) != len(desired):
            yield path
            return
        for index, (ours, theirs) in enumerate(zip(desired, live, strict=True)):
            yield from _missing(ours, theirs, f"{path}[{index}]", quantity=quantity)
    elif desired != live and not (_same_amount(desired, live) and (quantity or path.endswith(".storage"))):
        yield path


def _added(desired: Any, live: Any, path: str) -> Iterator[str]:
    """Yield where live has what is not desired. The API server adds no defaults inside the EXACT payloads we render."""
    if isinstance(live, Mapping):
        ours: Mapping[str, Any] = desired if isinstance(desired, Mapping) else {}
        for key, value in live.items():
            if key not in ours:
                if value not in _NOTHING:
                    yield f"{path}.{key}"
            else:
                yield from _added(ours[key], value, f"{path}.{key}")
    elif isinstance(live, list):
        mine: Sequence[Any] = desired if isinstance(desired, list) else ()
        if len(live) > len(mine):
            yield path
        for index, (one, other) in enumerate(zip(mine, live, strict=False)):
            yield from _added(one, other, f"{path}[{index}]")


def _same_amount(one: Any, other: Any) -> bool:
    first, second = _amount(one), _amount(other)
    return first is not None and first == second


def _amount(value: Any) -> Decimal | None:
    match = _QUANTITY.fullmatch(str(value)) if isinstance(value, str | int) else None
    return Decimal(match[1]) * _SCALE[match[2]] if match else None
