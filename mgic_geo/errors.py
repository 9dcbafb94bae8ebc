"""Errors that a user can mend; the command line prints their message and nothing else."""


class MgicGeoError(ValueError):
    """Base of the package's own errors: the message names the culprit and says what to do."""


class DataError(MgicGeoError):
    """A file, cloud or data set that cannot be used as it is."""


class CheckpointError(MgicGeoError):
    """Weights that are unreadable or belong to another model."""
