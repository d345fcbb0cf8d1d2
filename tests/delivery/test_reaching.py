"""The weights that whole replicas give, against the published vectors of Argo Rollouts (TestApproximateWeightedNewStableReplicaCounts)."""

from __future__ import annotations

import pytest

from mlops.delivery.reaching import nearest, reachable

VECTORS = """1,1,0->0,1 | 1,49,0->0,1 | 1,50,0->1,0 | 1,1,1->1,1 | 1,99,1->1,1 | 1,100,1->1,0 | 2,1,0->1,1 | 2,99,0->1,1 | 2,1,1->1,2
| 2,99,1->2,1 | 3,49,0->1,2 | 3,50,0->2,1 | 3,10,1->1,3 | 3,49,1->2,2 | 10,1,0->1,9 | 10,14,0->1,9 | 10,15,0->2,8 | 10,99,0->9,1
| 10,1,1->1,10 | 10,18,1->2,9 | 10,23,1->2,8 | 10,24,1->3,8 | 10,99,1->10,1 | 10,100,1->10,0"""


@pytest.mark.parametrize("vector", [vector.strip() for vector in VECTORS.split("|")])
def test_the_nearest_split_is_the_one_that_argo_rollouts_takes(vector):
    asked, given = vector.split("->")
    replicas, weight, surge = map(int, asked.split(","))
    assert tuple(nearest(replicas, weight, surge=bool(surge))) == tuple(map(int, given.split(",")))


def test_one_replica_without_a_proxy_reaches_nothing_all_or_with_one_more_a_half():
    assert reachable(1) == (0.0, 100.0)
    assert reachable(1, surge=True) == (0.0, 50.0, 100.0)
    assert reachable(3) == pytest.approx((0.0, 100 / 3, 200 / 3, 100.0))
