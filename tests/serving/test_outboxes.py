"""What is sent off the request path waits in a queue that is full rather than slow."""

import threading
import time

from mlops.serving.outboxes import Outbox


def test_a_full_queue_refuses_at_once_and_loses_nothing_that_it_took():
    """Beyond its number, or its bytes, nothing is taken; what was taken is sent in order once the other side moves."""
    sent, gate = [], threading.Event()

    def send(item):
        gate.wait(10)
        sent.append(item)

    outbox = Outbox("test", send, most=3, most_bytes=100)
    assert outbox.offer("first", 1)
    end = time.monotonic() + 10
    while outbox._items and time.monotonic() < end:
        time.sleep(0.01)  # until the thread holds the first
    taken = [outbox.offer(item, size) for item, size in (("b", 60), ("too large", 60), ("c", 20), ("d", 20), ("too many", 1))]
    assert taken == [True, False, True, True, False]
    gate.set()
    outbox.close(10)
    assert sent == ["first", "b", "c", "d"]
    assert not outbox.offer("late", 1)


def test_closing_waits_no_longer_than_it_is_told():
    """A sink that hangs does not keep the process."""
    outbox = Outbox("test", lambda _: time.sleep(5), most=3, most_bytes=100)
    outbox.offer("a", 1)
    begun = time.monotonic()
    outbox.close(0.1)
    assert time.monotonic() - begun < 4
