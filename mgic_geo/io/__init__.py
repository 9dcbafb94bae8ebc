"""Files: meshes, point clouds, and writing without half-written results."""

from mgic_geo.io.atomic import atomic_write, full_disk_as_data_error, remove_leftovers
from mgic_geo.io.cloud import PointCloud, check_cloud
from mgic_geo.io.clouds import Clouds, load_clouds_npz
from mgic_geo.io.features import FEATURES, parse_features
from mgic_geo.io.hdf5 import load_clouds_h5
from mgic_geo.io.lock import file_lock
from mgic_geo.io.mesh import Mesh
from mgic_geo.io.off import read_off, write_off
from mgic_geo.io.pcd import read_pcd
from mgic_geo.io.ply import write_ply
from mgic_geo.io.shape import SHAPE_SUFFIXES, as_shape, read_cloud_or_mesh, read_shape, shape_suffix

__all__ = [
    "FEATURES",
    "SHAPE_SUFFIXES",
    "Clouds",
    "Mesh",
    "PointCloud",
    "as_shape",
    "atomic_write",
    "check_cloud",
    "file_lock",
    "full_disk_as_data_error",
    "load_clouds_h5",
    "load_clouds_npz",
    "parse_features",
    "read_cloud_or_mesh",
    "read_off",
    "read_pcd",
    "read_shape",
    "remove_leftovers",
    "shape_suffix",
    "write_off",
    "write_ply",
]
