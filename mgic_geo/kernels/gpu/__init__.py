"""What the GPU kernels share, in Triton; see README.md."""
