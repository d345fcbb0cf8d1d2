"""What goes wrong while a model is packed, loaded or asked; the leaf has errors of its own, callers map them to theirs."""


class ServingError(Exception):
    """Anything that ends the replica program with one line on stderr and exit code 1."""


class FolderError(ServingError):
    """A model folder is missing, garbled, newer than this program, or may not be loaded."""


class BadRequestError(Exception):
    """A request that the server answers with 400; the message names what is wrong, where, and what was expected."""


class ModelFailedError(Exception):
    """The model itself failed on input that its signature admits: an answer of 500, for which the caller is not to blame."""


class OverloadedError(Exception):
    """More is asked of a model than it can answer in time: an answer of 503 that says when to come again."""

    def __init__(self, message: str, retry_after: int) -> None:
        """Say what is too much, and after how many seconds less is to be expected."""
        super().__init__(message)
        self.retry_after = retry_after


class ClientGoneError(Exception):
    """Nobody waits for the answer any more, and the model was not asked."""
