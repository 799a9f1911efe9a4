"""What the bodies of all calls share."""

from typing import Annotated

from ninja import Schema
from pydantic import ConfigDict, StringConstraints

# A NUL cannot be stored in PostgreSQL's text.
Text = Annotated[str, StringConstraints(pattern=r"^[^\x00]*$")]


class Strict(Schema):
    """A misspelt field is an error, not a silent default."""

    model_config = ConfigDict(extra="forbid")
