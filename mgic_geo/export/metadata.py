"""What an exported file says of itself; needs neither torch nor an engine."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from typing import Any

from mgic_geo.errors import CheckpointError

KEY = "mgic_geo"
"""The name of the entry that holds the description, in the metadata of each format."""
_FORMAT = "mgic_geo-export-1"
_DATA = {
    "points": "clouds",
    "point_segmentation": "point_labels",
    "fusion": "clouds",
    "images": "images",
    "segmentation": "masks",
}


@dataclass(frozen=True)
class ExportInfo:
    """Description of an exported model: stored inside the file and as JSON beside it.

    Args:
        model: Name in the registry, or of the class.
        task: As in :func:`~mgic_geo.models.model_task`.
        classes: Names of the classes, in the order of the logits.
        shape: Shape of the input; None for an axis of any size.
        output: Shape of the logits; None for an axis of any size.
        input: Name of the input, ``"pos"`` or ``"image"``.
        num_points: Points of a cloud as trained; 0 for images.
        min_points: Points that a cloud must have; 0 for images.
        image_size: As in :class:`~mgic_geo.models.WeightsInfo`.
        mean: Subtracted from colours in [0, 1].
        std: What colours are then divided by.
        quantized: ``"int8"``, or None for float32.
        version: Of the package that wrote it.

    Example:
        >>> from mgic_geo.export import ExportInfo
        >>> classes, shape = ("chair", "sofa"), (None, None, 3)  # any number of clouds and points
        >>> info = ExportInfo("mgic_diffgcn", "points", classes, shape, output=(None, 2))
        >>> ExportInfo.from_json(info.to_json(), path="model.onnx.json") == info
        True
        >>> info.preprocessing[1:]
        ['subtract their mean', 'divide by the largest distance from the origin']
    """

    model: str
    task: str
    classes: tuple[str, ...]
    shape: tuple[int | None, ...]
    output: tuple[int | None, ...]
    input: str = "pos"
    num_points: int = 0
    min_points: int = 0
    image_size: int | None = None
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)
    quantized: str | None = None
    version: str = ""

    @property
    def data(self) -> str:
        """What the model takes, as :func:`~mgic_geo.models.model_data` says it."""
        return _DATA[self.task]

    @property
    def preprocessing(self) -> list[str]:
        """What is done to a cloud or image ahead of the model, in words, in order."""
        if self.input == "pos":
            return [
                f"take {self.num_points or 'all'} points, in random order, z up",
                "subtract their mean",
                "divide by the largest distance from the origin",
            ]
        steps = [f"subtract {list(self.mean)}, divide by {list(self.std)}, channel by channel"]
        if self.image_size is not None:
            what = "shorter side to {0}" if self.data == "masks" else "to cover {0} x {0}, cut out"
            steps.insert(0, f"resize {what.format(self.image_size)}")
        return ["RGB in [0, 1], channels first", *steps]

    def to_json(self) -> str:
        """The description as JSON."""
        fixed = {"format": _FORMAT, **asdict(self), "preprocessing": self.preprocessing}
        return json.dumps(fixed, indent=2)

    @classmethod
    def from_json(cls, text: str | None, path: Any) -> ExportInfo:
        """Reads what :meth:`to_json` wrote.

        Args:
            text: The JSON, None where a file has no such entry.
            path: The file that it belongs to, for the message.

        Raises:
            CheckpointError: It is missing or damaged.
        """
        if text is None:
            raise CheckpointError(
                f"{path}: not exported by this package (no entry {KEY!r} in its metadata); "
                "make it with: mgic-geo export"
            )
        try:
            values: dict[str, Any] = json.loads(text)
            if values["format"] != _FORMAT or values["task"] not in _DATA:
                raise ValueError(f"format {values['format']!r}, task {values['task']!r}")
            known = {field.name: values[field.name] for field in fields(cls)}
            for name, value in known.items():
                known[name] = tuple(value) if isinstance(value, list) else value
            return cls(**known)
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"{path}: its description is damaged ({error!r})") from error
