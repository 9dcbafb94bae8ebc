"""Dresser and night stand: cases with drawers, which differ in little but their proportions."""

from __future__ import annotations

from ._parts import clutter, drawers, foot, legs
from ._solids import Dice, Solid, both, box, cushion, named, rod, stack


def dresser(dice: Dice) -> list[Solid]:
    kind = dice.pick("wide", "wide", "chest", "chest", "tall")
    if kind == "wide":
        w, h, columns = dice.between(1.1, 1.8), dice.between(0.7, 1.0), dice.whole(2, 3)
    elif kind == "chest":
        w, h, columns = dice.between(0.7, 1.1), dice.between(0.8, 1.15), dice.whole(1, 2)
    else:
        w, h, columns = dice.between(0.5, 0.75), dice.between(1.05, 1.45), 1
    d, rows = dice.between(0.38, 0.56), dice.whole(3, 6)
    solids = _case(dice, w, d, h, rows, columns)
    if dice.chance(0.25):  # mirror
        mw, mh = dice.between(0.45, 0.95) * w, dice.between(0.5, 0.9)
        if dice.chance(0.4):
            glass = stack((mw, mh, 0.0), (mw, mh, 0.03)).turn(90.0, axis=0).at(z=mh / 2 + 0.05)
        else:
            glass = box(mw, 0.03, mh).at(z=0.05)
        solids.append(glass.at(y=d / 2 - 0.03, z=h))
        solids += both(box(0.04, 0.03, 0.6 * mh).at(mw / 2, d / 2 - 0.03, h))
    solids = named("other", solids)  # the mirror
    return solids + (clutter(dice, w, d, h) if dice.chance(0.2) else [])


def night_stand(dice: Dice) -> list[Solid]:
    w, d, h = dice.between(0.36, 0.68), dice.between(0.34, 0.52), dice.between(0.45, 0.8)
    kind = dice.pick("drawers", "drawers", "shelf", "shelf", "door", "leggy", "drum")
    if kind == "drawers":
        solids = _case(dice, w, d, h, dice.whole(1, 4), 1)
    elif kind == "drum":
        w = d
        top = rod(w / 2 + 0.02, 0.03, points=20)
        solids = [rod(w / 2, h - 0.03, points=20), top.at(z=h - 0.03).of("top")]
        front = drawers(dice, 0.5 * w, 0.8 * h, 0.4 * d, dice.whole(1, 3))
        solids += [part.at(y=-0.45 * d, z=0.1 * h) for part in front]
    elif kind == "leggy":
        tall = dice.between(0.35, 0.65) * h
        solids = legs(dice, w, d, tall, dice.between(0.025, 0.05))
        case = _case(dice, w, d, h - tall, 1, 1, footed=False)
        solids += [part.at(z=tall) for part in case]
        if dice.chance(0.4):
            solids.append(box(0.9 * w, 0.9 * d, 0.02).at(z=0.3 * tall))
    else:
        t, low = 0.025, dice.between(0.03, 0.15)
        solids = [box(w, d, t).at(z=h - t).of("top"), box(w, d, t).at(z=low)]
        solids += foot(dice, w, d, low)
        solids += both(box(t, d, h - low - t).at(w / 2 - t / 2, 0.0, low))
        solids += [box(w, 0.015, h - low).at(y=d / 2 - 0.01, z=low)] if dice.chance(0.7) else []
        if kind == "door":
            door = box(w - 0.06, 0.02, h - low - 0.06)
            angle = dice.pick(0.0, 0.0, dice.between(30.0, 110.0))
            hinged = door.at(x=w / 2 - 0.03).turn(-angle).at(x=0.03 - w / 2)
            solids.append(hinged.at(y=-d / 2 + 0.01, z=low + 0.03).of("drawer"))
        elif dice.chance(0.75):
            front_h = dice.between(0.12, 0.2)
            front = drawers(dice, w - 2 * t, front_h, 0.9 * d, 1)
            solids += [part.at(y=-0.48 * d, z=h - t - front_h) for part in front]
            solids.append(box(w - 2 * t, 0.95 * d, t).at(z=h - t - front_h))
        else:
            solids.append(box(w - 2 * t, 0.95 * d, t).at(z=(h + low) / 2))
    solids = named("body", solids)
    return solids + (clutter(dice, 0.6 * w, 0.6 * d, h) if dice.chance(0.25) else [])


def _case(
    dice: Dice, w: float, d: float, h: float, rows: int, columns: int, footed: bool = True
) -> list[Solid]:
    """A chest of drawers with its top board and foot."""
    low = dice.pick(dice.between(0.03, 0.1), dice.between(0.03, 0.1), 0.22 * h) if footed else 0.0
    t, over = dice.between(0.02, 0.05), dice.between(0.0, 0.03)
    solids = foot(dice, w, d, low) if footed else []
    body = h - low - t
    if dice.chance(0.3):  # bare boards instead of a solid block
        solids += both(box(0.025, d, body).at(w / 2 - 0.012, 0.0, low))
        solids += [box(w, d, 0.02).at(z=low), box(w, 0.015, body).at(y=d / 2 - 0.01, z=low)]
    else:
        solids.append(box(w, d, body).at(z=low))
    make_top = cushion if dice.chance(0.2) else box
    solids.append(make_top(w + 2 * over, d + 2 * over, t).at(z=h - t).of("top"))
    front = drawers(dice, 0.97 * w, body, 0.9 * d, rows, columns)
    return named("body", solids) + [part.at(y=-d / 2, z=low) for part in front]
