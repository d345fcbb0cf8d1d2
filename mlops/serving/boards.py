"""Memory that the workers of one server share: each writes what it counted to a place of its own, and any of them reads all.

A scraper that asks the server reaches one worker by chance, and must be told of all. Neither a file nor a socket is needed, so that nothing has
to be writable. Made by `main` before `crews` forks the workers; in each of them `replicas` keeps its place up to date.
"""

import mmap
import re

# A head is how long the text is, and in its highest bit which half holds it. It is written as one aligned word, so that a reader sees both of
# one writing; `struct.pack_into` would set it to zero first.
_HEAD = 8
_SECOND = 1 << 63
_HALF = 2 * 1024 * 1024  # bytes that a text may have; memory that nobody writes costs nothing
_PLACE = _HEAD + 2 * _HALF
# The name of a sample, and the brace behind it where it has labels.
_SAMPLE = re.compile(rb"^([A-Za-z_:][\w:]*)(\{)?", re.MULTILINE)


class Board:
    """A place for each worker, counted from 0; for processes that are forked after it was made."""

    def __init__(self, workers: int) -> None:
        """Begin with nothing written."""
        self._memory = mmap.mmap(-1, workers * _PLACE)
        self._words = memoryview(self._memory).cast("Q")

    def write(self, worker: int, text: bytes) -> None:
        """Leave `text` in the place of a worker, who alone writes there; a text that is too long takes the former away."""
        start = worker * _PLACE
        head = self._words[start // _HEAD]
        half = 0 if head & _SECOND else _SECOND  # the one that nobody reads
        text = text if len(text) <= _HALF else b""
        place = _place(start, half)
        self._memory[place : place + len(text)] = text
        self._words[start // _HEAD] = half | len(text)

    def read(self) -> list[bytes]:
        """Return what each worker has left, without those that left nothing."""
        texts = []
        for start in range(0, len(self._memory), _PLACE):
            head = self._words[start // _HEAD]
            place = _place(start, head)
            texts.append(self._memory[place : place + (head & ~_SECOND)])
        return [text for text in texts if text]


class Seat:
    """One worker's way to the board."""

    def __init__(self, board: Board, worker: int) -> None:
        """Sit at the place of `worker`."""
        self._board = board
        self._worker = worker

    def shared(self, exposition: bytes) -> bytes:
        """Leave what this worker counted, and return what all of them did, each with its number as a label."""
        self._board.write(self._worker, _labelled(exposition, self._worker))
        return _joined(self._board.read())


def _place(start: int, head: int) -> int:
    return start + _HEAD + (_HALF if head & _SECOND else 0)


def _labelled(exposition: bytes, worker: int) -> bytes:
    """Return a text for Prometheus with the label `worker` on each sample: the counts of one that is restarted begin at zero alone."""

    def mark(sample: re.Match[bytes]) -> bytes:
        label = b'worker="%d"' % worker
        return sample[1] + (b"{" + label + b"," if sample[2] else b"{" + label + b"}")

    return _SAMPLE.sub(mark, exposition)


def _joined(expositions: list[bytes]) -> bytes:
    """Return one text for Prometheus of several, the samples of a family together, as its format asks."""
    families: dict[bytes, list[bytes]] = {}
    for exposition in expositions:
        for block in exposition.split(b"# HELP ")[1:]:
            name, kind, *samples = block.splitlines(keepends=True)
            families.setdefault(b"# HELP " + name + kind, []).extend(samples)
    return b"".join(head + b"".join(samples) for head, samples in families.items())
