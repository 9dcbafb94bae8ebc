"""Networks of pytorchcv, transformers and PyG, small, with random weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn

from mgic_geo._optional import require

Build = Callable[[], tuple[nn.Module, Any]]
"""Makes a network and an example that it takes, see :func:`mgic_geo.compress`."""


@dataclass(frozen=True)
class Network:
    """One of the zoo.

    Args:
        package: Where it is from.
        name: Its name there.
        build: Makes it.
    """

    package: str
    name: str
    build: Build


def networks() -> list[Network]:
    """All of them; nothing is built, nor imported."""
    found = [Network("pytorchcv", name, _image(name, *row)) for name, row in _IMAGES.items()]
    found += [
        Network("transformers", name, _transformer(*row)) for name, row in _TRANSFORMERS.items()
    ]
    return found + [Network("torch_geometric", name, build) for name, build in _GRAPHS.items()]


# Module and side of the images that each can do with. pytorchcv's list of all would import
# torchvision.
_IMAGES = {
    "resnet10": ("resnet", 224),
    "resnet20_cifar10": ("resnet_cifar", 32),
    "preresnet10": ("preresnet", 224),
    "preresnet20_cifar10": ("preresnet_cifar", 32),
    "densenet40_k12_cifar10": ("densenet_cifar", 32),
    "vgg11": ("vgg", 224),
    "bn_vgg11": ("vgg", 224),
    "seresnet10": ("seresnet", 224),
    "sepreresnet10": ("sepreresnet", 224),
    "mobilenet_wd4": ("mobilenet", 224),
    "mobilenetv2_wd4": ("mobilenetv2", 224),
    "mobilenetv3_small_w7d20": ("mobilenetv3", 224),
    "efficientnet_b0": ("efficientnet", 224),
    "shufflenet_g1_wd4": ("shufflenet", 224),
    "shufflenetv2_wd2": ("shufflenetv2", 224),
    "resnext14_16x4d": ("resnext", 224),
    "seresnext50_32x4d": ("seresnext", 224),
    "squeezenet_v1_1": ("squeezenet", 224),
    "ghostnet": ("ghostnet", 224),
    "igcv3_wd4": ("igcv3", 224),
    "mnasnet_small": ("mnasnet", 224),
    "bisenet_resnet18_celebamaskhq": ("bisenet", 64),
    "simplepose_resnet18_coco": ("simplepose_coco", 64),
    "simplepose_mobile_mobilenetv3_small_w1_coco": ("simpleposemobile_coco", 64),
}


def _image(name: str, module: str, size: int) -> Build:
    def build() -> tuple[nn.Module, Any]:
        make = getattr(require(f"pytorchcv.models.{module}", "zoo"), name)
        sides = {} if size == 224 else {"in_size": (size, size)}
        network: nn.Module = make(pretrained=False, **sides)
        return network, torch.randn(1 if size == 224 else 2, 3, size, size)

    return build


def _text() -> dict[str, Tensor]:
    return {"input_ids": torch.randint(5, 90, (2, 12))}


def _picture() -> dict[str, Tensor]:
    return {"pixel_values": torch.randn(2, 3, 64, 64)}


def _speech() -> dict[str, Tensor]:
    return {"input_values": torch.randn(2, 3200)}


def _both() -> dict[str, Tensor]:
    return {**_text(), "decoder_input_ids": torch.randint(5, 90, (2, 7))}


def _whisper() -> dict[str, Tensor]:
    return {
        "input_features": torch.randn(1, 16, 64),
        "decoder_input_ids": torch.randint(5, 90, (1, 7)),
    }


_WORDS: dict[str, Any] = {
    "vocab_size": 100, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
    "intermediate_size": 128, "max_position_embeddings": 32,
}  # fmt: skip
_PATCHES: dict[str, Any] = {
    "image_size": 64, "patch_size": 16, "hidden_size": 64, "num_hidden_layers": 2,
    "num_attention_heads": 4, "intermediate_size": 128,
}  # fmt: skip
# Class of the network, of its configuration, options, example.
_TRANSFORMERS: dict[str, tuple[str, str, dict[str, Any], Callable[[], dict[str, Tensor]]]] = {
    "BERT": ("BertModel", "BertConfig", _WORDS, _text),
    "ELECTRA": ("ElectraModel", "ElectraConfig", {**_WORDS, "embedding_size": 64}, _text),
    "ALBERT": ("AlbertModel", "AlbertConfig", {**_WORDS, "embedding_size": 64}, _text),
    "RoBERTa": ("RobertaModel", "RobertaConfig", _WORDS, _text),
    "DistilBERT": (
        "DistilBertModel",
        "DistilBertConfig",
        {"vocab_size": 100, "dim": 64, "n_layers": 2, "n_heads": 4, "hidden_dim": 128},
        _text,
    ),
    "GPT-2": (
        "GPT2Model",
        "GPT2Config",
        {"vocab_size": 100, "n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": 32},
        _text,
    ),
    "Llama": (
        "LlamaModel",
        "LlamaConfig",
        {**_WORDS, "num_key_value_heads": 2},
        _text,
    ),
    "OPT": (
        "OPTModel",
        "OPTConfig",
        {
            "vocab_size": 100, "hidden_size": 64, "num_hidden_layers": 2, "ffn_dim": 128,
            "num_attention_heads": 4, "max_position_embeddings": 32, "word_embed_proj_dim": 64,
        },
        _text,
    ),
    "T5": (
        "T5Model",
        "T5Config",
        {"vocab_size": 100, "d_model": 64, "d_kv": 16, "d_ff": 128, "num_layers": 2,
         "num_heads": 4},
        _both,
    ),
    "BART": (
        "BartModel",
        "BartConfig",
        {
            "vocab_size": 100, "d_model": 64, "encoder_layers": 2, "decoder_layers": 2,
            "encoder_ffn_dim": 128, "decoder_ffn_dim": 128, "encoder_attention_heads": 4,
            "decoder_attention_heads": 4, "max_position_embeddings": 32,
        },
        _both,
    ),
    "ViT": ("ViTModel", "ViTConfig", _PATCHES, _picture),
    "DeiT": ("DeiTModel", "DeiTConfig", _PATCHES, _picture),
    "Swin": (
        "SwinModel",
        "SwinConfig",
        {"image_size": 64, "patch_size": 4, "embed_dim": 32, "depths": [1, 1],
         "num_heads": [2, 4], "window_size": 4},
        _picture,
    ),
    "ConvNeXt": (
        "ConvNextModel",
        "ConvNextConfig",
        {"hidden_sizes": [32, 64], "depths": [1, 1], "num_stages": 2},
        _picture,
    ),
    "ResNet": (
        "ResNetModel",
        "ResNetConfig",
        {"embedding_size": 32, "hidden_sizes": [64, 128], "depths": [1, 1]},
        _picture,
    ),
    "SegFormer": (
        "SegformerForSemanticSegmentation",
        "SegformerConfig",
        {
            "hidden_sizes": [32, 64], "depths": [1, 1], "num_encoder_blocks": 2,
            "num_attention_heads": [1, 2], "sr_ratios": [4, 1], "patch_sizes": [7, 3],
            "strides": [4, 2], "mlp_ratios": [2, 2], "decoder_hidden_size": 64,
        },
        _picture,
    ),
    "MobileViT": (
        "MobileViTModel",
        "MobileViTConfig",
        {"image_size": 64, "hidden_sizes": [48, 64, 80],
         "neck_hidden_sizes": [16, 16, 32, 48, 64, 80, 96]},
        _picture,
    ),
    "Whisper": (
        "WhisperModel",
        "WhisperConfig",
        {
            "vocab_size": 100, "d_model": 64, "encoder_layers": 2, "decoder_layers": 2,
            "encoder_attention_heads": 4, "decoder_attention_heads": 4, "encoder_ffn_dim": 128,
            "decoder_ffn_dim": 128, "num_mel_bins": 16, "max_source_positions": 32,
            "max_target_positions": 16, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
            "decoder_start_token_id": 1,
        },
        _whisper,
    ),
    "wav2vec 2.0": (
        "Wav2Vec2Model",
        "Wav2Vec2Config",
        {
            "vocab_size": 32, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
            "intermediate_size": 128, "conv_dim": [64, 64, 64], "conv_stride": [5, 4, 4],
            "conv_kernel": [10, 8, 4], "num_conv_pos_embeddings": 16,
            "num_conv_pos_embedding_groups": 4, "mask_time_prob": 0.0,
        },
        _speech,
    ),
}  # fmt: skip


def _transformer(
    model: str, config: str, options: dict[str, Any], example: Callable[[], dict[str, Tensor]]
) -> Build:
    def build() -> tuple[nn.Module, Any]:
        package = require("transformers", "zoo")
        made = getattr(package, config)(**options)
        made.use_cache = False
        network: nn.Module = getattr(package, model)(made)
        return network, example()

    return build


def _graph(seed: int = 0) -> tuple[Tensor, Tensor]:
    """Features of 40 nodes and 200 edges."""
    return torch.randn(40, 32), torch.randint(40, (2, 200))


def _model(name: str, **options: Any) -> Build:
    def build() -> tuple[nn.Module, Any]:
        kind = getattr(import_module("torch_geometric.nn"), name)
        return kind(32, 64, num_layers=3, out_channels=8, **options), _graph()

    return build


class TwoLayers(nn.Module):
    """Two convolutions of one kind with ReLU between, and a head."""

    def __init__(self, first: nn.Module, second: nn.Module, width: int = 64) -> None:
        super().__init__()
        self.first, self.second = first, second
        self.fc = nn.Linear(width, 8)

    def forward(self, x: Tensor, *graph: Tensor) -> Tensor:
        y: Tensor = self.fc(self.second(self.first(x, *graph).relu(), *graph).relu())
        return y


def _two(name: str, with_points: bool = False) -> Build:
    def build() -> tuple[nn.Module, Any]:
        kind = getattr(import_module("torch_geometric.nn"), name)
        x, edges = _graph()
        graph = (torch.randn(40, 3), edges) if with_points else (edges,)
        return TwoLayers(kind(32, 64), kind(64, 64)), (x, *graph)

    return build


def _pairs(pos: Tensor, batch: Tensor) -> tuple[Tensor, Tensor]:
    """All pairs of atoms; PyG's own search wants pyg-lib."""
    count = len(pos)
    row = torch.arange(count).repeat_interleave(count - 1)
    col = torch.cat([torch.arange(count)[torch.arange(count) != i] for i in range(count)])
    return torch.stack([col, row]), (pos[row] - pos[col]).norm(dim=-1)


def _schnet() -> tuple[nn.Module, Any]:
    kind = import_module("torch_geometric.nn").SchNet
    network: nn.Module = kind(64, 64, 2, 50, interaction_graph=_pairs)
    return network, (torch.randint(1, 9, (12,)), 2.0 * torch.randn(12, 3))


def _pna() -> tuple[nn.Module, Any]:
    options: dict[str, Any] = {
        "aggregators": ["mean", "max"],
        "scalers": ["identity"],
        "deg": torch.bincount(torch.randint(10, (40,)), minlength=10),
    }
    return _model("PNA", **options)()


def _dimenet() -> tuple[nn.Module, Any]:
    kind = import_module("torch_geometric.nn").DimeNetPlusPlus
    network: nn.Module = kind(64, 1, 2, 32, 16, 64, 3, 4)
    return network, (torch.randint(1, 9, (12,)), torch.randn(12, 3))


_GRAPHS: dict[str, Build] = {
    "GCN": _model("GCN"),
    "GraphSAGE": _model("GraphSAGE"),
    "GIN": _model("GIN"),
    "GAT": _model("GAT"),
    "GATv2": _model("GAT", v2=True),
    "PNA": _pna,
    "EdgeCNN": _model("EdgeCNN"),
    "SchNet": _schnet,
    "DimeNet++": _dimenet,
    "PointTransformerConv": _two("PointTransformerConv", with_points=True),
    "TransformerConv": _two("TransformerConv"),
    "GENConv": _two("GENConv"),
    "TAGConv": _two("TAGConv"),
    "ResGatedGraphConv": _two("ResGatedGraphConv"),
}
