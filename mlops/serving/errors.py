"""What goes wrong while a model is packed, loaded or asked; the leaf has errors of its own, callers map them to theirs."""


class ServingError(Exception):
    """Anything that ends the replica program with one line on stderr and exit code 1."""


class FolderError(ServingError):
    """A model folder is missing, garbled, newer than this program, or may not be loaded."""


class BadRequestError(Exception):
    """A request that the server answers with 400; the message names what is wrong, where, and what was expected."""


class ModelFailedError(Exception):
    """The model itself failed on input that its signature admits: an answer of 500, for which the caller is not to blame."""
