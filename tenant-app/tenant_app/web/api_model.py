"""What all bodies of the REST API share."""

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

# The member of an operation in the OpenAPI document that names the right it needs.
WANTS = "x-right"


class Model(BaseModel):
    """Base of all bodies: camelCase."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)
