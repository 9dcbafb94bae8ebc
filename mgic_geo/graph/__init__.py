"""Neighbourhood graphs of point clouds and the differential operators on them."""

from mgic_geo.graph.fps import fps
from mgic_geo.graph.grids import Grid, make_grids, scattered_keys
from mgic_geo.graph.knn import available_backends, knn, knn_graph, radius, radius_graph
from mgic_geo.graph.neighborhoods import Neighborhoods
from mgic_geo.graph.operators import DifferentialOperators, differential_operators

__all__ = [
    "DifferentialOperators",
    "Grid",
    "Neighborhoods",
    "available_backends",
    "differential_operators",
    "fps",
    "knn",
    "knn_graph",
    "make_grids",
    "radius",
    "radius_graph",
    "scattered_keys",
]
