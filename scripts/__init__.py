"""Programs over the package: measuring, counting, experiments."""
