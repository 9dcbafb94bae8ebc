"""Classifies a mesh in OFF format with an exported network; needs numpy and onnxruntime alone.

python classify.py model.onnx chair.off
"""

import json
import sys
from itertools import pairwise

import numpy as np
import onnxruntime

network, mesh = sys.argv[1:]
session = onnxruntime.InferenceSession(network)
about = json.loads(session.get_modelmeta().custom_metadata_map["mgic_geo"])

with open(mesh) as file:
    words = file.read().split()
words = words[1:] if words[0] == "OFF" else [words[0][3:], *words[1:]]  # some join them: OFF96
corners, faces = int(words[0]), int(words[1])
vertices = np.array(words[3 : 3 + 3 * corners], np.float64).reshape(-1, 3)
triangles, at = [], 3 + 3 * corners
for _ in range(faces):
    corner = [int(word) for word in words[at + 1 : at + 1 + int(words[at])]]
    triangles += [(corner[0], *pair) for pair in pairwise(corner[1:])]
    at += 1 + int(words[at])

# Points drawn uniformly by area, in random order.
rng = np.random.default_rng(0)
a, b, c = vertices[np.array(triangles)].transpose(1, 0, 2)
area = np.linalg.norm(np.cross(b - a, c - a), axis=1)
face = rng.choice(len(area), about["num_points"], p=area / area.sum())
u, v = np.sqrt(rng.random((len(face), 1))), rng.random((len(face), 1))
points = a[face] + u * (1 - v) * (b - a)[face] + u * v * (c - a)[face]

points -= points.mean(axis=0)
points /= np.linalg.norm(points, axis=1).max()
(logits,) = session.run(None, {"pos": points[None].astype(np.float32)})
share = np.exp((logits[0] - logits[0].max()) / about["temperature"])
share /= share.sum()
for i in share.argsort()[::-1][:3]:
    print(f"{about['classes'][i]} {100 * share[i]:.2f} %")
