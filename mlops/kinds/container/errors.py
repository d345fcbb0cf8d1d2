"""What a user can mend about a container: its base, its packages, its budget, its model."""

from mlops.core.errors import MlopsError


class ContainerError(MlopsError):
    """The image cannot be made as the spec says, or does not prove itself."""

    code = "container"
