"""What the compiled loops share: vector code, tiles, threads, arrays; see README.md."""

__all__: list[str] = []
