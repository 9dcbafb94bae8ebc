"""The training loop."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import DataLoaderConfiguration, broadcast_object_list
from torch import Tensor, nn
from tqdm import tqdm

from mgic_geo.errors import CheckpointError
from mgic_geo.kernels.dispatch import compile_seconds
from mgic_geo.models import create_model
from mgic_geo.models.weights import load_matching, load_state, save_weights
from mgic_geo.training._provenance import provenance
from mgic_geo.training.config import TrainConfig
from mgic_geo.training.data import Splits, make_splits
from mgic_geo.training.metrics import ConfusionMatrix
from mgic_geo.training.optim import (
    freeze_body,
    make_average,
    make_optimizer,
    make_schedule,
    split_parameters,
)
from mgic_geo.training.run_folder import RunFolder
from mgic_geo.training.scores import Scores
from mgic_geo.training.tasks import Task, make_task


@dataclass(frozen=True)
class TrainResult:
    """What a run ends with.

    Args:
        summary: What ``result.json`` says.
        model: The model with the weights of the chosen epoch.
        classes: Class names.
        scores: Figures on the test split, else on the validation part, else None.
        run: The run folder.
        task: What was trained.

    Example:
        See :func:`train`, which returns it.

        >>> import torch
        >>> from tempfile import TemporaryDirectory
        >>> from mgic_geo.training import Clouds, Splits, TrainConfig, train
        >>> clouds = Clouds(torch.rand(4, 16, 3) - 0.5, torch.tensor([0, 1, 0, 1]))
        >>> splits = Splits(clouds, clouds, None, classes=("chair", "sofa"))
        >>> with TemporaryDirectory() as folder:  # doctest: +ELLIPSIS
        ...     config = TrainConfig(width=16, k=4, epochs=1, batch_size=4, out=f"{folder}/run")
        ...     result = train(config, splits)
        epoch   1  loss ...
        >>> result.classes, result.matrix.matrix.shape, type(result.model).__name__
        (('chair', 'sofa'), torch.Size([2, 2]), 'PointClassifier')
    """

    summary: dict[str, Any]
    model: nn.Module
    classes: tuple[str, ...]
    scores: Scores | None
    run: RunFolder
    task: Task

    @property
    def matrix(self) -> ConfusionMatrix | None:
        """The confusion matrix of :attr:`scores`."""
        return None if self.scores is None else self.scores.matrix


def train(config: TrainConfig, splits: Splits[Any] | None = None) -> TrainResult:
    """Trains a classifier of clouds, images or pixels and keeps the best epoch on validation data.

    The best by mean class accuracy, by accuracy, or by mean intersection over union. Runs on what
    accelerate finds: a CPU, a GPU, or several processes under ``accelerate launch``. All randomness
    of an epoch follows from the seed, its number and the process, so a resumed run equals an
    uninterrupted one.

    Args:
        config: The run.
        splits: The data, if they are at hand; read from ``config`` otherwise.

    Returns:
        The model with the weights of the best epoch, its figures, and the run folder.

    Raises:
        MgicGeoError: The model is for other data, or needs larger clouds.
        DataError: The data cannot be used.
        CheckpointError: The run folder is taken, or cannot be resumed.

    Example:
        >>> import torch
        >>> from tempfile import TemporaryDirectory
        >>> from mgic_geo.training import Clouds, Splits, TrainConfig, train
        >>> clouds = Clouds(torch.rand(4, 16, 3) - 0.5, torch.tensor([0, 1, 0, 1]))
        >>> splits = Splits(clouds, clouds, None, classes=("chair", "sofa"))
        >>> with TemporaryDirectory() as folder:  # doctest: +ELLIPSIS
        ...     config = TrainConfig(width=16, k=4, epochs=1, batch_size=4, out=f"{folder}/run")
        ...     result = train(config, splits)
        ...     print(*sorted(file.name for file in result.run.path.iterdir()))
        epoch   1  loss ...
        best.safetensors config.yaml last.safetensors metrics.csv result.json state.pt
    """
    accelerator = Accelerator(
        mixed_precision=config.mixed_precision,
        dataloader_config=DataLoaderConfiguration(use_seedable_sampler=True, data_seed=config.seed),
    )
    run = RunFolder(config)
    splits = make_splits(config) if splits is None else splits
    trainer = _Trainer(config, make_task(config, splits, accelerator.device), accelerator, run)
    trainer.resume()
    if accelerator.is_main_process:
        run.start()
        trainer.write_files()
    accelerator.wait_for_everyone()
    while trainer.epoch < config.last_epoch:
        trainer.run_epoch()
    return trainer.finish()


class _Trainer:
    """The moving parts of one run."""

    def __init__(
        self, config: TrainConfig, task: Task, accelerator: Accelerator, run: RunFolder
    ) -> None:
        self.config, self.task, self.accelerator, self.run = config, task, accelerator, run
        self.splits = task.splits
        torch.manual_seed(config.seed)
        model = create_model(
            config.model, num_classes=len(self.splits.classes), **task.info.model_args
        )
        task.check(model)
        if config.weights is not None and not run.state_path.exists():
            self._start_from(model, config.weights)
        self.channels_last = config.memory_format == "channels_last"
        if self.channels_last:
            model.to(memory_format=torch.channels_last)
        self.bare = model
        if config.freeze:
            freeze_body(model)
        self.model, self.optimizer, self.loader = accelerator.prepare(
            torch.compile(model) if config.compile else model,
            make_optimizer(model, config),
            task.loader(accelerator.num_processes),
        )
        self.average = make_average(model, config)
        steps = config.epochs * len(self.loader)
        self.scheduler = make_schedule(self.optimizer, config, steps)
        self.epoch = 0
        self.best = -1.0
        self.best_epoch = 0
        self.rows: list[dict[str, float]] = []

    def _start_from(self, model: nn.Module, weights: str) -> None:
        report = load_matching(model, weights, self.splits.classes)
        made = [name for name in model.state_dict() if name not in report.loaded]
        if self.config.freeze:
            body = {id(p) for p in split_parameters(model)[1]}
            for name, parameter in model.named_parameters():
                if name in made and id(parameter) in body:
                    raise CheckpointError(
                        f"{weights}: nothing there fits {name}, which freeze would leave untrained"
                    )
        if self.accelerator.is_main_process:
            text = f"{', '.join(made[:4])}{', ...' if len(made) > 4 else ''}" if made else "none"
            print(f"{weights}: {len(report.loaded)} tensors taken, made anew: {text}", flush=True)

    def resume(self) -> None:
        state = self.run.load_state()
        if state is None:
            return
        try:
            self.bare.load_state_dict(state["model"])
        except RuntimeError:
            raise CheckpointError(
                f"{self.run.state_path}: weights of another model; was {self.config.model} changed "
                "since the run began?"
            ) from None
        self.optimizer.load_state_dict(state["optimizer"])
        self.scheduler.load_state_dict(state["scheduler"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        self.epoch, self.best, self.rows = state["epoch"], state["best"], state["rows"]
        self.best_epoch = state["best_epoch"]

    @property
    def judged(self) -> nn.Module:
        """What is evaluated and kept: the average of the weights if there is one."""
        return self.bare if self.average is None else self.average.module

    def run_epoch(self) -> None:
        start, compiling = time.perf_counter(), compile_seconds()
        seed = (self.config.seed * 100_003 + self.epoch) * 1_009 + self.accelerator.process_index
        torch.manual_seed(seed)
        generator = torch.Generator().manual_seed(seed)
        self.loader.set_epoch(self.epoch)
        self.task.set_epoch(self.epoch)
        self.model.train()
        if self.config.freeze:
            freeze_body(self.bare)
        tallies = []
        bar = tqdm(
            self.loader,
            desc=f"epoch {self.epoch + 1}/{self.config.epochs}",
            leave=False,
            disable=not (self.accelerator.is_local_main_process and sys.stderr.isatty()),
        )
        for batch in bar:
            tallies.append(self._step(*self.task.batch(batch, generator)))
            if not bar.disable:
                bar.set_postfix(loss=f"{tallies[-1][0] / tallies[-1][2].clamp_min(1):.3f}")
        # only here does a GPU have to be waited for
        total = torch.stack(tallies).cpu().double().sum(dim=0).float()
        total = self.accelerator.reduce(total.to(self.accelerator.device), "sum").cpu()
        self.epoch += 1
        compiling = compile_seconds() - compiling
        self._record(total, time.perf_counter() - start - compiling, compiling)

    def _step(self, inputs: Tensor, target: Tensor) -> Tensor:
        """One update; the summed loss, the number of right predictions, and of how many."""
        if self.channels_last and inputs.dim() == 4:
            inputs = inputs.contiguous(memory_format=torch.channels_last)
        with self.accelerator.autocast():
            outputs = self.model(inputs)
            loss = self.task.loss(outputs, target)
        self.optimizer.zero_grad()
        self.accelerator.backward(loss)
        if self.config.clip_norm > 0.0:
            self.accelerator.clip_grad_norm_(self.model.parameters(), self.config.clip_norm)
        self.optimizer.step()
        self.scheduler.step()
        if self.average is not None:
            self.average.update_parameters(self.bare)
        right, count = self.task.tally(outputs, target)
        return torch.stack([loss.detach() * count, right, torch.as_tensor(count).to(right)])

    def _record(self, total: Tensor, seconds: float, compiling: float) -> None:
        """Evaluates, and writes weights, metrics and state, on the main process alone."""
        if self.accelerator.is_main_process:
            row = {
                "epoch": self.epoch,
                "train_loss": round(float(total[0] / total[2]), 6),
                "train_accuracy": round(float(total[1] / total[2]), 6),
                "lr": float(self.scheduler.get_last_lr()[0]),
                "seconds": round(seconds, 2),
            }
            text = f"epoch {self.epoch:3d}  loss {row['train_loss']:.4f}"
            text += f"  train {100 * row['train_accuracy']:.2f} %"
            score = float(self.epoch)  # without a validation part the last epoch is the chosen one
            if self.splits.val is not None:
                scores = self.task.evaluate(self.judged, self.splits.val)
                score = scores.score
                row |= scores.row()
                text += f"  validation {scores.describe(scores.figures, short=True)}"
            self.rows.append(row)
            self._save(score)
            more = f", and {compiling:.1f} s of compiling" if compiling >= 1.0 else ""
            print(f"{text}  ({seconds:.1f} s{more})", flush=True)
        self.rows, self.best = broadcast_object_list([self.rows, self.best])

    def _save(self, score: float) -> None:
        if score > self.best:
            self.best, self.best_epoch = score, self.epoch
        self.run.save_state(
            epoch=self.epoch,
            best=self.best,
            best_epoch=self.best_epoch,
            rows=self.rows,
            model=self.bare.state_dict(),
            optimizer=self.optimizer.state_dict(),
            scheduler=self.scheduler.state_dict(),
            average=None if self.average is None else self.average.state_dict(),
        )
        self.write_files()

    def write_files(self) -> None:
        """Writes what follows from the state: weights and metrics of the epoch that it is of."""
        if not self.epoch:
            return
        info = self.task.info
        save_weights(self.run.path / "last.safetensors", self.bare, info)
        if self.best_epoch == self.epoch:
            save_weights(self.run.path / "best.safetensors", self.judged, info)
        columns = ["epoch", "train_loss", "train_accuracy", *self.task.scores.columns()]
        self.run.write_metrics(self.rows, [*columns, "lr", "seconds"])

    def finish(self) -> TrainResult:
        load_state(self.bare, self.run.path / "best.safetensors")
        classes = self.splits.classes
        chooses = f"val_{self.task.scores.chooses}"
        choices = [row.get(chooses, row["epoch"]) for row in self.rows]
        chosen = choices.index(max(choices))
        summary: dict[str, Any] = {
            "model": self.config.model,
            "parameters": sum(p.numel() for p in self.bare.parameters()),
            "data": self.config.data,
            f"train_{self.task.unit}": len(self.splits.train),
            "epochs": self.epoch,
            "chosen_epoch": int(self.rows[chosen]["epoch"]),
            "seed": self.config.seed,
            "epoch_seconds": sorted(row["seconds"] for row in self.rows)[len(self.rows) // 2],
            **provenance(),
        }
        scores = None
        for name, part in (("validation", self.splits.val), ("test", self.splits.test)):
            if part is not None:
                scores = self.task.evaluate(self.bare, part)
                summary[name] = scores.summary(classes)
        if self.accelerator.is_main_process:
            self.run.write_result(summary)
        return TrainResult(summary, self.bare, classes, scores, self.run, self.task)
