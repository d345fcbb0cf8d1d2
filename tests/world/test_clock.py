"""The door to time."""

from datetime import UTC, datetime, timedelta

from mlops.world.clock import SystemClock


def test_now_is_utc_and_sleeping_passes_time():
    clock = SystemClock()
    start, ticks = clock.now(), clock.monotonic()
    clock.sleep(0.01)
    assert start.tzinfo is UTC
    assert timedelta(seconds=0.009) < clock.now() - start
    assert clock.monotonic() - ticks > 0.009
    assert abs(start - datetime.now(UTC)) < timedelta(minutes=1)
