"""What the bodies of all calls share."""

from typing import Annotated, Final

from ninja import Schema
from pydantic import AnyHttpUrl, ConfigDict, Field, StringConstraints

# A NUL cannot be stored in PostgreSQL's text.
TEXT: Final = r"^[^\x00]*$"
Text = Annotated[str, StringConstraints(pattern=TEXT)]

# As long as the column; counted after percent-encoding, as the address is stored.
WebAddress = Annotated[AnyHttpUrl, Field(max_length=500)]


class Strict(Schema):
    """A misspelt field is an error, not a silent default."""

    model_config = ConfigDict(extra="forbid")
