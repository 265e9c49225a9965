"""Building blocks shared by all kinds: the base model, durations, conditions and references."""

import re
from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue
from pydantic.alias_generators import to_camel

GROUP = "cloister.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"

_DURATION = re.compile(r"([0-9]+)([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class ApiModel(BaseModel):
    """A frozen piece of the API: camelCase outside, snake_case inside, unknown fields refused."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=to_camel,
        populate_by_name=True,
        ser_json_inf_nan="strings",
    )

    def manifest(self) -> dict[str, Any]:
        """Return the camelCase JSON form, without fields that are unset."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


def cel(rule: str, message: str, **more: str) -> dict[str, JsonValue]:
    """Return one `x-kubernetes-validations` entry (KEP-2876)."""
    return {"rule": rule, "message": message, **more}


Duration = Annotated[
    str,
    Field(pattern=r"^[0-9]+[smhd]$", max_length=9, description="A whole number and a unit: s, m, h or d."),
]


def seconds(duration: str) -> int:
    """Return a Duration such as `90d` in seconds. Raises ValueError when it is not one."""
    match = _DURATION.fullmatch(duration)
    if match is None:
        raise ValueError(f"{duration!r} is not a duration such as 15m, 12h or 90d")
    return int(match[1]) * _SECONDS[match[2]]


def delta(duration: str) -> timedelta:
    """Return a Duration as a timedelta."""
    return timedelta(seconds=seconds(duration))


ConditionStatus = Literal["True", "False", "Unknown"]


class Condition(ApiModel):
    """A Kubernetes condition (metav1.Condition): one promise, what was observed about it and when."""

    type: str = Field(description="The promise this condition is about.", max_length=64)
    status: ConditionStatus = Field(description="True, False, or Unknown when it could not be observed.")
    reason: str = Field(description="One word from the documented list of reasons.", max_length=64)
    message: str = Field(default="", description="What was observed, for people.", max_length=2048)
    observed_generation: int | None = Field(default=None, description="The generation of the spec it is about.")
    last_transition_time: str = Field(description="When the status last changed (RFC 3339).")


class ConfigMapKeyRef(ApiModel):
    """A key of a ConfigMap in the operator's own namespace."""

    name: str = Field(description="Name of the ConfigMap in the operator's namespace.", max_length=253)
    key: str = Field(default="ca.crt", description="Key in the ConfigMap.", max_length=253)
