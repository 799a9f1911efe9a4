"""What a person is, as data: shape, looks, what is said and how far the head moves.

Places are MakeHuman decimetres after the head was brought before the camera (`Person.head_dm`),
so that one camera, one pivot and one picture window serve everybody. Colours are '#rrggbb' (sRGB).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from avatar_worker.recipes.people.motion import Range

Place = tuple[float, float, float]
Stops = tuple[tuple[float, ...], tuple[float, ...]]
"""Places and the values there, for linear interpolation."""


@dataclass(frozen=True)
class Line:
    """A sentence, the voice that says it, and how long the pause before it is beside others."""

    voice: str
    text: str
    pause: float = 1.0


@dataclass(frozen=True)
class Schedule:
    """How many frames there are, in which order they are drawn, how the head moves in them.

    Attributes:
        idle_frames: of the pose loop, which comes first and is silent; 0 for none.
        speaking_frames: of the spoken track, pauses included.
        held_out_lines: sentences at the end that are not trained on.
        in_order: drawn one after another, as for a film; else so that any part is of use.
        range: largest poses while speaking.
        sway_hz: the fastest swing of the head while speaking.
        blinks_s: shortest and longest time between blinks while speaking.
    """

    idle_frames: int
    speaking_frames: int
    held_out_lines: int
    in_order: bool
    range: Range
    sway_hz: float
    blinks_s: tuple[float, float]


@dataclass(frozen=True)
class Beard:
    """Stubble: dark grain over the skin between two lines around the head.

    Attributes:
        colour: of the grain.
        share: how much of the skin's colour it takes where it is full.
        upper: azimuth in degrees → height of the upper line, from the front to the ear.
        lower: likewise for the line on the neck.
    """

    colour: str
    share: float
    upper: Stops
    lower: Stops


@dataclass(frozen=True)
class Skin:
    """Colours of the skin, and where it is red and freckled.

    Attributes:
        base: two shades that large patches mix.
        mottle: of small blotches.
        red: of cheeks, nose, chin and ears.
        lips: two shades that are mixed, and the share of the skin's colour that they take.
        lids: their shade.
        freckles: how many; 0 for none.
        cheeks: where they are reddest, on the left; mirrored for the right.
        upper_cheeks: where freckles are.
        chin: its middle.
        beard: stubble, if any.
    """

    base: tuple[str, str]
    mottle: str
    red: str
    lips: tuple[str, str]
    lips_share: float
    lids: str
    freckles: float
    cheeks: Place
    upper_cheeks: Place
    chin: Place
    beard: Beard | None = None


@dataclass(frozen=True)
class Hair:
    """Which hair grows above which line.

    Attributes:
        style: the function that grows it (`blender/hair.py`, `blender/short_hair.py`).
        colour: of the strands.
        ior: index of refraction of the strands, which is what makes them shine.
        scalp: of the skin below them.
        hairline: azimuth in degrees from the front → height where hair begins.
    """

    style: Literal["bob", "short"]
    colour: str
    ior: float
    scalp: str
    hairline: Stops


@dataclass(frozen=True)
class Brows:
    """Strands along a line over each eye; `along` runs from the nose (0) to the temple (1).

    Attributes:
        strands: for each side, before the thin inner end is thinned out.
        colour: of the strands.
        radius_m: at the root.
        across: along → distance from the middle of the face, dm.
        rise: along → height over the eye's centre, dm.
        spread: along → half the height of the brow, dm.
        length: factor of the strands' length.
    """

    strands: int
    colour: str
    radius_m: float
    across: Stops
    rise: Stops
    spread: Stops
    length: float


@dataclass(frozen=True)
class Lashes:
    """Strands on the four lash strips.

    Attributes:
        colour: of the strands.
        length: factor.
        thickness: factor.
        rooted_alike: the side of a strip that lies on the lid is found for the strip as a whole;
            else for each of its quads, which now and then lays a lash across.
    """

    colour: str
    length: float
    thickness: float
    rooted_alike: bool


@dataclass(frozen=True)
class Sweater:
    """Two shades of yarn, and how the neckline is cut.

    Attributes:
        yarn: shades that its fuzz mixes.
        cut_m: a point of the cutting plane, Blender axes, metres.
        tilt: slope of that plane; the neckline is higher at the back.
        collar_out_m: how far the collar stands outside of the cut: before a chest that slopes
            outwards, behind the edge of one that falls steeply.
        hem_m: how far the hem below the collar goes out and down, under the cloth: it closes the
            chinks that the leaning collar leaves at the shoulders.
    """

    yarn: tuple[str, str]
    cut_m: Place
    tilt: float
    collar_out_m: float
    hem_m: tuple[float, float]


@dataclass(frozen=True)
class Look:
    """Everything on screen but the shape.

    `iris` has rings from the pupil outwards (share of its radius, colour), `iris_fibres` their
    second shade; `backdrop` runs from its bright middle to the corners.
    """

    skin: Skin
    iris: Sequence[tuple[float, str]]
    iris_fibres: str
    hair: Hair
    brows: Brows
    lashes: Lashes
    sweater: Sweater
    backdrop: tuple[str, str, str]


@dataclass(frozen=True)
class Person:
    """Somebody made up.

    Attributes:
        name: as the command line says it.
        shape: MakeHuman targets and their weights.
        head_dm: the middle of the shaped head: of chin and crown, and of the depth. The mesh is
            moved so that it lies at the origin of the canonical head frame.
        teeth_shift_dm: by mesh group; at their default place the upper teeth never show and the
            mouth is a black hole.
        look: colours, hair, clothes.
        speed: of the voices.
        script: what is said.
        schedule: frames and motion.
    """

    name: str
    shape: Mapping[str, float]
    head_dm: Place
    teeth_shift_dm: Mapping[str, Place]
    look: Look
    speed: float
    script: Sequence[Line]
    schedule: Schedule
