"""What the operating system says, in words for the user: every door hands its OSErrors through here."""

from __future__ import annotations

import errno
from contextlib import contextmanager
from typing import TYPE_CHECKING

from mlops.core.errors import Refused, Unavailable, WorldError

if TYPE_CHECKING:
    from collections.abc import Iterator

_KNOWN = {
    errno.ENOENT: ("does not exist", "check the path"),
    errno.EACCES: ("may not be accessed: permission denied", "change its owner or mode, or run as the user who owns it"),
    errno.EPERM: ("may not be accessed: not permitted", "change its owner or mode, or run as the user who owns it"),
    errno.EROFS: ("cannot be written: the file system is read-only", "use a folder that can be written"),
    errno.ENOSPC: ("cannot be written: the disk is full", "free some space and run the same command again; nothing is lost"),
    errno.EDQUOT: ("cannot be written: your quota is used up", "free some space and run the same command again; nothing is lost"),
    errno.EISDIR: ("is a folder", "name a file"),
    errno.ENOTDIR: ("has a file where a folder is needed", "move that file away"),
    errno.ENAMETOOLONG: ("is too long a name", "use shorter names"),
    errno.ELOOP: ("is a circle of symbolic links", "point the link at a file"),
}
_MAY_PASS = (errno.EMFILE, errno.ENFILE, errno.EIO, errno.ESTALE, errno.EAGAIN, errno.ETIMEDOUT, errno.EBUSY)


def explained(error: OSError, what: object) -> WorldError:
    """Return the WorldError that says what `error` means for the file or URL `what`."""
    if error.errno in _KNOWN:
        problem, hint = _KNOWN[error.errno]
        return Refused(f"{what} {problem}", hint)
    reason = error.strerror or str(error) or type(error).__name__
    if error.errno in _MAY_PASS:
        return Unavailable(f"{what} cannot be used now: {reason}", "try again")
    return Refused(f"{what} cannot be used: {reason}")


@contextmanager
def explaining(what: object) -> Iterator[None]:
    """Turn an OSError of the block into the WorldError about `what`."""
    try:
        yield
    except OSError as error:
        raise explained(error, what) from error
