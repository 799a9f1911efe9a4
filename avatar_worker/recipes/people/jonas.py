"""Jonas: a man with short dark hair, stubble and a wine-red sweater, in one voice; nobody's
likeness.

He is drawn as a film with sound, as if somebody had been filmed, so that the whole way from
footage to a character can be gone. The weights mix generic targets and were chosen by eye.
"""

from __future__ import annotations

from avatar_worker.recipes.people.motion import Range
from avatar_worker.recipes.people.person import (
    Beard,
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
    Line("joe", "Hello, my name is Jonas, and I am glad that you have found the time.", 5.4),
    Line("joe", "People come here from very many different towns and villages.", 0.7),
    Line("joe", "Some of them bring books, others bring food, and a few bring music."),
    Line("joe", "My favourite morning is the one with fresh bread and warm butter.", 1.2),
    Line("joe", "Last summer we built a small wooden boat for the children."),
    Line("joe", "It took five weeks, three pots of blue paint, and a lot of patience.", 0.7),
    Line("joe", "What would you do with a whole month of nothing but free time?", 2.5),
    Line("joe", "Maybe you would move to the mountains and watch the clouds."),
    Line("joe", "Or you could finally learn how to play that old piano.", 0.8),
    Line("joe", "My brother thinks that both of these plans are worth a try.", 1.2),
    Line("joe", "Should you ever need help, just ask, and somebody will show you.", 0.8),
    Line("joe", "The best of all views is above the mill, behind the apple trees."),
    Line("joe", "Please be careful on the bridge, because the boards are rather smooth.", 1.2),
    Line("joe", "Now then, how about a cup of coffee and a piece of plum pie?", 2.5),
    Line("joe", "We can also sit by the fire and watch the evening sky.", 0.8),
    Line("joe", "Thank you for listening, and goodbye until we meet again."),
)
"""Closures, lips on teeth, round and wide vowels in ordinary sentences; a silent start, short
pauses and two long ones."""

LOOK = Look(
    skin=Skin(
        base=("#d3a184", "#c38f70"),
        mottle="#b97c60",
        red="#b45a49",
        lips=("#b06a60", "#a45f56"),
        lips_share=0.6,
        lids="#9d634d",
        freckles=0.0,
        cheeks=(0.43, 6.30, 1.15),
        upper_cheeks=(0.33, 6.42, 1.2),
        chin=(0.0, 5.68, 1.33),
        beard=Beard(
            colour="#2f2925",
            share=0.5,
            upper=(
                (0, 14, 24, 34, 48, 64, 76, 86, 180),
                (6.28, 6.26, 6.15, 6.03, 6.06, 6.20, 6.50, 6.72, 6.4),
            ),
            lower=((0, 40, 70, 100, 180), (5.20, 5.25, 5.50, 5.80, 6.0)),
        ),
    ),
    iris=(
        (0.0, "#8c9293"),
        (0.45, "#8c9293"),
        (0.62, "#76807f"),
        (0.85, "#535f63"),
        (1.0, "#1f272a"),
    ),
    iris_fibres="#454f50",
    hair=Hair(
        style="short",
        colour="#1c120b",
        ior=1.3,
        scalp="#20160f",
        hairline=(
            (0, 18, 34, 44, 52, 62, 72, 80, 92, 108, 122, 140, 180),
            (7.42, 7.40, 7.32, 7.24, 7.05, 6.86, 6.66, 6.50, 6.80, 6.62, 6.20, 5.98, 5.92),
        ),
    ),
    brows=Brows(
        strands=640,
        colour="#44342a",
        radius_m=6.6e-5,
        across=((0, 0.6, 1), (0.140, 0.39, 0.535)),
        rise=((0, 0.3, 0.65, 1), (0.182, 0.200, 0.212, 0.172)),
        spread=((0, 0.15, 0.6, 1), (0.038, 0.048, 0.040, 0.012)),
        length=1.0,
    ),
    lashes=Lashes(colour="#120c09", length=0.8, thickness=0.75, rooted_alike=True),
    sweater=Sweater(
        yarn=("#5a2430", "#6d303b"),
        cut_m=(0.0, -0.020, 0.536),
        tilt=0.75,
        collar_out_m=0.002,
        hem_m=(0.003, 0.014),
    ),
    backdrop=("#c3b8a6", "#a4967f", "#6f6351"),
)

JONAS = Person(
    name="jonas",
    shape={
        "macrodetails/caucasian-male-young": 0.60,
        "macrodetails/asian-male-young": 0.25,
        "macrodetails/african-male-young": 0.15,
        "macrodetails/universal-male-young-averagemuscle-averageweight": 1.0,
        "head/head-scale-vert-decr": 0.35,
        "head/head-age-incr": 0.15,
        "head/head-square": 0.15,
        "chin/chin-width-incr": 0.10,
        "mouth/mouth-angles-up": 0.25,
        "mouth/mouth-scale-horiz-incr": 0.15,
        # Else the lobes end in a straight line.
        **{
            f"ears/{side}-ear-{part}": weight
            for side in "lr"
            for part, weight in (("shape-round", 0.6), ("lobe-incr", 0.35))
        },
        **{
            f"eyes/{side}-eye-{part}-incr": weight
            for side in "lr"
            for part, weight in (
                ("scale", 0.2),
                ("height1", 0.35),
                ("height2", 0.65),
                ("height3", 0.25),
            )
        },
    },
    head_dm=(0.0, 7.95, 0.566),
    teeth_shift_dm={
        "helper-upper-teeth": (0.0, -0.048, 0.018),
        "helper-lower-teeth": (0.0, -0.028, -0.014),
        "helper-tongue": (0.0, -0.012, 0.0),
    },
    look=LOOK,
    speed=1.0,
    script=SCRIPT,
    schedule=Schedule(
        idle_frames=0,
        speaking_frames=1_550,
        held_out_lines=0,
        in_order=True,
        range=Range(yaw_deg=8.0, pitch_deg=4.0, roll_deg=2.5, shift_dm=0.03),
        sway_hz=0.55,
        blinks_s=(1.2, 2.5),
    ),
)
