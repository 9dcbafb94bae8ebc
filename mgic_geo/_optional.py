"""Optional packages, probed where they are needed."""

from __future__ import annotations

import importlib
from types import ModuleType


def require(module: str, extra: str) -> ModuleType:
    """Imports an optional module.

    Args:
        module: Name of the module, for example ``"open3d"``.
        extra: The extra of this package that installs it.

    Raises:
        ImportError: It is not installed (or does not import); the message names the extra.
    """
    try:
        return importlib.import_module(module)
    except (ImportError, OSError) as error:  # OSError: a shared library of the package is missing
        raise ImportError(
            f"this needs '{module}' ({error}); install it with: pip install \"mgic_geo[{extra}]\""
        ) from error
