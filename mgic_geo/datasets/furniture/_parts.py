"""Parts that several classes share: legs, drawers, what stands on a top, padded seats."""

from __future__ import annotations

import numpy as np

from ._solids import Dice, Solid, both, box, cushion, four, named, rod, stack, tube


def legs(dice: Dice, w: float, d: float, h: float, thick: float = 0.05) -> list[Solid]:
    """Four legs under a ``w`` by ``d`` top, in one of five styles."""
    return named("leg", _legs(dice, w, d, h, thick))


def _legs(dice: Dice, w: float, d: float, h: float, thick: float) -> list[Solid]:
    style = dice.pick("square", "round", "tapered", "splayed", "turned")
    x, y = w / 2 - thick, d / 2 - thick
    if style == "splayed":
        out = dice.between(0.3, 1.2) * min(thick, 0.15 * h)
        foot, top = (x + out, y, 0.0), (x - out, y, h)
        return four(tube([foot, top], thick / 2, (0.0, 1.0, 0.0)))
    if style == "turned":
        t = thick
        wide = (t, t, 0.15 * h), (0.5 * t, 0.5 * t, 0.3 * h), (1.2 * t, 1.2 * t, 0.7 * h)
        return four(stack((0.6 * t, 0.6 * t, 0.0), *wide, (t, t, h), points=8).at(x, y))
    if style == "round":
        return four(rod(thick / 2, h, points=8).at(x, y))
    foot_scale = 0.5 if style == "tapered" else 1.0
    return four(box(thick, thick, h, foot_scale).at(x, y))


def foot(dice: Dice, w: float, d: float, h: float) -> list[Solid]:
    """What carries a case: a plinth, side panels or legs."""
    style = dice.pick("plinth", "panels", "legs", "legs")
    if style == "plinth":
        return [box(0.94 * w, 0.9 * d, h).of("leg")]
    if style == "panels":
        return both(box(0.03, 0.98 * d, h).at(w / 2 - 0.015).of("leg"))
    return legs(dice, w, d, h, dice.between(0.03, 0.06))


def handle(dice: Dice, style: str, w: float) -> Solid:
    """A knob or bar that sticks out of the plane y = 0 towards the front."""
    if style == "bar":
        return box(0.4 * w, 0.02, 0.015).at(y=-0.02)
    return rod(0.015, 0.03, top=0.02, points=8).turn(90.0, axis=0)


def drawers(
    dice: Dice, w: float, h: float, depth: float, rows: int, columns: int = 1
) -> list[Solid]:
    """A grid of drawer fronts with handles before the plane y = 0, from z = 0 to ``h``."""
    relief, gap = dice.between(0.008, 0.03), dice.between(0.008, 0.03)
    style = dice.pick("knob", "bar", "none")
    # Real boxes behind the fronts, as careful modellers draw them; opened a little at times.
    real, opened = dice.chance(0.3), dice.chance(0.15)
    cell_w = (w - gap) / columns
    heights = np.linspace(1.0, dice.pick(1.0, 1.0, 0.6), rows)
    heights *= (h - gap) / heights.sum()
    solids = []
    for row in range(rows):
        z = gap + float(heights[:row].sum())
        for column in range(columns):
            x = (column + 0.5) * cell_w - (w - gap) / 2
            out = dice.between(0.05, 0.5) * depth if opened and dice.chance(0.3) else 0.0
            front_w, front_h = cell_w - gap, float(heights[row]) - gap
            solids.append(box(front_w, relief, front_h).at(x, -relief / 2 - out, z))
            if real or out > 0.0:
                behind = box(0.94 * front_w, 0.9 * depth, 0.7 * front_h)
                solids.append(behind.at(x, 0.46 * depth - out, z + 0.1 * front_h))
            if style != "none":
                middle = z + front_h / 2
                solids.append(handle(dice, style, front_w).at(x, -relief - out, middle))
    return named("drawer", solids)


def clutter(dice: Dice, w: float, d: float, z: float) -> list[Solid]:
    """One to three small things on a top: books, a lamp, a vase, a box."""
    solids: list[Solid] = []
    for _ in range(dice.whole(1, 3)):
        x, y = dice.between(-0.35, 0.35) * w, dice.between(-0.3, 0.3) * d
        kind = dice.pick("books", "lamp", "vase", "box")
        if kind == "books":
            thing = [
                box(0.22, 0.16, 0.03).turn(dice.between(-25.0, 25.0)).at(z=0.03 * level)
                for level in range(dice.whole(1, 4))
            ]
        elif kind == "lamp":
            tall, shade = dice.between(0.2, 0.4), dice.between(0.09, 0.16)
            thing = [rod(0.07, 0.02), rod(0.012, tall), rod(shade, 0.18, 0.6 * shade).at(z=tall)]
        elif kind == "vase":
            tall = dice.between(0.12, 0.3)
            thing = [stack((0.07, 0.07, 0), (0.15, 0.15, tall / 2), (0.06, 0.06, tall))]
        else:
            thing = [box(dice.between(0.1, 0.3), dice.between(0.08, 0.2), dice.between(0.04, 0.2))]
        solids += [part.at(x, y, z) for part in thing]
    return named("other", solids)


def padded_seat(dice: Dice, seats: int, w: float, d: float) -> list[Solid]:
    """An upholstered seat with back and arms: armchairs and straight sofas are made of it."""
    leg, seat = dice.between(0.02, 0.14), dice.between(0.36, 0.48)
    pad, back_h = dice.between(0.1, 0.18), dice.between(0.28, 0.55)
    back_t = dice.between(0.1, 0.24)
    arms = dice.pick("box", "roll", "soft", "slim", "none" if seats > 1 else "box")
    arm_w = 0.0 if arms == "none" else dice.between(0.08, 0.24) if arms != "slim" else 0.05
    arm_h = dice.pick(dice.between(0.12, 0.28), dice.between(0.12, 0.28), 0.95 * back_h)
    solids = [box(w, d, seat - pad - leg).at(z=leg).of("body")]
    solids += legs(dice, w, d, leg) if leg > 0.05 else []
    inner, front = w - 2 * arm_w, -d / 2
    deep = d - back_t
    lean = dice.between(0.0, 14.0)
    make_back = cushion if dice.chance(0.6) else box
    back = make_back(w if arms == "none" else inner, back_t, back_h + pad).of("back")
    solids.append(back.turn(-lean, axis=0).at(y=d / 2 - back_t / 2, z=seat - pad))
    each = inner / seats
    for number in range(seats):
        x = (number + 0.5) * each - inner / 2
        plate = cushion(0.98 * each, deep, pad).of("seat")
        solids.append(plate.at(x, front + deep / 2, seat - pad))
        if seats > 1 and dice.chance(0.7):
            puff = cushion(0.95 * each, 0.14, 0.85 * back_h).turn(-lean - 4.0, axis=0)
            solids.append(puff.at(x, d / 2 - back_t - 0.06, seat).of("back"))
    height = seat + arm_h - leg
    if arms == "box":
        solids += both(box(arm_w, d, height).at(w / 2 - arm_w / 2, z=leg))
    elif arms == "soft":
        solids += both(cushion(arm_w, d, height, edge=0.15).at(w / 2 - arm_w / 2, z=leg))
    elif arms == "roll":
        solids += both(box(0.7 * arm_w, d, height - arm_w / 2).at(w / 2 - arm_w / 2, z=leg))
        roll = rod(arm_w / 2, d).turn(90.0, axis=0).at(y=d / 2)
        solids += both(roll.at(w / 2 - arm_w / 2, z=leg + height - arm_w / 2))
    elif arms == "slim":
        x, top = w / 2 - 0.025, leg + height
        path = [(x, front, 0.0), (x, front, top), (x, d / 2, top), (x, d / 2, 0.0)]
        solids += both(tube(path, 0.022, (1.0, 0.0, 0.0)))
    return named("arm", solids)
