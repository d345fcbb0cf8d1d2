"""A second version in the middle of a delivery, on a real engine."""

from __future__ import annotations

import pytest

from harbour import QUICK, Load, Notes


class Killed(BaseException):
    """The end of a process, as far as a step can tell."""


class Fatal(Notes):
    """A report that kills the step once it says something."""

    def __init__(self, at: str) -> None:
        super().__init__()
        self.at = at

    def progress(self, message, done=None):
        super().progress(message, done)
        if self.at in message:
            raise Killed


def test_the_version_before_keeps_its_share_until_the_stable_one_is_whole_again(harbour):
    """argo-rollouts #3372: half of the old replicas are gone, and a third version comes: nothing fails, and nobody is left over."""
    harbour.deliver("v1")
    with pytest.raises(Killed):
        harbour.op(harbour.image("v2"), rolling={**QUICK, "scale_down_delay": 60}).run(harbour.world(Fatal("is to show 100 %")))
    assert harbour.versions() == ["v1", "v2", "v2"]
    with Load(harbour.address) as load:
        _, notes = harbour.deliver("v3")
    assert load.failures == []
    assert harbour.versions() == ["v3", "v3"]
    since, until = notes.when("another delivery was on its way"), notes.when("the data plane is to show 0 %")
    assert load.share("v2", since, until) > 25, "half of the requests are still its, since one of two old replicas is not enough"


def test_replicas_that_come_back_to_their_places_in_the_proxy_get_ready(harbour):
    """An abort after half of a rolling delivery: the stable version is whole again."""
    harbour.deliver("v1")
    with pytest.raises(Killed):
        harbour.op(harbour.image("v2"), rolling=QUICK).run(harbour.world(Fatal("is to show 100 %")))
    assert harbour.versions() == ["v1", "v2", "v2"]
    harbour.deliver("v1")
    assert harbour.versions() == ["v1", "v1"]
