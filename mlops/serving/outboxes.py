"""What waits to be sent off the request path: bounded in number and bytes, emptied by threads, and full rather than slow.

The payload log and the mirror put what they sampled here; neither ever waits for whoever takes it.
"""

from collections import deque
from collections.abc import Callable
from threading import Condition, Thread
from time import monotonic
from typing import Generic, TypeVar

T = TypeVar("T")


class Outbox(Generic[T]):
    """A bounded queue and the threads that hand each item to `send`, which raises nothing."""

    def __init__(self, name: str, send: Callable[[T], None], most: int, most_bytes: int, threads: int = 1) -> None:
        """Hold at most `most` items of `most_bytes` together; the threads begin with the first item."""
        self._send = send
        self._most = most
        self._most_bytes = most_bytes
        self._items: deque[tuple[T, int]] = deque()
        self._bytes = 0
        self._working = 0
        self._is_closed = False
        self._changed = Condition()
        self._idle = [Thread(target=self._work, name=f"{name} {number}", daemon=True) for number in range(threads)]

    def offer(self, item: T, size: int) -> bool:
        """Take `item` of about `size` bytes; return whether there was room for it."""
        with self._changed:
            if self._is_closed or len(self._items) >= self._most or self._bytes + size > self._most_bytes:
                return False
            self._items.append((item, size))
            self._bytes += size
            self._changed.notify()
        while self._idle:
            self._idle.pop().start()
        return True

    def close(self, seconds: float) -> None:
        """Take nothing any more, and wait up to `seconds` until all is sent."""
        end = monotonic() + seconds
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
            while (self._items or self._working) and (left := end - monotonic()) > 0:
                self._changed.wait(left)

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._items:
                    if self._is_closed:
                        return
                    self._changed.wait()
                item, size = self._items.popleft()
                self._bytes -= size
                self._working += 1
            try:
                self._send(item)
            finally:
                with self._changed:
                    self._working -= 1
                    self._changed.notify_all()
