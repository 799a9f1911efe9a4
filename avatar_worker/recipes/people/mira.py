"""Mira: a woman with a brown bob and a blue-green sweater, in many voices; nobody's likeness.

The weights mix generic targets and were chosen by eye.
"""

from __future__ import annotations

from avatar_worker.recipes.people.camera import ORIGIN_DM
from avatar_worker.recipes.people.motion import Range
from avatar_worker.recipes.people.person import (
    Brows,
    Hair,
    Lashes,
    Line,
    Look,
    Person,
    Schedule,
    Skin,
    Sweater,
)

SCRIPT: tuple[Line, ...] = (
    Line("af_heart", "Hello, I am Mira, and I am very happy to meet you."),
    Line("af_heart", "Five brave women moved above the busy food market before noon."),
    Line("am_puck", "Please put the paper cups back on top of the oven."),
    Line("af_heart", "Would you show me which blue boat you chose?"),
    Line("af_heart", "She sells cheap fish, but Bob prefers beef pie with plum jam."),
    Line("af_bella", "My brother thinks both of those things are worth thirty dollars."),
    Line("af_heart", "Of course, let me explain how that works in a few simple steps."),
    Line("af_heart", "Usually the weather is lovely in June, though the evenings can be cool."),
    Line("af_sarah", "I would be glad to help, just tell me what you need."),
    Line("af_heart", "Three thin thieves thought a thousand thoughts through the month."),
    Line("am_puck", "How about a loud round of applause for the brown cow down south?"),
    Line("af_heart", "I have no information about that, but I can find out."),
    Line("bf_emma", "We need a huge new menu with beans, peas and green tea."),
    Line("af_bella", "Maybe the number of members may double by September."),
    Line("af_heart", "Look, a good cook could put sugar on this pudding."),
    Line("bm_george", "Good morning! What would you like to talk about?"),
    Line("bf_emma", "Peter fed the puppy above the mill, and both were warm and happy."),
    Line("af_heart", "We have a few more beautiful maps."),
)
"""Mira's own voice (`af_heart`) and five others, so that her mouth hears more than one throat. Many
closures, lips on teeth, round and wide vowels; the last lines are held out for scoring."""

LOOK = Look(
    skin=Skin(
        base=("#d6a88c", "#c9977a"),
        mottle="#c08468",
        red="#b9604f",
        lips=("#b4615a", "#a5544f"),
        lips_share=0.7,
        lids="#a3654f",
        freckles=1.3,
        cheeks=(0.42, 6.33, 1.15),
        upper_cheeks=(0.33, 6.42, 1.2),
        chin=(0.0, 5.75, 1.35),
    ),
    iris=(
        (0.0, "#7a5a2c"),
        (0.45, "#7a5a2c"),
        (0.62, "#5e4a26"),
        (0.85, "#3f3a22"),
        (1.0, "#1a1712"),
    ),
    iris_fibres="#2c2412",
    hair=Hair(
        style="bob",
        colour="#35200f",
        ior=1.55,
        scalp="#3a251a",
        hairline=(
            (0, 22, 40, 52, 62, 70, 78, 92, 108, 122, 140, 180),
            (7.40, 7.39, 7.24, 7.02, 6.88, 6.72, 6.62, 6.78, 6.70, 6.35, 6.10, 6.02),
        ),
    ),
    brows=Brows(
        strands=540,
        colour="#57402e",
        radius_m=6.2e-5,
        across=((0, 0.6, 1), (0.145, 0.37, 0.505)),
        rise=((0, 0.3, 0.65, 1), (0.190, 0.222, 0.238, 0.180)),
        spread=((0, 0.15, 0.6, 1), (0.040, 0.048, 0.034, 0.010)),
        length=1.0,
    ),
    lashes=Lashes(colour="#0a0604", length=1.0, thickness=1.0, rooted_alike=False),
    sweater=Sweater(
        yarn=("#2f5560", "#3b6670"),
        cut_m=(0.0, -0.020, 0.536),
        tilt=0.30,
        collar_out_m=0.003,
        hem_m=(0.006, 0.016),
    ),
    backdrop=("#aab4ba", "#8b98a3", "#5d6a75"),
)

MIRA = Person(
    name="mira",
    shape={
        "macrodetails/caucasian-female-young": 0.55,
        "macrodetails/asian-female-young": 0.25,
        "macrodetails/african-female-young": 0.20,
        "macrodetails/universal-female-young-averagemuscle-averageweight": 1.0,
        "head/head-oval": 0.35,
        "head/head-age-incr": 0.12,
        "chin/chin-width-decr": 0.35,
        "forehead/forehead-scale-vert-decr": 0.3,
        "mouth/mouth-angles-up": 0.35,
        "mouth/mouth-scale-horiz-incr": 0.15,
        "nose/nose-width3-decr": 0.2,
        # Without the taller lids the iris is cut and she looks tired.
        **{
            f"eyes/{side}-eye-{part}-incr": weight
            for side in "lr"
            for part, weight in (
                ("scale", 0.28),
                ("height1", 0.3),
                ("height2", 0.6),
                ("height3", 0.25),
            )
        },
    },
    head_dm=(float(ORIGIN_DM[0]), float(ORIGIN_DM[1]), float(ORIGIN_DM[2])),
    teeth_shift_dm={
        "helper-upper-teeth": (0.0, -0.048, 0.018),
        "helper-lower-teeth": (0.0, -0.028, -0.014),
        "helper-tongue": (0.0, -0.012, 0.0),
    },
    look=LOOK,
    speed=1.05,
    script=SCRIPT,
    schedule=Schedule(
        idle_frames=200,
        speaking_frames=1_500,
        held_out_lines=2,
        in_order=False,
        range=Range(yaw_deg=5.0, pitch_deg=2.4, roll_deg=1.8, shift_dm=0.03),
        sway_hz=0.75,
        blinks_s=(0.7, 1.5),
    ),
)
