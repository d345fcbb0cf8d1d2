"""What models of these cases are taught by."""


def fit(train, label, params, seed):
    """Return nothing, which no model is."""


def fail(train, label, params, seed):
    """Fail as a user's function may."""
    message = "the moon is in the wrong house"
    raise RuntimeError(message)
