"""Classifies point clouds by a network written out of the package's layers, PyG style.

python scripts/classify_modelnet10.py                         # Furniture-10, made on the spot
python scripts/classify_modelnet10.py --modelnet datasets/modelnet10
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.optim import AdamW
from torch.optim.lr_scheduler import OneCycleLR
from torch_geometric.loader import DataLoader
from torch_geometric.nn import global_max_pool
from torch_geometric.transforms import Compose

from mgic_geo.datasets import CloudDataset, Furniture10, ModelNet10
from mgic_geo.graph import differential_operators, knn_graph
from mgic_geo.nn import MGIC, MLP, BatchNorm, DiffGCNConv
from mgic_geo.transforms import NormalizeSphere, RandomAugment


class Net(torch.nn.Module):
    def __init__(self, num_classes: int, width: int = 64, depth: int = 3, k: int = 10) -> None:
        super().__init__()
        self.k = k
        self.stem = DiffGCNConv(3, width)
        self.convs = torch.nn.ModuleList(
            MGIC(lambda c, g: DiffGCNConv(c, c, groups=g), width, group_size=8, coarsest=16)
            for _ in range(depth)
        )
        self.norms = torch.nn.ModuleList(BatchNorm(width) for _ in range(depth))
        self.head = MLP([width, width, num_classes], plain_last=True)

    def forward(self, pos: Tensor, batch: Tensor) -> Tensor:
        # built once, shared by all layers and all channel grids
        operators = differential_operators(pos, knn_graph(pos, self.k, batch, num_workers=None))
        x = self.stem(pos, operators).relu()
        for conv, norm in zip(self.convs, self.norms):
            x = x + norm(conv(x, operators)).relu()
        return self.head(global_max_pool(x, batch))


def train(
    model: Net, loader: DataLoader, optimizer: AdamW, scheduler: OneCycleLR, device: str
) -> float:
    model.train()
    total = 0.0
    for data in loader:
        data = data.to(device)
        optimizer.zero_grad()
        loss = F.cross_entropy(model(data.pos, data.batch), data.y, label_smoothing=0.1)
        loss.backward()
        optimizer.step()
        scheduler.step()
        total += loss.item()
    return total / len(loader)


@torch.no_grad()
def accuracy(model: Net, loader: DataLoader, device: str) -> float:
    model.eval()
    right = 0
    for data in loader:
        data = data.to(device)
        right += int((model(data.pos, data.batch).argmax(dim=1) == data.y).sum())
    return right / len(loader.dataset)


def main(argv: Sequence[str] | None = None) -> float:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--modelnet", metavar="ROOT", help="folder of ModelNet-10 instead")
    parser.add_argument("--num_points", type=int, default=512)
    parser.add_argument("--shapes", type=int, help="shapes a class of Furniture-10")
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--batch_size", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    args = parser.parse_args(argv)

    torch.manual_seed(args.seed)
    augment = RandomAugment(scale=(0.8, 1.2), rotate_degrees=10.0, flip=0.5, jitter=0.01)

    def dataset(split: str, transform: Compose) -> CloudDataset:
        if args.modelnet:
            return ModelNet10(args.modelnet, split, args.num_points, transform=transform)
        return Furniture10(None, split, args.shapes, args.num_points, transform=transform)

    training = dataset("train", Compose([NormalizeSphere(), augment]))
    loader = DataLoader(training, args.batch_size, shuffle=True, drop_last=True)
    test_loader = DataLoader(dataset("test", Compose([NormalizeSphere()])), args.batch_size)

    model = Net(training.num_classes, args.width).to(args.device)
    optimizer = AdamW(model.parameters(), lr=4e-3, weight_decay=0.05)
    steps = args.epochs * len(loader)
    scheduler = OneCycleLR(optimizer, max_lr=4e-3, total_steps=steps)
    for epoch in range(1, args.epochs + 1):
        loss = train(model, loader, optimizer, scheduler, args.device)
        print(f"epoch {epoch:2d}  loss {loss:.4f}", flush=True)
    result = accuracy(model, test_loader, args.device)
    print(f"test accuracy {100 * result:.2f} % ({len(test_loader.dataset)} shapes)")
    return result


if __name__ == "__main__":
    main()
