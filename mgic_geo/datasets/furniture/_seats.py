"""Chair, sofa, bed, toilet: what people sit and lie on."""

from __future__ import annotations

import math

from ._parts import drawers, legs, padded_seat
from ._solids import (
    Dice,
    Solid,
    arc,
    band,
    both,
    box,
    cushion,
    four,
    named,
    outline,
    rod,
    stack,
    sweep,
    tube,
)

SIDE, UP = (1.0, 0.0, 0.0), (0.0, 0.0, 1.0)


def chair(dice: Dice) -> list[Solid]:
    if dice.chance(0.12):
        return padded_seat(dice, 1, dice.between(0.65, 0.9), dice.between(0.65, 0.85))
    w, d, seat = dice.between(0.4, 0.6), dice.between(0.38, 0.56), dice.between(0.38, 0.5)
    thick, tall = dice.between(0.02, 0.1), dice.between(0.32, 0.65)
    plate = dice.pick("box", "soft", "round")
    if plate == "box":
        solids = [box(w, d, thick)]
    elif plate == "soft":
        solids = [cushion(w, d, thick)]
    else:
        solids = [stack((w, d, 0.0, 0.0, 3.0), (w, d, thick, 0.0, 3.0))]
    solids = named("seat", (solid.at(z=seat - thick) for solid in solids))
    solids += named("leg", _chair_base(dice, w, d, seat - thick))
    lean = dice.between(0.0, 15.0)
    back = [solid.turn(-lean, axis=0).at(y=0.46 * d, z=seat) for solid in _back(dice, w, tall)]
    back = named("back", back)
    arm = dice.pick("none", "none", "post", "loop", "pad")
    x, level = w / 2, seat + dice.between(0.16, 0.26)
    if arm == "post":
        solids += both(box(0.04, 0.8 * d, 0.03).at(x, 0.02, level))
        solids += both(box(0.03, 0.03, level - seat + thick).at(x, -0.3 * d, seat - thick))
    elif arm == "loop":
        path = [(x, -0.35 * d, seat - thick), (x, -0.4 * d, level), (x, 0.5 * d, level)]
        solids += both(tube(path, 0.018, SIDE))
    elif arm == "pad":
        solids += both(cushion(0.08, 0.6 * d, 0.04).at(x + 0.02, 0.0, level))
        solids += both(box(0.02, 0.06, level - seat + thick).at(x + 0.02, 0.0, seat - thick))
    return named("arm", solids) + back


def _chair_base(dice: Dice, w: float, d: float, h: float) -> list[Solid]:
    style = dice.pick("legs", "legs", "legs", "swivel", "cantilever", "sled", "tulip")
    x, y = 0.46 * w, 0.46 * d
    if style == "swivel":
        reach, arms = dice.between(0.24, 0.33), dice.pick(4, 5, 5)
        spoke = box(reach, 0.05, 0.035).at(x=reach / 2, z=0.07)
        wheel = rod(0.03, 0.04).turn(90.0, axis=0).at(reach, 0.02, 0.035)
        turns = [360.0 * number / arms for number in range(arms)]
        star = [solid.turn(angle) for angle in turns for solid in (spoke, wheel)]
        return [*star, rod(0.03, h - 0.07).at(z=0.07), box(0.25, 0.25, 0.03).at(z=h - 0.03)]
    if style == "cantilever":
        runner = [(x, y, 0.02), (x, -y, 0.02), (x, -y, h)]
        return [*both(tube(runner, 0.015, SIDE)), box(2 * x, 0.03, 0.03).at(y=y)]
    if style == "sled":
        frame = [(x, -y, h), (x, -1.1 * y, 0.015), (x, 1.1 * y, 0.015), (x, y, h)]
        return both(tube(frame, 0.014, SIDE))
    if style == "tulip":
        r = dice.between(0.18, 0.26)
        rings = (2 * r, 2 * r, 0.0), (2 * r, 2 * r, 0.02), (0.07, 0.07, 0.12), (0.07, 0.07, 0.8 * h)
        return [stack(*rings, (0.3, 0.3, h))]
    solids = legs(dice, w, d, h, dice.between(0.025, 0.055))
    if dice.chance(0.4):  # stretchers
        level = dice.between(0.2, 0.5) * h
        solids += both(box(0.02, 2 * y, 0.025).at(x - 0.02, 0.0, level))
        solids.append(box(2 * x, 0.02, 0.025).at(z=level))
    return solids


def _back(dice: Dice, w: float, h: float) -> list[Solid]:
    """A back that stands on y = 0."""
    t = dice.between(0.015, 0.05)
    style = dice.pick("panel", "soft", "slats", "ladder", "curved", "hoop", "frame")
    lift = dice.pick(0.0, dice.between(0.05, 0.2)) * h
    posts = both(box(0.035, t, h).at(0.46 * w))
    if style == "panel":
        return [box(0.95 * w, t, h - lift).at(z=lift), box(0.1 * w, t, lift + 0.01)]
    if style == "soft":
        pad = cushion(0.95 * w, 2 * t, h - lift, edge=0.15)
        return [pad.at(z=lift), box(0.15 * w, t, lift + 0.01)]
    if style == "slats":
        count = dice.whole(2, 6)
        xs = [0.92 * w * ((number + 1) / (count + 1) - 0.5) for number in range(count)]
        rail = box(0.92 * w, t, 0.07).at(z=h - 0.07)
        return [*posts, rail, *(box(0.035, 0.7 * t, h - 0.05).at(x) for x in xs)]
    if style == "ladder":
        count = dice.whole(2, 5)
        levels = [h * (number + 0.7) / count for number in range(count)]
        return [*posts, *(box(0.92 * w, 0.7 * t, 0.4 * h / count).at(z=z) for z in levels)]
    if style == "curved":
        bow = arc(0.52 * w, dice.between(0.3, 0.9) * w, 20.0, 160.0)
        depth = bow[:, 1].max()
        path = [(float(x), float(y - depth), 0.0) for x, y in bow]
        return [band(path, t, h - lift, UP).at(z=lift + (h - lift) / 2), *posts[: 2 * (lift > 0.0)]]
    if style == "hoop":
        curve = arc(0.46 * w, 0.4 * h, 0.0, 180.0, points=13)
        path = [(float(x), 0.0, float(z + 0.6 * h)) for x, z in curve]
        path = [(0.46 * w, 0.0, 0.0), *path, (-0.46 * w, 0.0, 0.0)]
        xs = [0.16 * w * number for number in (-2, -1, 0, 1, 2)]
        tops = [0.6 * h + 0.4 * h * math.sqrt(1.0 - (x / (0.46 * w)) ** 2) for x in xs]
        spindles = [rod(0.01, top, points=6).at(x) for x, top in zip(xs, tops)]
        return [tube(path, 0.017, (0.0, 1.0, 0.0)), *spindles]
    middle = box(0.8 * w, 0.5 * t, 0.5 * h).at(z=0.4 * h)
    return [*posts, box(0.92 * w, t, 0.05).at(z=h - 0.05), middle]


def sofa(dice: Dice) -> list[Solid]:
    seats = dice.pick(1, 2, 2, 3, 3, 3, 4)
    w = seats * dice.between(0.52, 0.72) + dice.between(0.2, 0.45)
    d = dice.between(0.72, 1.02)
    solids = padded_seat(dice, seats, w, d)
    kind = dice.pick("straight", "straight", "chaise", "corner") if seats > 1 else "straight"
    hand = dice.pick(-1.0, 1.0)
    seat = dice.between(0.36, 0.46)
    if kind == "chaise":
        long, wide = dice.between(0.5, 0.9), dice.between(0.6, 0.85)
        x = hand * (w / 2 - wide / 2)
        long_seat = cushion(wide, long + 0.1, seat).of("seat")
        solids.append(long_seat.at(x, -d / 2 - long / 2 + 0.05))
    elif kind == "corner":
        long = dice.between(0.7, 1.6)
        x = hand * (w / 2 - d / 2)
        y = -d / 2 - long / 2
        solids.append(box(d, long, seat - 0.12).at(x, y).of("body"))
        solids.append(cushion(0.95 * d, long, 0.13).at(x, y, seat - 0.12).of("seat"))
        back = box(0.18, long, dice.between(0.65, 0.85)).of("back")
        solids.append(back.at(hand * (w / 2 - 0.09), y))
    for _ in range(dice.whole(0, 2)):
        pillow = cushion(0.42, 0.14, 0.42, edge=0.5, exponent=3.0).turn(-20.0, axis=0)
        solids.append(pillow.at(dice.between(-0.35, 0.35) * w, 0.1, seat + 0.02).of("pillow"))
    return solids


def bed(dice: Dice) -> list[Solid]:
    w, d = dice.pick(0.9, 1.0, 1.2, 1.4, 1.6, 1.8), dice.between(1.85, 2.15)
    leg, frame, pad = dice.between(0.0, 0.25), dice.between(0.08, 0.25), dice.between(0.12, 0.3)
    top = leg + frame + pad
    mattress = cushion(0.97 * w, 0.97 * d, pad).at(z=leg + frame).of("mattress")
    solids = [box(w, d, frame).at(z=leg).of("body"), mattress]
    solids += legs(dice, w, d, leg, dice.between(0.05, 0.1)) if leg > 0.03 else []
    head = [solid.at(y=d / 2) for solid in _bed_end(dice, w, top + dice.between(0.25, 0.75))]
    solids += head if dice.chance(0.88) else []
    if dice.chance(0.35):
        solids += [part.at(y=-d / 2) for part in _bed_end(dice, w, top + dice.between(0.0, 0.3))]
    pillows = dice.pick(0, 1, 2, 2) if w > 1.1 else dice.pick(0, 1, 1)
    for number in range(pillows):
        x = (number + 0.5) * w / pillows - w / 2
        pillow = cushion(min(0.65, 0.85 * w / pillows), 0.4, 0.14, edge=0.5, exponent=4.0)
        solids.append(pillow.at(x, d / 2 - 0.28, top - 0.02).of("pillow"))
    if dice.chance(0.35):  # a blanket that hangs over the sides
        long = dice.between(0.4, 0.75) * d
        cover = cushion(w + 0.05, long, pad + 0.06, 0.15).of("mattress")
        solids.append(cover.at(y=long / 2 - d / 2, z=top - pad - 0.03))
    kind = dice.pick(*["plain"] * 7, "bunk", "canopy", "daybed", "drawers")
    if kind == "bunk":
        lift = dice.between(0.95, 1.25)
        solids += [solid.at(z=lift) for solid in solids[:2]]
        solids += four(box(0.06, 0.06, lift + top + 0.2).at(w / 2, d / 2).of("leg"))
        rungs = [box(w, 0.03, 0.03).at(y=-d / 2, z=0.3 * step) for step in range(1, 5)]
        solids += named("other", rungs)
    elif kind == "canopy":
        tall = dice.between(1.7, 2.1)
        solids += four(rod(0.035, tall).at(w / 2, d / 2).of("leg"))
        beams = both(box(0.04, d, 0.04).at(w / 2, z=tall))
        beams += [box(w, 0.04, 0.04).at(y=side * d / 2, z=tall) for side in (-1, 1)]
        solids += named("other", beams)
    elif kind == "daybed":
        solids.append(box(0.06, d, top + dice.between(0.25, 0.45)).at(w / 2))
    elif kind == "drawers":
        row = drawers(dice, 0.8 * d, frame + leg, 0.4, 1, 2)
        solids += both(*(solid.turn(90.0).at(x=w / 2) for solid in row))
    return named("back", solids)  # what is left: boards at the head, the foot and the side


def _bed_end(dice: Dice, w: float, h: float) -> list[Solid]:
    """A head or foot board that stands on y = 0."""
    t, style = dice.between(0.03, 0.1), dice.pick("panel", "soft", "slats", "arch", "posts")
    if style == "panel":
        return [box(w + dice.pick(0.0, 0.0, 0.8), t, h)]
    if style == "soft":
        return [cushion(w + 0.05, t + 0.06, h, edge=0.1)]
    if style == "arch":
        curve = arc(w / 2, 0.3 * h, 0.0, 180.0, points=11)
        edge = [(float(x), 0.0, float(z + 0.7 * h)) for x, z in curve]
        path = [(w / 2, 0.0, 0.0), *edge, (-w / 2, 0.0, 0.0)]
        bars = [rod(0.012, 0.8 * h, points=6).at(0.12 * w * number) for number in range(-3, 4)]
        return [sweep(path, outline(0.05, 0.05, points=8), (0.0, 1.0, 0.0)), *bars]
    posts = both(rod(0.04, h + 0.05, points=8).at(w / 2 - 0.02))
    if style == "posts":
        return [*posts, box(w, t / 2, 0.5 * h).at(z=0.45 * h)]
    rails = [box(w, 0.03, 0.06).at(z=level * h) for level in (0.45, 0.93)]
    bars = [box(0.03, 0.02, 0.5 * h).at(0.09 * w * step, z=0.45 * h) for step in range(-4, 5)]
    return [*posts, *rails, *bars]


def toilet(dice: Dice) -> list[Solid]:
    w, d, h = dice.between(0.34, 0.42), dice.between(0.44, 0.56), dice.between(0.36, 0.44)
    round_ = dice.pick(2.0, 2.3, 3.0)
    # Outside up, then inside down; the foot is set back.
    waist, wall = dice.between(0.5, 0.95), dice.between(0.72, 0.82)
    foot_d = dice.between(0.55, 0.95) * d
    hung = dice.chance(0.12)
    lowest = 0.35 * h if hung else 0.0
    solids = [
        stack(
            (waist * w, foot_d, lowest, (d - foot_d) / 2, round_),
            (0.9 * waist * w, 0.9 * foot_d, max(0.3 * h, lowest + 0.02), (d - foot_d) / 2, round_),
            (w, d, 0.85 * h, 0.0, round_),
            (w, d, h, 0.0, round_),
            (wall * w, wall * d, h, 0.0, round_),
            (0.6 * w, 0.6 * d, 0.75 * h, 0.0, round_),
            (0.3 * w, 0.25 * d, 0.5 * h, 0.1 * d, round_),
        ).of("basin")
    ]
    lid = stack((w, d, 0.0, 0.0, round_), (w, d, 0.025, 0.0, round_)).of("seat")
    state = dice.pick("closed", "closed", "open", "seat", "none")
    if state == "closed":
        solids.append(lid.at(z=h + 0.01))
    elif state != "none":
        ring = arc(0.44 * w, 0.44 * d, 0.0, 360.0, points=21)[:-1]
        path = [(float(x), float(y), h + 0.015) for x, y in ring]
        solids.append(band(path, 0.13 * w, 0.025, UP, closed=True).of("seat"))
    if state == "open":
        raised = lid.at(y=-d / 2).turn(-dice.between(92.0, 105.0), axis=0)
        solids.append(raised.at(y=d / 2 - 0.01, z=h + 0.02))
    tank = dice.pick("box", "box", "soft", "wide", "high", "none")
    tank_w, tank_d = dice.between(0.36, 0.5), dice.between(0.15, 0.22)
    tank_h, y = dice.between(0.28, 0.42), d / 2 + tank_d / 2 - 0.02
    solids.append(box(0.5 * w, tank_d + 0.1, 0.5 * h).at(y=y - 0.05, z=0.48 * h))
    if tank in ("box", "wide"):
        foot_scale = dice.pick(1.0, 0.88)
        wide = tank_w + (0.12 if tank == "wide" else 0.0)
        solids += [box(wide, tank_d, tank_h, foot_scale).at(y=y, z=0.95 * h)]
        solids += [box(wide + 0.02, tank_d + 0.02, 0.03).at(y=y, z=0.95 * h + tank_h)]
    elif tank == "soft":
        solids.append(cushion(tank_w, tank_d, tank_h, 0.15, 4.0).at(y=y, z=0.95 * h))
    elif tank == "high":
        solids.append(rod(0.025, 0.7).at(y=y, z=0.6 * h))
        solids.append(box(tank_w, tank_d, 0.3).at(y=y, z=h + dice.between(0.3, 0.6)))
    if tank not in ("none", "high") and dice.chance(0.5):
        solids.append(rod(0.02, 0.03).at(y=y, z=0.98 * h + tank_h))
    return named("tank", solids)
