"""What a person says of a scan's colours, and what stands, as the API takes and gives it."""

from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, model_validator

#: Strict: true is no number.
Share = Annotated[float, Field(ge=0, le=1, strict=True)]
Code = Annotated[float, Field(ge=0, le=255, strict=True)]
Line = Annotated[list[tuple[Share, Share]], Field(min_length=1, max_length=2000)]


def _no_truth(value: object) -> object:
    if isinstance(value, bool | str):
        raise ValueError("a whole number is expected")  # noqa: TRY004  pydantic's way
    return value


class Hint(BaseModel):
    """A colour at a place, or along a line."""

    points: Line = Field(description="x and y as shares of width and height")
    rgb: tuple[Code, Code, Code] = Field(description="sRGB, 0 to 255; its hue and chroma count")
    wide: bool = Field(
        default=False, strict=True, description="The network may follow it everywhere"
    )


class Mask(BaseModel):
    """Where no colour is put."""

    kind: Literal["grey", "keep"] = Field(description="keep: it keeps the scan's own colour")
    points: Line
    radius: Share = Field(description="Of the brush, as a share of the shorter side")


class Statement(BaseModel):
    """All that a person says of a scan."""

    hints: list[Hint] = Field(default_factory=list, max_length=200)
    strength: float = Field(
        1.0, ge=0, le=2, strict=True, description="Of the colours that the network chooses"
    )
    masks: list[Mask] = Field(default_factory=list, max_length=200)


_SOMETHING: list[JsonValue] = [
    {"required": ["hints"], "properties": {"hints": {"minItems": 1}}},
    {"required": ["masks"], "properties": {"masks": {"minItems": 1}}},
    {"required": ["strength"], "properties": {"strength": {"not": {"const": 1}}}},
]


class NonEmptyStatement(Statement):
    """What a person says, if it is anything."""

    model_config = ConfigDict(json_schema_extra={"anyOf": _SOMETHING})

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not self.hints and not self.masks and self.strength == 1:
            raise ValueError("no hint, no mask, strength 1: withdraw what was said instead")
        return self


class PreviewRequest(BaseModel):
    """What a picture would look like if a person said so."""

    said: Statement = Field(default_factory=Statement)


class PlaceRequest(PreviewRequest):
    """What is likely at a place."""

    x: Share
    y: Share


class Likely(BaseModel):
    """A colour that the network thinks likely."""

    rgb: tuple[int, int, int]
    probability: float


class Place(BaseModel):
    """A place of a picture."""

    here: tuple[int, int, int] = Field(description="Its colour under what was said")
    likely: list[Likely] = Field(description="Most likely first")


class AlternativePicture(BaseModel):
    """Another plausible colouring."""

    said: dict[str, Any] = Field(description="What makes it, to be sent back as `said`")
    difference: float = Field(description="From the one it is an alternative to, mean in a*b*")
    jpeg: str = Field(description="A small picture, in Base64")


class SaveRequest(BaseModel):
    """A correction to be put on record."""

    said: NonEmptyStatement
    note: str = Field("", max_length=1000)
    seen: Annotated[int, Field(ge=0), BeforeValidator(_no_truth)] | None = Field(
        None, description="The correction that it goes on from, 0: none; else whatever stands"
    )


class SavedCorrection(BaseModel):
    """A correction on record."""

    id: int
    who: str
    at: datetime
    note: str
    said: dict[str, Any]
    withdrawn_by: str | None


class CorrectionState(BaseModel):
    """What people have said of a scan."""

    id: int = Field(description="The correction that counts, 0: none; for `seen`")
    said: dict[str, Any] | None
    is_coloured: bool = Field(description="The derivative in use was made with it")
    status: str = Field(description="Where the item stands")
    taught: int = Field(description="The reference that was made of that derivative, 0: none")
    history: list[SavedCorrection]


class CorrectionConflict(BaseModel):
    """Somebody else has corrected the scan meanwhile."""

    detail: str
    id: int
    last: SavedCorrection | None


class TaughtReference(BaseModel):
    """A reference that was made of a corrected picture."""

    reference: int
