"""Table, desk, bathtub, monitor."""

from __future__ import annotations

from ._parts import clutter, drawers, legs
from ._solids import Dice, Solid, arc, band, both, box, cushion, four, named, rod, stack, tube

SIDE, UP = (1.0, 0.0, 0.0), (0.0, 0.0, 1.0)


def table(dice: Dice) -> list[Solid]:
    kind = dice.pick("dining", "dining", "coffee", "side")
    if kind == "dining":
        w, d, h = dice.between(1.0, 2.2), dice.between(0.7, 1.05), dice.between(0.68, 0.8)
    elif kind == "coffee":
        w, d, h = dice.between(0.8, 1.4), dice.between(0.45, 0.8), dice.between(0.3, 0.5)
    else:
        w, d, h = dice.between(0.4, 0.65), dice.between(0.4, 0.6), dice.between(0.45, 0.72)
    t, shape = dice.between(0.02, 0.06), dice.pick("box", "box", "round", "oval", "soft")
    if shape == "round":
        w = d = max(d, 0.8 if kind == "dining" else d)
    exponent = {"round": 2.0, "oval": 2.4, "soft": 6.0}.get(shape)
    if exponent is None:
        plate = box(w, d, t).at(z=h - t)
    else:
        plate = stack((w, d, h - t, 0.0, exponent), (w, d, h, 0.0, exponent))
    solids = [plate.of("top")]
    # Under a round top the legs stand within the circle.
    fit = 0.68 if shape in ("round", "oval") else 0.96
    lw, ld, under = fit * w, fit * d, h - t
    base = dice.pick("legs", "legs", "legs", "pedestal", "trestle", "slab", "frame", "cross")
    if base == "pedestal":
        r, column = dice.between(0.25, 0.4) * d, dice.between(0.03, 0.12) * d
        stem = (2 * r, 2 * r, 0.0), (2 * r, 2 * r, 0.03), (2 * column, 2 * column, 0.08)
        one = stack(*stem, (2 * column, 2 * column, under))
        solids += both(one.at(0.27 * w)) if w > 1.5 * d else [one]
    elif base == "trestle":
        x = 0.36 * w
        solids += both(box(0.08, 0.85 * ld, 0.06).at(x), box(0.08, 0.15, under).at(x))
        solids.append(box(2 * x, 0.04, 0.1).at(z=0.3 * h))
    elif base == "slab":
        solids += both(box(dice.between(0.03, 0.1), 0.95 * ld, under).at(0.45 * lw))
    elif base == "frame":
        x, y = 0.46 * lw, 0.46 * ld
        hoop = [(x, -y, under), (x, -y, 0.02), (x, y, 0.02), (x, y, under)]
        solids += both(tube(hoop, dice.between(0.015, 0.03), SIDE))
    elif base == "cross":
        x, y = 0.38 * lw, 0.44 * ld
        beam = tube([(x, -y, 0.0), (x, y, under)], 0.03, SIDE)
        solids += both(beam, beam.stretch(y=-1.0))
    else:
        solids += legs(dice, lw, ld, under, dice.between(0.035, 0.09))
        if dice.chance(0.5):  # apron
            tall = dice.between(0.05, 0.13)
            solids.append(box(0.9 * lw, 0.88 * ld, tall).at(z=under - tall).of("body"))
    solids = named("leg", solids)  # the base
    if kind != "dining" and dice.chance(0.35):
        shelf = box(0.9 * lw, 0.9 * ld, 0.025).at(z=dice.between(0.2, 0.45) * h)
        solids.append(shelf.of("body"))
    if kind == "side" and dice.chance(0.25):
        face = drawers(dice, 0.8 * lw, 0.15, 0.8 * ld, 1)
        solids += [part.at(y=-0.46 * ld, z=under - 0.15) for part in face]
    return solids + (clutter(dice, w, d, h) if dice.chance(0.2) else [])


def desk(dice: Dice) -> list[Solid]:
    w, d, h = dice.between(1.0, 1.9), dice.between(0.5, 0.85), dice.between(0.7, 0.8)
    t = dice.between(0.02, 0.05)
    under = h - t
    solids = [box(w, d, t).at(z=under).of("top")]
    kind = dice.pick("one", "one", "two", "two", "panels", "writing", "corner")
    hand = dice.pick(-1.0, 1.0)
    pw = dice.between(0.3, 0.45)
    x = w / 2 - pw / 2 - 0.02
    if kind in ("one", "two", "corner"):
        clear = dice.pick(0.0, 0.0, dice.between(0.05, 0.25))  # drawers that do not reach the floor
        case = box(pw, 0.94 * d, under - clear).at(z=clear)
        row = drawers(dice, pw, under - clear, 0.85 * d, dice.whole(2, 4))
        pedestal = [case, *(part.at(y=-0.47 * d, z=clear) for part in row)]
        for side in (-1.0, 1.0) if kind == "two" else (hand,):
            solids += [part.at(side * x) for part in pedestal]
        if clear > 0.0:
            solids += legs(dice, w, d, under, 0.045)
        elif kind != "two":
            solids.append(box(0.03, 0.94 * d, under).at(-hand * (w / 2 - 0.03)))
    elif kind == "panels":
        solids += both(box(0.03, 0.95 * d, under).at(w / 2 - 0.03))
    else:
        solids += legs(dice, w, d, under, dice.between(0.03, 0.06))
        tall = dice.between(0.08, 0.16)
        solids.append(box(0.92 * w, 0.9 * d, tall).at(z=under - tall))
        front = drawers(dice, 0.9 * w, tall, 0.8 * d, 1, dice.whole(1, 3))
        solids += [part.at(y=-0.45 * d, z=under - tall) for part in front]
    if kind != "writing" and dice.chance(0.65):  # modesty panel
        tall = dice.between(0.3, 0.95) * under
        solids.append(box(0.95 * w, 0.02, tall).at(y=0.4 * d, z=under - tall))
    if kind == "corner":
        long, wide = dice.between(0.6, 1.1), dice.between(0.45, 0.6)
        x, y = hand * (w / 2 - wide / 2), -d / 2 - long / 2
        solids.append(box(wide, long, t).at(x, y, under).of("top"))
        solids.append(box(wide, 0.03, under).at(x, y - long / 2))
    if dice.chance(0.3):  # hutch
        tall, deep = dice.between(0.25, 0.75), dice.between(0.2, 0.32)
        y = d / 2 - deep / 2
        solids += [part.at(y=y, z=h) for part in both(box(0.025, deep, tall).at(w / 2 - 0.02))]
        shelves = dice.pick((1.0,), (0.5, 1.0))
        solids += [box(w, deep, 0.025).at(y=y, z=h + level * tall) for level in shelves]
        solids.append(box(w, 0.015, tall).at(y=d / 2, z=h))
    if dice.chance(0.15):  # keyboard tray
        solids.append(box(0.6, 0.3, 0.02).at(y=-0.45 * d, z=under - 0.1).of("other"))
    if dice.chance(0.15):
        small = (part.stretch(0.8, 0.8, 0.8).at(y=0.1, z=h) for part in monitor(dice))
        solids += [part.of("other") for part in small]
    solids = named("body", solids)
    return solids + (clutter(dice, w, d, h) if dice.chance(0.25) else [])


def bathtub(dice: Dice) -> list[Solid]:
    w, d, h = dice.between(0.7, 0.95), dice.between(1.5, 1.9), dice.between(0.45, 0.65)
    kind = dice.pick("inset", "inset", "oval", "claw", "soft", "whirl")
    rim, floor = dice.between(0.04, 0.1), dice.between(0.08, 0.16)
    shift = dice.between(-0.05, 0.05)
    if kind == "whirl":
        w = dice.between(1.2, 1.7)
        d, rim = w * dice.between(0.9, 1.2), dice.between(0.1, 0.2)
    outer, inner = {
        "inset": (40.0, dice.pick(2.5, 5.0)),
        "oval": (2.2, 2.2),
        "claw": (2.4, 2.4),
        "soft": (5.0, 4.0),
        "whirl": (dice.pick(2.0, 40.0), 2.2),
    }[kind]
    foot = 1.0 if kind == "inset" else dice.between(0.6, 0.95)
    lift = dice.between(0.08, 0.16) if kind == "claw" else 0.0
    in_w, in_d = w - 2 * rim, d - 2 * rim
    lip = 0.03 if kind in ("oval", "claw") else 0.0
    solids = [
        stack(
            (foot * w, foot * d, lift, 0.0, outer),
            (w, d, h - 0.04, 0.0, outer),
            (w + lip, d + lip, h, 0.0, outer),
            (in_w, in_d, h, 0.0, inner),
            (0.9 * in_w, 0.9 * in_d, (floor + lift + h) / 2, shift, inner),
            (0.6 * in_w, 0.7 * in_d, floor + lift, shift, inner),
            points=28,
        ).of("basin")
    ]
    if kind == "claw":
        claw = stack((0.09, 0.09, 0), (0.04, 0.04, 0.5 * lift), (0.12, 0.12, lift + 0.1), points=8)
        solids += four(claw.at(0.3 * w * foot, 0.33 * d * foot).of("leg"))
    if kind in ("oval", "claw") and dice.chance(0.4):  # a slipper's raised back
        half = arc(in_w / 2 + rim / 2, in_d / 2 + rim / 2, 20.0, 160.0, points=13)
        path = [(float(x), float(y), 0.0) for x, y in half]
        high = dice.between(0.12, 0.25)
        solids.append(band(path, 0.7 * rim, high, UP).at(z=h + high / 2 - 0.02).of("basin"))
    walls = dice.pick(0, 0, 0, 0, 1, 2) if kind == "inset" else 0  # tiled surround, or a screen
    tall = h + dice.between(0.3, 0.8)
    solids += [box(0.03, d, tall).at(x=w / 2)] if walls > 0 else []
    solids += [box(w, 0.03, tall).at(y=d / 2)] if walls > 1 else []
    if kind in ("inset", "whirl") and dice.chance(0.2):  # steps up to it
        wide, rise = dice.between(0.4, 1.0) * d, h / 3
        step = box(0.3, wide, rise).at(x=-w / 2 - 0.15)
        solids += [step, step.at(x=-0.3), step.at(z=rise)]
    if dice.chance(0.25):  # grips
        grip = [(in_w / 2, -0.15, h), (in_w / 2, -0.12, h + 0.08), (in_w / 2, 0.12, h + 0.08)]
        solids += both(tube([*grip, (in_w / 2, 0.15, h)], 0.015, SIDE))
    if dice.chance(0.55):  # faucet
        y, tall = dice.pick(-1.0, 1.0) * (d / 2 - rim / 2), dice.between(0.1, 0.25)
        inward = -0.12 if y > 0 else 0.12
        spout = [(0.0, y, h), (0.0, y, h + tall), (0.0, y + inward, h + tall)]
        solids += [tube(spout, 0.018, SIDE), *both(rod(0.02, 0.07).at(0.1, y, h))]
    return named("other", solids)  # walls, steps, grips, the faucet


def monitor(dice: Dice) -> list[Solid]:
    kind = dice.pick("flat", "flat", "flat", "curved", "crt", "tv", "arm")
    w = dice.between(0.85, 1.4) if kind == "tv" else dice.between(0.36, 0.72)
    h = w / dice.pick(1.25, 1.33, 1.6, 1.78, 1.78, 2.3 if kind == "curved" else 1.5)
    t, bezel = dice.between(0.02, 0.08), dice.between(0.01, 0.04)
    raised, tilt = dice.between(0.04, 0.16), dice.between(-3.0, 10.0)
    if kind == "crt":
        w, h = 0.85 * w, 0.85 * w / 1.2
        deep = dice.between(0.6, 1.0) * w
        tail = box(0.92 * w, 0.9 * h, 0.7 * deep, foot=dice.between(0.35, 0.7))
        # Turned on its back, the narrow foot of the tail points away from the screen.
        head = [box(w, 0.3 * deep, h).at(y=0.15 * deep, z=-h / 2)]
        head.append(tail.turn(90.0, axis=0).at(y=deep))
    elif kind == "curved":
        bow = arc(0.55 * w, dice.between(0.08, 0.25) * w, 25.0, 155.0, points=11)
        path = [(float(x), float(y - bow[0, 1]), 0.0) for x, y in bow]
        head = [band(path, t, h, UP)]
    else:
        slim = dice.chance(0.5)
        head = [box(w, t, h).at(z=-h / 2)]
        if slim:
            swell = cushion(0.5 * w, t, 0.5 * h).at(y=0.5 * t, z=-h / 4)
            head = [box(w, 0.4 * t, h).at(z=-h / 2), swell]
        rim_y = -t / 2 if not slim else -0.2 * t
        head += [box(w, 0.012, bezel).at(y=rim_y, z=z) for z in (-h / 2, h / 2 - bezel)]
        head += both(box(bezel, 0.012, h).at(w / 2 - bezel / 2, rim_y, -h / 2))
    solids = [part.turn(-tilt, axis=0).at(z=raised + h / 2).of("screen") for part in head]
    stand = dice.pick("disk", "plate", "vee", "feet", "none" if kind in ("tv", "arm") else "plate")
    back = 0.35 * w if kind == "crt" else t / 2 + 0.02
    if stand != "none" and stand != "feet":
        neck = dice.pick(rod(0.03, raised + 0.3 * h), box(0.12 * w, 0.03, raised + 0.4 * h))
        solids.append(neck.at(y=back))
    if stand == "disk":
        r = dice.between(0.18, 0.3) * w
        solids.append(stack((2 * r, 1.5 * r, 0.0), (1.8 * r, 1.3 * r, 0.02)).at(y=back))
    elif stand == "plate":
        solids.append(box(dice.between(0.3, 0.65) * w, dice.between(0.15, 0.28), 0.015).at(y=back))
    elif stand == "vee":
        prong = tube([(0.0, 0.0, 0.012), (0.28 * w, -0.12, 0.012)], 0.012, UP)
        solids += [part.at(y=back) for part in both(prong, prong.stretch(y=-0.5))]
    elif stand == "feet":
        solids += both(box(0.03, dice.between(0.15, 0.3), 0.02).at(0.35 * w))
        solids += both(box(0.03, 0.03, raised + 0.02).at(0.35 * w))
    if kind == "arm":
        elbow = [(0.0, 0.02, raised + h / 2), (0.0, 0.2, raised + h / 2), (0.0, 0.3, raised)]
        solids.append(tube(elbow, 0.02, SIDE))
    return named("leg", solids)
