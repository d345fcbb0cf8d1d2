"""What a user can mend about a model: their data, their spec, their function."""

from mlops.core.errors import MlopsError


class ModelError(MlopsError):
    """The model cannot be made or asked as the spec says."""

    code = "model"
