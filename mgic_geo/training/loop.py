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
from torch.optim import AdamW
from torch.optim.lr_scheduler import OneCycleLR
from torch.utils.data import DataLoader, TensorDataset
from tqdm import tqdm

from mgic_geo.models import create_model
from mgic_geo.models.weights import WeightsInfo, load_state, save_weights
from mgic_geo.training.config import TrainConfig
from mgic_geo.training.data import Splits, augment, make_splits
from mgic_geo.training.evaluate import evaluate_clouds
from mgic_geo.training.metrics import ConfusionMatrix
from mgic_geo.training.provenance import provenance
from mgic_geo.training.run_folder import RunFolder


@dataclass(frozen=True)
class TrainResult:
    """What a run ends with.

    Args:
        summary: What ``result.json`` says.
        model: The model with the weights of the chosen epoch.
        classes: Class names.
        matrix: Confusion matrix on the test split, else on the validation part, else None.
        run: The run folder.
    """

    summary: dict[str, Any]
    model: nn.Module
    classes: tuple[str, ...]
    matrix: ConfusionMatrix | None
    run: RunFolder


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Parameters for an optimiser: matrices decay, norms and biases do not."""
    parameters = list(model.parameters())
    return [
        {"params": [p for p in parameters if p.dim() > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.dim() <= 1], "weight_decay": 0.0},
    ]


def class_weights(label: Tensor, num_classes: int, balance: float) -> Tensor | None:
    r"""Weights :math:`w_c \propto n_c^{-b}` of the classes in the loss, 1 for the mean shape.

    Args:
        label: Classes of the training shapes, ``[M]``.
        num_classes: Number of classes.
        balance: The power :math:`b`; 0 gives None, 1 gives every class the same share.
    """
    if balance == 0.0:
        return None
    sizes = torch.bincount(label, minlength=num_classes).float()
    weight = sizes.clamp_min(1.0).pow(-balance)
    return weight * (sizes.sum() / (weight * sizes).sum())


def train(config: TrainConfig, splits: Splits | None = None) -> TrainResult:
    """Trains a classifier and keeps the epoch of the best mean class accuracy on validation data.

    AdamW, a one-cycle learning rate, label smoothing and clipped gradients. Runs on whatever
    accelerate finds: a CPU, a GPU, or several processes under ``accelerate launch``. All randomness
    of an epoch follows from the seed, its number and the process, so a resumed run equals an
    uninterrupted one.

    Args:
        config: The run.
        splits: The data, if they are at hand; read from ``config`` otherwise.

    Raises:
        DataError: The data cannot be used.
        CheckpointError: The run folder is taken, or cannot be resumed.
    """
    accelerator = Accelerator(
        mixed_precision=config.mixed_precision,
        dataloader_config=DataLoaderConfiguration(use_seedable_sampler=True, data_seed=config.seed),
    )
    run = RunFolder(config)
    splits = make_splits(config) if splits is None else splits
    trainer = _Trainer(config, splits, accelerator, run)
    trainer.resume()
    if accelerator.is_main_process:
        run.start()
    accelerator.wait_for_everyone()
    while trainer.epoch < config.last_epoch:
        trainer.run_epoch()
    return trainer.finish()


class _Trainer:
    """The moving parts of one run."""

    def __init__(
        self, config: TrainConfig, splits: Splits, accelerator: Accelerator, run: RunFolder
    ) -> None:
        self.config, self.splits, self.accelerator, self.run = config, splits, accelerator, run
        self.info = WeightsInfo(
            config.model, config.model_args(), splits.classes, config.num_points
        )
        torch.manual_seed(config.seed)
        model = create_model(config.model, num_classes=len(splits.classes), **self.info.model_args)
        # foreach: the same bits, with fewer calls for many small parameters. fused would wake the
        # threads for each parameter, which takes longer than updating it.
        groups = parameter_groups(model, config.weight_decay)
        optimizer = AdamW(groups, lr=config.lr, foreach=True)
        size = min(config.batch_size, max(len(splits.train) // accelerator.num_processes, 1))
        loader: DataLoader[Any] = DataLoader(
            TensorDataset(splits.train.pos, splits.train.label),
            batch_size=size,
            shuffle=True,
            drop_last=True,
        )
        self.bare = model
        self.model, self.optimizer, self.loader = accelerator.prepare(
            torch.compile(model) if config.compile else model, optimizer, loader
        )
        self.scheduler = OneCycleLR(
            self.optimizer, config.lr, config.epochs * len(self.loader), pct_start=config.warmup
        )
        weight = class_weights(splits.train.label, len(splits.classes), config.class_balance)
        self.weight = None if weight is None else weight.to(accelerator.device)
        self.epoch = 0
        self.best = -1.0
        self.rows: list[dict[str, float]] = []

    def resume(self) -> None:
        state = self.run.load_state()
        if state is None:
            return
        load_state(self.bare, self.run.path / "last.safetensors")
        self.optimizer.load_state_dict(state["optimizer"])
        self.scheduler.load_state_dict(state["scheduler"])
        self.epoch, self.best, self.rows = state["epoch"], state["best"], state["rows"]

    def run_epoch(self) -> None:
        start = time.perf_counter()
        seed = (self.config.seed * 100_003 + self.epoch) * 1_009 + self.accelerator.process_index
        torch.manual_seed(seed)
        generator = torch.Generator().manual_seed(seed)
        self.loader.set_epoch(self.epoch)
        self.model.train()
        total = torch.zeros(3)
        bar = tqdm(
            self.loader,
            desc=f"epoch {self.epoch + 1}/{self.config.epochs}",
            leave=False,
            disable=not (self.accelerator.is_local_main_process and sys.stderr.isatty()),
        )
        for pos, label in bar:
            loss, right = self._step(augment(pos, self.config.augment, generator), label)
            total += torch.tensor([loss * label.numel(), right, label.numel()])
            bar.set_postfix(loss=f"{loss:.3f}")
        total = self.accelerator.reduce(total.to(self.accelerator.device), "sum").cpu()
        self.epoch += 1
        self._record(total, time.perf_counter() - start)

    def _step(self, pos: Tensor, label: Tensor) -> tuple[float, float]:
        with self.accelerator.autocast():
            logits = self.model(pos)
            loss = nn.functional.cross_entropy(
                logits.float(), label, self.weight, label_smoothing=self.config.label_smoothing
            )
        self.optimizer.zero_grad()
        self.accelerator.backward(loss)
        if self.config.clip_norm > 0.0:
            self.accelerator.clip_grad_norm_(self.model.parameters(), self.config.clip_norm)
        self.optimizer.step()
        self.scheduler.step()
        return loss.item(), float((logits.argmax(dim=1) == label).sum())

    def _record(self, total: Tensor, seconds: float) -> None:
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
                matrix, loss = evaluate_clouds(
                    self.bare, self.splits.val, len(self.splits.classes), self.accelerator.device
                )
                score = matrix.mean_class_accuracy
                row["val_loss"] = round(loss, 6)
                row["val_accuracy"] = round(matrix.accuracy, 6)
                row["val_mean_class_accuracy"] = round(score, 6)
                text += (
                    f"  validation {100 * matrix.accuracy:.2f} %, mean class {100 * score:.2f} %"
                )
            self.rows.append(row)
            self._save(score)
            print(f"{text}  ({seconds:.1f} s)", flush=True)
        self.rows, self.best = broadcast_object_list([self.rows, self.best])

    def _save(self, score: float) -> None:
        save_weights(self.run.path / "last.safetensors", self.bare, self.info)
        if score > self.best:
            self.best = score
            save_weights(self.run.path / "best.safetensors", self.bare, self.info)
        self.run.write_metrics(self.rows)
        self.run.save_state(
            epoch=self.epoch,
            best=self.best,
            rows=self.rows,
            optimizer=self.optimizer.state_dict(),
            scheduler=self.scheduler.state_dict(),
        )

    def finish(self) -> TrainResult:
        load_state(self.bare, self.run.path / "best.safetensors")
        classes = self.splits.classes
        scores = [row.get("val_mean_class_accuracy", row["epoch"]) for row in self.rows]
        chosen = scores.index(max(scores))
        summary: dict[str, Any] = {
            "model": self.config.model,
            "parameters": sum(p.numel() for p in self.bare.parameters()),
            "data": self.config.data,
            "train_shapes": len(self.splits.train),
            "epochs": self.epoch,
            "chosen_epoch": int(self.rows[chosen]["epoch"]),
            "seed": self.config.seed,
            "epoch_seconds": sorted(row["seconds"] for row in self.rows)[len(self.rows) // 2],
            **provenance(),
        }
        matrix = None
        for name, part in (("validation", self.splits.val), ("test", self.splits.test)):
            if part is not None:
                matrix, _ = evaluate_clouds(self.bare, part, len(classes), self.accelerator.device)
                summary[name] = matrix.summary(classes)
        if self.accelerator.is_main_process:
            self.run.write_result(summary)
        return TrainResult(summary, self.bare, classes, matrix, self.run)
