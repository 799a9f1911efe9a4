"""Procedural surfaces; every colour on screen is made here, no photograph is used."""

from __future__ import annotations

import math
from pathlib import Path

import bpy

from avatar_worker.recipes.people.blender.nodes import Graph, Socket, colour
from avatar_worker.recipes.people.person import Beard, Look

IRIS_RADIUS = 0.465
"""In eyeball radii."""
TEETH_GAPS_DM = (0.0, 0.088, 0.155, 0.222, 0.275)
MOUTH_GLOW = {"gums": 0.13, "tongue": 0.06, "teeth": 0.05}
"""Emission inside the mouth: two bounces of light leave its corners black, which real ones, wet and
translucent, are not."""


def _grey_mask(graph: Graph, path: Path) -> Socket:
    image = bpy.data.images.load(str(path), check_existing=True)
    image.colorspace_settings.name = "Non-Color"
    return graph.node("TexImage", image=image).outputs["Color"]


def skin(textures: Path, look: Look) -> bpy.types.Material:
    """Skin with pores, redness, freckles, stubble, lips, lids and a dark scalp.

    Noise reads the `rest` attribute, so that nothing swims when the face moves.
    """
    g, paint = Graph("skin"), look.skin
    rest = g.attribute("rest").outputs["Vector"]
    lips = g.attribute("lips").outputs["Fac"]

    patches = g.ramp(g.noise(rest, 18, 4), [(0.35, 0.0), (0.7, 1.0)])
    shade = g.mix(patches, colour(paint.base[0]), colour(paint.base[1]))
    mottle = g.ramp(g.noise(rest, 220), [(0.42, 0.0), (0.62, 1.0)])
    shade = g.mix(g.times(mottle, 0.22), shade, colour(paint.mottle))
    redness = g.times(
        g.attribute("red").outputs["Fac"], g.plus(g.times(g.noise(rest, 60), 0.8), 0.6)
    )
    shade = g.mix(redness, shade, colour(paint.red))
    shade = g.mix(g.times(_freckles(g, rest), 0.5), shade, colour("#8f5a3c"))
    lids = _grey_mask(g, textures / "mpfb_eyelids.jpg")
    shade = g.mix(g.times(lids, 0.28), shade, colour(paint.lids))
    ears = _grey_mask(g, textures / "mpfb_ears.jpg")
    shade = g.mix(g.times(ears, 0.35), shade, colour(paint.red))
    lip_shade = g.mix(g.noise(rest, 140), colour(paint.lips[0]), colour(paint.lips[1]))
    shade = g.mix(g.times(lips, paint.lips_share), shade, lip_shade)
    shade = g.mix(g.attribute("inside").outputs["Fac"], shade, colour("#7a2f2c"))
    gums = g.attribute("gums").outputs["Fac"]
    shade = g.mix(gums, shade, colour("#a8524a"))
    scalp = g.attribute("scalp").outputs["Fac"]
    shade = g.mix(g.times(scalp, 0.85), shade, colour(look.hair.scalp))

    roughness = g.plus(g.times(g.noise(rest, 90), 0.16), 0.36)
    if paint.beard is not None:
        shade, roughness = _stubble(g, rest, paint.beard, shade, roughness)
    principled = g.node(
        "BsdfPrincipled",
        {
            "Base Color": shade,
            "Roughness": g.maths("SUBTRACT", roughness, g.times(lips, 0.14)),
            "Normal": _pores(g, rest, lips),
            "Subsurface Weight": 0.28,
            "Subsurface Radius": (1.0, 0.35, 0.18),
            "Subsurface Scale": 0.006,
            "Specular IOR Level": 0.42,
            "IOR": 1.4,
            "Coat Weight": g.times(lips, 0.35),  # moist lips
            "Coat Roughness": 0.2,
            "Emission Color": colour("#a8524a"),
            "Emission Strength": g.times(gums, MOUTH_GLOW["gums"]),
        },
    )
    return _lights_nothing(g.finish(principled.outputs[0]))


def _stubble(
    g: Graph, rest: Socket, beard: Beard, shade: Socket, roughness: Socket
) -> tuple[Socket, Socket]:
    """Colour and roughness with a dull dark grain where the beard grows."""
    where = g.attribute("beard").outputs["Fac"]
    grain = g.ramp(g.noise(rest, 620, 2, 0.7), [(0.36, 0.35), (0.62, 1.0)])
    patchy = g.plus(g.times(g.noise(rest, 45), 0.5), 0.72)
    share = g.times(g.times(where, grain), g.times(patchy, beard.share))
    return g.mix(share, shade, colour(beard.colour)), g.plus(roughness, g.times(where, 0.14))


def _lights_nothing(material: bpy.types.Material) -> bpy.types.Material:
    """Its glow is seen, but not sampled as a lamp, which would cost time and add noise."""
    material.cycles.emission_sampling = "NONE"
    return material


def _freckles(g: Graph, rest: Socket) -> Socket:
    cells = g.node("TexVoronoi", {"Vector": rest, "Scale": 330.0}, feature="F1")
    small = g.maths("LESS_THAN", cells.outputs["Distance"], 0.2)
    chosen = g.node("SeparateColor", {"Color": cells.outputs["Color"]}).outputs["Red"]
    few = g.maths("GREATER_THAN", chosen, 0.72)
    return g.times(g.times(small, few), g.attribute("freckles").outputs["Fac"])


def _pores(g: Graph, rest: Socket, lips: Socket) -> Socket:
    cells = g.node("TexVoronoi", {"Vector": rest, "Scale": 900.0}, feature="F1")
    height = g.plus(g.times(cells.outputs["Distance"], 0.5), g.noise(rest, 350, 4))
    waves = {"Vector": rest, "Scale": 95.0, "Distortion": 3.0, "Detail": 2.0, "Detail Scale": 2.0}
    creases = g.node("TexWave", waves, bands_direction="X").outputs["Fac"]
    height = g.plus(height, g.times(g.times(creases, lips), 1.1))
    bump = {"Height": height, "Strength": 0.45, "Distance": 0.0006}
    return g.node("Bump", bump).outputs["Normal"]


def eye(look: Look) -> bpy.types.Material:
    """Eyeball: `eye_direction` is the unit direction from its centre, +z out of the pupil."""
    g = Graph("eye")
    direction = g.attribute("eye_direction").outputs["Vector"]
    x, y, _ = g.node("SeparateXYZ", {"Vector": direction}).outputs
    radius = g.length(x, y)
    in_iris = g.maths("DIVIDE", radius, IRIS_RADIUS)
    angle = g.maths("ARCTAN2", y, x)
    around = g.node(
        "CombineXYZ",
        {
            "X": g.times(g.maths("SINE", angle), 6.0),
            "Y": g.times(g.maths("COSINE", angle), 6.0),
            "Z": g.times(radius, 1.2),
        },
    ).outputs[0]
    iris = g.ramp(in_iris, [(place, colour(code)) for place, code in look.iris])
    fibres = g.ramp(g.noise(around, 2.6, 5.0, 0.7), [(0.3, 0.0), (0.7, 1.0)])
    iris = g.mix(g.times(fibres, 0.6), iris, colour(look.iris_fibres))
    iris = g.mix(g.ramp(in_iris, [(0.36, 1.0), (0.42, 0.0)]), iris, (0.003, 0.003, 0.003, 1))
    veins = g.ramp(g.noise(direction, 7.0, 6.0, 0.7), [(0.5, 0.0), (0.75, 1.0)])
    white = g.mix(g.times(veins, 0.35), colour("#e4dcd6"), colour("#d9a79c"))
    white = g.mix(g.ramp(radius, [(0.62, 0.0), (1.0, 0.55)]), white, colour("#c98f83"))
    shade = g.mix(g.ramp(in_iris, [(0.93, 1.0), (1.06, 0.0)]), white, iris)
    principled = g.node(
        "BsdfPrincipled",
        {
            "Base Color": shade,
            "Roughness": 0.25,
            "Specular IOR Level": 0.3,
            "Coat Weight": 1.0,
            "Coat Roughness": 0.02,
            "Coat IOR": 1.376,
        },
    )
    return g.finish(principled.outputs[0])


def teeth() -> bpy.types.Material:
    """Ivory with dark lines between the teeth; glows a little, the mouth is dark otherwise."""
    g = Graph("teeth")
    across = g.attribute("across").outputs["Fac"]
    gap: Socket | None = None
    for place in TEETH_GAPS_DM:
        distance = g.maths("ABSOLUTE", g.maths("SUBTRACT", across, place))
        line = g.maths("SUBTRACT", 1.0, g.maths("DIVIDE", distance, 0.010), clamp=True)
        gap = line if gap is None else g.maths("MAXIMUM", gap, line)
    principled = g.node(
        "BsdfPrincipled",
        {
            "Base Color": g.mix(g.times(gap, 0.55), colour("#f4ead9"), colour("#8d6f5d")),
            "Roughness": 0.25,
            "Subsurface Weight": 0.25,
            "Subsurface Radius": (1.0, 0.7, 0.5),
            "Subsurface Scale": 0.002,
            "Emission Color": colour("#f4ead9"),
            "Emission Strength": MOUTH_GLOW["teeth"],
        },
    )
    return g.finish(principled.outputs[0])


def tongue() -> bpy.types.Material:
    """Moist pink, kept dull so that it does not shout when it shows."""
    g = Graph("tongue")
    principled = g.node(
        "BsdfPrincipled",
        {
            "Base Color": colour("#a4706a"),
            "Roughness": 0.42,
            "Subsurface Weight": 0.3,
            "Subsurface Radius": (1.0, 0.6, 0.45),
            "Subsurface Scale": 0.002,
            "Emission Color": colour("#a4706a"),
            "Emission Strength": MOUTH_GLOW["tongue"],
        },
    )
    return _lights_nothing(g.finish(principled.outputs[0]))


def strands(name: str, code: str, spread: float, ior: float | None = None) -> bpy.types.Material:
    """Hair: `spread` is the random variation of brightness; without `ior`, as for brows and lashes,
    it is diffuse."""
    g = Graph(name)
    random = g.node("HairInfo").outputs["Random"]
    value = g.plus(g.times(random, spread), 1 - spread / 2)
    shade = g.node("HueSaturation", {"Color": colour(code), "Value": value}).outputs[0]
    if ior is None:
        return g.finish(g.node("BsdfDiffuse", {"Color": shade}).outputs[0])
    hair = g.node(
        "BsdfHairPrincipled",
        {"Color": shade, "Roughness": 0.32, "Radial Roughness": 0.35, "IOR": ior},
        model="CHIANG",
        parametrization="COLOR",
    )
    return g.finish(hair.outputs[0])


def knit(yarn: tuple[str, str]) -> bpy.types.Material:
    """A plain fine-knit sweater."""
    g = Graph("knit")
    place = g.node("TexCoord").outputs["Object"]
    waves = {"Vector": place, "Scale": 150.0, "Distortion": 1.5, "Detail": 2.0}
    ribs = g.node("TexWave", waves, bands_direction="X").outputs["Fac"]
    return _yarn(g, place, ribs, yarn, rib_height_m=0.0012)


def ribbing(yarn: tuple[str, str]) -> bpy.types.Material:
    """The collar: upright ribs; `around` is the way along it in ribs."""
    g = Graph("ribbing")
    place = g.node("TexCoord").outputs["Object"]
    turn = g.times(g.attribute("around").outputs["Fac"], 2 * math.pi)
    ribs = g.plus(g.times(g.maths("SINE", turn), 0.5), 0.5)
    return _yarn(g, place, ribs, yarn, rib_height_m=0.0022)


def _yarn(
    g: Graph, place: Socket, ribs: Socket, yarn: tuple[str, str], rib_height_m: float
) -> bpy.types.Material:
    """Wool with soft folds, fuzz and these ribs (0…1), darker in the furrows."""
    fuzz = g.noise(place, 500.0, 3.0, 0.5)
    folds = g.noise(place, 14.0, 2.0, 0.5)
    large = {"Height": folds, "Strength": 0.5, "Distance": 0.012}
    normal = g.node("Bump", large).outputs["Normal"]
    height = g.plus(g.times(ribs, 0.6), g.times(fuzz, 0.7))
    small = {"Height": height, "Strength": 0.5, "Distance": rib_height_m, "Normal": normal}
    principled = g.node(
        "BsdfPrincipled",
        {
            "Base Color": g.mix(g.times(fuzz, 0.6), colour(yarn[0]), colour(yarn[1])),
            "Roughness": 0.85,
            "Specular IOR Level": 0.2,
            "Sheen Weight": 0.35,
            "Sheen Roughness": 0.4,
            "Normal": g.node("Bump", small).outputs["Normal"],
        },
    )
    return g.finish(principled.outputs[0])


def backdrop(centre_z: float, shades: tuple[str, str, str]) -> bpy.types.Material:
    """A soft round gradient that lights nothing."""
    g = Graph("backdrop")
    place = g.node("TexCoord").outputs["Object"]
    x, _, z = g.node("SeparateXYZ", {"Vector": place}).outputs
    radius = g.length(g.maths("SUBTRACT", x, 0.12), g.maths("SUBTRACT", z, centre_z - 0.02))
    stops = [(place, colour(code)) for place, code in zip((0.0, 0.5, 1.0), shades, strict=True)]
    shade = g.ramp(g.maths("DIVIDE", radius, 0.75), stops, "EASE")
    return g.finish(g.node("Emission", {"Color": shade, "Strength": 1.0}).outputs[0])


def classes() -> bpy.types.Material:
    """Flat class colours: the object's own, or the mesh attribute `seg` where its alpha is 1."""
    g = Graph("classes")
    own = g.node("ObjectInfo")
    painted = g.attribute("seg").outputs["Color"]
    shade = g.mix(own.outputs["Alpha"], own.outputs["Color"], painted)
    return g.finish(g.node("Emission", {"Color": shade}).outputs[0])


def glow() -> bpy.types.Material:
    """Pure white light, for the projection check."""
    g = Graph("glow")
    return g.finish(g.node("Emission", {"Color": (1, 1, 1, 1)}).outputs[0])


EYE_TURN_RAD = math.radians(1.5)
"""The eyes converge slightly: parallel ones look through the viewer."""
