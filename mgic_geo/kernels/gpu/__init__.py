"""What the GPU kernels share, in Triton; see README.md."""

__all__: list[str] = []
