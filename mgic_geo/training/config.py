"""Everything that determines a training run."""

from __future__ import annotations

import dataclasses
import math
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from mgic_geo.datasets._novel import FOLDS
from mgic_geo.errors import CheckpointError, MgicGeoError
from mgic_geo.io import atomic_write, parse_features
from mgic_geo.io.features import feature_width
from mgic_geo.models import model_task, read_weights_info
from mgic_geo.models._parts import follow_points
from mgic_geo.models.registry import CLOUD_DATA, POINT_TASKS
from mgic_geo.models.weights import weights_path
from mgic_geo.training.image_config import ImageConfig

# Options of a point model; models of another task get all of theirs by `model_options`.
_POINT_OPTIONS = (
    "width",
    "group_size",
    "coarsest",
    "k",
    "residual",
    "dropout",
    "correction_scale",
)
_FREE_OPTIONS = ("residual", "dropout", "correction_scale")  # weights fit whatever they are
_SHARES = (
    "flip", "cut_mix", "rigid_mix", "deform", "view", "density", "clusters", "outliers",
    "spoilt", "center",
)  # fmt: skip
_CHOICES = {
    "mixed_precision": ("no", "bf16", "fp16"),
    "optimizer": ("adamw", "sgd"),
    "schedule": ("onecycle", "cosine", "step"),
    "memory_format": ("contiguous", "channels_last"),
}


@dataclass
class AugmentConfig:
    """Random changes of a training cloud; 0 switches one off.

    Args:
        scale: Largest relative change of the size along each axis; 0.1 draws factors in [0.9, 1.1].
        shift: Largest shift along each axis, in radii of the cloud.
        rotate_degrees: Largest rotation about the up axis.
        flip: Probability of mirroring each horizontal axis.
        jitter: Standard deviation of the noise on coordinates, in radii of the cloud.
        drop: Largest share of the points that is left out, drawn anew for each batch.
        drop_min: Smallest share of the points that is left out. It makes every step cheap, on other
            points each time, but whole clouds are then denser than those of the training: trained
            on 256 to 512 points, one seed reached 89.1 % on 1,024 points and 93.3 % on 384.
        cut_mix: Probability that a batch is mixed by
            :func:`~mgic_geo.transforms.cut_mix_clouds`, clouds and labels.
        rigid_mix: The same, with ``rigid``: parts of one shape moved to another.
        tilt_degrees: Largest rotation about a random horizontal axis.
        deform: Probability that a batch is bent by :func:`~mgic_geo.transforms.deform_clouds`.
        view: Probability that a cloud is seen from one side, see
            :func:`~mgic_geo.transforms.spoil_clouds`, as for the next five.
        density: Probability that it thins with the distance to a viewer.
        holes: Largest share of its points that is cut out.
        clusters: Largest share of points in blobs that are not its own.
        outliers: Largest share of stray points.
        noise: Largest standard deviation of the noise, drawn anew for each cloud, in radii.
        spoilt: Probability of holes, of clusters, of outliers and of noise in a cloud.
        center: Probability that a batch is then centred and scaled anew, as a scan is that comes
            spoilt.

    Raises:
        MgicGeoError: A number is out of range.

    Example:
        >>> from mgic_geo.training import AugmentConfig, TrainConfig
        >>> config = TrainConfig(augment=AugmentConfig(rotate_degrees=180.0, cut_mix=0.5))
        >>> AugmentConfig(flip=1.5)
        Traceback (most recent call last):
        mgic_geo.errors.MgicGeoError: augment.flip = 1.5: it must be in [0, 1.0]
    """

    scale: float = 0.1
    shift: float = 0.0
    rotate_degrees: float = 10.0
    flip: float = 0.5
    jitter: float = 0.01
    drop: float = 0.2
    drop_min: float = 0.0
    cut_mix: float = 0.0
    rigid_mix: float = 0.0
    tilt_degrees: float = 0.0
    deform: float = 0.0
    view: float = 0.0
    density: float = 0.0
    holes: float = 0.0
    clusters: float = 0.0
    outliers: float = 0.0
    noise: float = 0.0
    spoilt: float = 0.35
    center: float = 0.0

    def __post_init__(self) -> None:
        tops = {"scale": 0.99, "drop": 0.99, "drop_min": self.drop, "holes": 0.99}
        tops |= dict.fromkeys(_SHARES, 1.0)
        for name, value in vars(self).items():
            if not 0.0 <= value <= tops.get(name, math.inf):
                raise MgicGeoError(
                    f"augment.{name} = {value}: it must be in [0, {tops.get(name, 'infinity')}]"
                )


@dataclass
class TrainConfig:
    """One training run; also a YAML file and the options of ``mgic-geo train``.

    Args:
        data: ``furniture10`` (made on the spot), ``modelnet10``, or the path of an npz file or of a
            folder of shapes; ``furniture10-parts`` (made on the spot), ``shapenet-part``, ``s3dis``
            or an npz file with ``point_label``; ``cifar10`` or another set of images by name, or a
            folder or zip of images. It decides what is trained: a classifier of clouds, of their
            points, of images or of pixels.
        source: Where a data set that has a name lies, if not in ``root``.
        root: Folder for downloads and processed clouds.
        num_points: Points a cloud.
        features: What the points have beside coordinates and the network is to see, with commas
            between: ``normals``, ``colors``, ``intensity``. Point models only.
        val_fraction: Share of each class, the last by name, that chooses the epoch; 0 trains on all
            and keeps the last epoch. Of images with masks it is the last of all by name; a data set
            with a split ``val`` of its own uses that.
        fold: Of clouds: train on four of five blocks of names and choose the epoch by the shapes of
            this one, 0 to 4, that have no near copy among them, a harder judge than the last by
            name; see :func:`~mgic_geo.datasets.novel_split`. ``val_fraction`` is nothing then.
        val_data: Path of another data set, which chooses the epoch instead; for a data set that has
            a name, the place where more of it lies.
        model: Name in the registry, see ``mgic-geo models``.
        width: Channels of all layers.
        group_size: Group size of the channel hierarchy.
        coarsest: Largest width of its coarsest grid.
        k: Neighbours a node in the graph.
        residual: Skip connections around the graph blocks.
        dropout: Dropout in the head.
        correction_scale: Initial scale of the norms after prolongation.
        model_options: Further options of the model; all of them for one that is no point model,
            which takes none of the seven above. The parts of ``fusion_classifier`` take theirs in
            ``point_options`` and ``image_options``, as ``--model_options.point_options.k 16``.
        weights: Weights to start from: shipped weights by name, a file or a run folder. They decide
            the model and its options; ``model_options`` overrides single ones. The last layer is
            made anew unless the classes are the same.
        freeze: Train the last layer alone; norms keep their statistics, too.
        body_lr: Learning rate of all but the last layer, as a share of ``lr``.
        per_class: Train on this many examples of each class, the first by name; by default on all.
        epochs: Length of the learning-rate schedule in epochs.
        stop_after: End the run after this many epochs of the schedule.
        steps_per_epoch: Steps an epoch, on as many random examples; by default all of them.
        batch_size: Clouds or images a step and process.
        optimizer: ``adamw``, or ``sgd`` with Nesterov momentum 0.9.
        schedule: ``onecycle``, ``cosine`` (to 0) or ``step`` (a tenth after 30, 60 and 90 %).
        lr: Peak learning rate.
        warmup: Share of the schedule in which the learning rate rises.
        weight_decay: Weight decay; norms and biases have none.
        label_smoothing: Label smoothing of the cross-entropy.
        class_balance: Power of the class size in the loss: a shape of a class of ``n`` shapes
            weighs ``n ** -class_balance``. 0 counts every shape alike, 1 every class.
        clip_norm: Largest Euclidean norm of the gradient; 0 for no limit.
        ema: Decay per step of an exponential moving average of the weights and of the statistics of
            norms. The average is evaluated and kept as ``best``. 0 for none.
        augment: Random changes of the training clouds.
        image: Sizes, normalisation and random changes of images.
        workers: Processes that decode images; by default one a core, at most 8.
        memory_format: ``contiguous`` or ``channels_last``, of images.
        seed: Seed of weights, order and augmentation.
        mixed_precision: ``no``, ``bf16`` or ``fp16``.
        compile: Compile the model.
        out: Run folder; ``runs/<data>-<model>`` if not given.
        resume: Go on with the run in that folder.

    Raises:
        MgicGeoError: A number is out of range, a choice is another, or options contradict the given
            weights.
        CheckpointError: The given weights are missing or damaged.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from mgic_geo.training import TrainConfig
        >>> config = TrainConfig(data="modelnet10", model="mgic_diffgcn", width=128, epochs=60)
        >>> config.folder.as_posix(), config.model_args()["width"]
        ('runs/modelnet10-mgic_diffgcn', 128)
        >>> with TemporaryDirectory() as folder:  # what ``mgic-geo train FILE`` reads
        ...     config.save(f"{folder}/config.yaml")
        ...     again = TrainConfig.load(f"{folder}/config.yaml", seed=1)
        >>> again.width, again.seed
        (128, 1)
    """

    data: str = "furniture10"
    source: str | None = None
    root: str = "datasets"
    num_points: int = 1024
    features: str = ""
    val_fraction: float = 0.125
    fold: int | None = None
    val_data: str | None = None
    model: str = "mgic_diffgcn"
    width: int = 64
    group_size: int = 8
    coarsest: int = 16
    k: int = 10
    residual: bool = True
    dropout: float = 0.0
    correction_scale: float = 0.0
    model_options: dict[str, Any] = field(default_factory=dict)
    weights: str | None = None
    freeze: bool = False
    body_lr: float = 1.0
    per_class: int | None = None
    epochs: int = 15
    stop_after: int | None = None
    steps_per_epoch: int | None = None
    batch_size: int = 16
    optimizer: str = "adamw"
    schedule: str = "onecycle"
    lr: float = 3e-3
    warmup: float = 0.3
    weight_decay: float = 0.05
    label_smoothing: float = 0.1
    class_balance: float = 0.0
    clip_norm: float = 1.0
    ema: float = 0.0
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    image: ImageConfig = field(default_factory=ImageConfig)
    workers: int | None = None
    memory_format: str = "contiguous"
    seed: int = 0
    mixed_precision: str = "no"
    compile: bool = False
    out: str | None = None
    resume: bool = False

    def __post_init__(self) -> None:
        for name in ("num_points", "epochs", "batch_size", "steps_per_epoch", "per_class"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise MgicGeoError(f"{name} = {value}: it must be at least 1")
        if self.fold is not None and not 0 <= self.fold < FOLDS:
            raise MgicGeoError(f"fold = {self.fold}: it must be in [0, {FOLDS - 1}]")
        if self.workers is not None and self.workers < 0:
            raise MgicGeoError(f"workers = {self.workers}: it must not be negative")
        for name, top in (
            ("val_fraction", 0.9),
            ("warmup", 1.0),
            ("dropout", 0.99),
            ("class_balance", 1.0),
            ("ema", 0.99999),
            ("body_lr", 1.0),
        ):
            if not 0.0 <= getattr(self, name) <= top:
                raise MgicGeoError(f"{name} = {getattr(self, name)}: it must be in [0, {top}]")
        self.features = ",".join(self.feature_names)
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                *others, last = choices
                text = f"{', '.join(others)} or {last}"
                raise MgicGeoError(f"{name} = {getattr(self, name)!r}: use {text}")
        if self.weights is not None:
            self._take_model(self.weights)
        elif self.freeze:
            raise MgicGeoError(
                "freeze trains the last layer of given weights: name some by weights"
            )

    def _take_model(self, weights: str) -> None:
        """The model and its options are those of the weights."""
        try:
            info = read_weights_info(weights_path(weights))
        except CheckpointError:
            if self.resume:  # all of them were written down when the run began
                return
            raise
        default = {f.name: f.default for f in dataclasses.fields(self)}
        args = dict(info.model_args)
        args.pop("in_channels", None)  # follows from the features
        own = [name for name in _POINT_OPTIONS if info.task in POINT_TASKS and name in args]
        taken = {"model": info.model, "features": ",".join(info.features)}
        for name, value in {**taken, **{name: args.pop(name) for name in own}}.items():
            mine = getattr(self, name)
            if mine == default[name]:
                setattr(self, name, value)
            elif mine != value and name not in _FREE_OPTIONS:
                raise MgicGeoError(f"{name} = {mine!r}: the weights {weights} have {value!r}")
        self.model_options = {**args, **self.model_options}
        if info.data not in CLOUD_DATA and self.image.mean is None and self.image.std is None:
            colours = {"mean": info.mean, "std": info.std}
            self.image = dataclasses.replace(self.image, **colours)  # type: ignore[arg-type]

    @property
    def folder(self) -> Path:
        """The run folder."""
        return Path(self.out or f"runs/{Path(self.data).stem}-{self.model}")

    @property
    def feature_names(self) -> tuple[str, ...]:
        """What the points have beside coordinates, in the order of their columns."""
        return parse_features(self.features)

    @property
    def last_epoch(self) -> int:
        """Number of epochs that this run does."""
        return min(self.stop_after or self.epochs, self.epochs)

    def model_args(self) -> dict[str, Any]:
        """Options for :func:`~mgic_geo.models.create_model`, the number of classes aside.

        Raises:
            MgicGeoError: An option of point models is set for one of another task.
        """
        own = {name: getattr(self, name) for name in _POINT_OPTIONS}
        if self.features and model_task(self.model) not in POINT_TASKS:
            raise MgicGeoError(
                f"features = {self.features}: {self.model} is no point model, it takes none"
            )
        if self.features:
            own["in_channels"] = feature_width(self.feature_names)
        if model_task(self.model) in POINT_TASKS:
            return follow_points({**own, **self.model_options}, self.num_points)
        for name, value in own.items():
            if value != getattr(type(self), name):
                raise MgicGeoError(
                    f"{name} = {value}: {self.model} is no point model; if it has such an option, "
                    f"set it by --model_options.{name} {value}"
                )
        return follow_points(self.model_options, self.num_points)

    @classmethod
    def load(cls, path: str | os.PathLike[str], **changes: Any) -> TrainConfig:
        """Reads such a YAML file; what it does not set has its default.

        Args:
            path: The file.
            **changes: Options that are set instead of the file's.

        Raises:
            MgicGeoError: It is unreadable, or sets something that is no option.
        """
        try:
            values = yaml.safe_load(Path(path).read_text("utf-8")) or {}
            nested = {"augment": AugmentConfig, "image": ImageConfig}
            for name, kind in nested.items():
                if isinstance(values.get(name), dict):  # YAML has no tuples
                    pairs = values[name].items()
                    values[name] = kind(
                        **{k: tuple(v) if isinstance(v, list) else v for k, v in pairs}
                    )
            return cls(**{**values, **changes})
        except (OSError, TypeError, ValueError, yaml.YAMLError) as error:
            raise MgicGeoError(f"{path}: no config of a training run ({error})") from error

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the YAML file that ``mgic-geo train FILE`` takes."""
        with atomic_write(path, "w") as file:
            yaml.safe_dump(dataclasses.asdict(self), file, sort_keys=False)
