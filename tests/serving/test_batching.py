"""Work-conserving batching: what is asked together, what waits, what is refused, and that everybody gets their own rows."""

import asyncio
import re
import threading
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops.serving import batching
from mlops.serving.batching import Queue
from mlops.serving.counts import QueueCounts
from mlops.serving.errors import ClientGoneError, ModelFailedError, OverloadedError
from mlops.serving.limits import Limits


class Model:
    """Adds one to each row, notes the rows of each call, fails on negative rows, and works only while it is let."""

    def __init__(self):
        self.calls = []
        self.begun = threading.Event()
        self.let = threading.Event()
        self.let.set()

    def ask(self, batch):
        """Answer as a predictor would."""
        column = batch["a"] if isinstance(batch, dict) else batch[:, 0]
        self.calls.append(column.tolist())
        self.begun.set()
        assert self.let.wait(10)
        if (column < 0).any():
            msg = f"negative among {len(column)}"
            raise ModelFailedError(msg)
        return {"sum": column + 1, "pair": np.column_stack([column, column])}


def matrix(*values):
    """Return rows of one column."""
    return np.array(values, np.float64).reshape(-1, 1)


class Bench:
    """A queue before a model that is held until everything was sent."""

    def __init__(self, **limits):
        self.model = Model()
        self.counts = QueueCounts()
        self.queue = Queue(self.model.ask, Limits(**limits), self.counts)

    async def hold(self):
        """Make the model busy with a row 0; return its request."""
        self.model.let.clear()
        self.model.begun.clear()
        first = self.send(0)
        await asyncio.to_thread(self.model.begun.wait, 5)
        return first

    def send(self, *values, gone=None, batch=None):
        """Send rows; return the request as a task that has begun to wait."""
        rows = matrix(*values) if batch is None else batch
        return asyncio.ensure_future(self.queue.ask(rows, len(rows) if not isinstance(rows, dict) else len(rows["a"]), gone))

    async def finish(self, *requests):
        """Let the model work; return what each request got."""
        await asyncio.sleep(0)
        self.model.let.set()
        found = await asyncio.wait_for(asyncio.gather(*requests, return_exceptions=True), 10)
        self.queue.close()
        return [each if isinstance(each, BaseException) else each[0]["sum"].tolist() for each in found]


def test_an_idle_model_is_asked_at_once():
    """One request after another is a batch each, and none waits."""

    async def scene():
        bench = Bench()
        answers = [await bench.queue.ask(matrix(value), 1) for value in (1, 2, 3)]
        bench.queue.close()
        return bench, [answer[0]["sum"].tolist() for answer in answers]

    bench, answers = asyncio.run(scene())
    assert answers == [[2], [3], [4]]
    assert bench.model.calls == [[1], [2], [3]]
    assert bench.counts.rows == 0
    assert bench.counts.waits.total < 0.1


def test_what_comes_while_the_model_is_busy_is_asked_together():
    """Requests gather behind one that is asked, and get their own rows of one batch."""

    async def scene():
        bench = Bench()
        requests = [await bench.hold(), bench.send(1), bench.send(2, 3), bench.send(4)]
        await asyncio.sleep(0)
        waiting = bench.counts.rows
        return bench, waiting, await bench.finish(*requests)

    bench, waiting, answers = asyncio.run(scene())
    assert waiting == 4
    assert answers == [[1], [2], [3, 4], [5]]
    assert bench.model.calls == [[0], [1, 2, 3, 4]]
    assert bench.counts.batches.cumulative()[:3] == [("1.0", 1.0), ("2.0", 1.0), ("4.0", 2.0)]


def test_who_was_answered_together_is_asked_together_again(monkeypatch):
    """After a batch the model waits for those whom it answered, beside those who wait already; a single caller is all of them."""
    monkeypatch.setattr(batching, "_MOMENT", 1e6)
    monkeypatch.setattr(batching, "_LONGEST_MOMENT", 5.0)

    async def scene():
        bench = Bench()
        busy = await bench.hold()
        waits = bench.send(1)
        await asyncio.sleep(0)
        bench.model.let.set()
        await busy
        back = bench.send(2)
        await asyncio.gather(waits, back)
        return bench, await bench.finish(bench.send(3), bench.send(4))

    begun = time.monotonic()
    bench, answers = asyncio.run(scene())
    assert bench.model.calls == [[0], [1, 2], [3, 4]]
    assert answers == [[4], [5]]
    assert time.monotonic() - begun < 5


def test_the_moment_passes():
    """Who waits is asked soon, also when those who were answered do not come back."""

    async def scene():
        bench = Bench()
        busy = await bench.hold()
        waits = bench.send(1)
        return bench, await bench.finish(busy, waits)

    bench, answers = asyncio.run(scene())
    assert answers == [[1], [2]]
    assert bench.counts.waits.total < 2


def test_a_batch_has_as_many_rows_as_allowed_in_order():
    """Rows are counted and not requests; one of more rows than a batch may have is asked alone."""

    async def scene():
        bench = Bench(batch_rows=3)
        requests = [await bench.hold(), bench.send(1, 2), bench.send(3, 4), bench.send(5), bench.send(6, 7, 8, 9), bench.send(10)]
        return bench, await bench.finish(*requests)

    bench, answers = asyncio.run(scene())
    assert bench.model.calls == [[0], [1, 2], [3, 4, 5], [6, 7, 8, 9], [10]]
    assert answers == [[1], [2, 3], [4, 5], [6], [7, 8, 9, 10], [11]]


def test_only_rows_of_one_layout_are_joined():
    """Columns and dtypes must agree: a float beside an integer would change the type of both."""

    async def scene():
        bench = Bench()
        batches = [{"a": np.array([1, 2])}, {"a": np.array([3])}, {"a": np.array([4.5])}, {"a": np.array([5])}]
        requests = [await bench.hold(), *(bench.send(batch=batch) for batch in batches)]
        return bench, await bench.finish(*requests)

    bench, answers = asyncio.run(scene())
    assert bench.model.calls == [[0], [1, 2, 3], [4.5], [5]]
    assert answers == [[1], [2, 3], [4], [5.5], [6]]


def test_a_bad_row_fails_alone():
    """Who was asked together with a row that fails is asked again without it."""

    async def scene():
        bench = Bench()
        requests = [await bench.hold(), *(bench.send(value) for value in (1, 2, -3, 4, 5, 6, 7))]
        return bench, await bench.finish(*requests)

    bench, answers = asyncio.run(scene())
    assert str(answers[3]) == "negative among 1"
    assert [*answers[:3], *answers[4:]] == [[1], [2], [3], [5], [6], [7], [8]]
    assert len(bench.model.calls) < 1 + 1 + 7, "halves are asked again, and not everybody"


def test_a_full_queue_refuses_and_says_when_to_come_again():
    """No more rows wait than may, but an empty queue takes any request."""

    async def scene():
        bench = Bench(queue_rows=3)
        requests = [await bench.hold(), bench.send(1, 2, 3, 4)]
        await asyncio.sleep(0)
        refused = bench.send(5)
        return await bench.finish(*requests, refused)

    *answers, refused = asyncio.run(scene())
    assert answers == [[1], [2, 3, 4, 5]]
    assert isinstance(refused, OverloadedError)
    assert (str(refused), refused.retry_after) == ("4 rows wait for the model already, and at most 3 may", 1)


def test_a_request_past_its_deadline_is_not_asked():
    """Who waited too long is told so while the model is still busy, and leaves the queue."""

    async def scene():
        bench = Bench(deadline=0.05)
        busy = await bench.hold()
        late = bench.send(1)
        with pytest.raises(OverloadedError, match=r"the model did not come to this request within 0\.05 s"):
            await asyncio.wait_for(late, 5)
        assert bench.counts.rows == 0
        return bench, await bench.finish(busy)

    bench, answers = asyncio.run(scene())
    assert answers == [[1]]
    assert bench.model.calls == [[0]]


def test_who_would_wait_too_long_is_refused_at_once():
    """Once a batch is known to take longer than the deadline, nobody begins to wait behind it."""

    async def scene():
        bench = Bench(deadline=0.1)
        slow = await bench.hold()
        await asyncio.sleep(1.6)
        bench.model.let.set()
        await slow
        bench.model.calls.clear()
        busy = await bench.hold()
        refused = bench.send(1)
        return await bench.finish(busy, refused)

    answer, refused = asyncio.run(scene())
    assert answer == [1]
    assert isinstance(refused, OverloadedError)
    assert refused.retry_after == 2
    assert re.fullmatch(r"the model is busy: this request would wait 1\.\d s, and at most 0\.1 s are allowed", str(refused))


def test_a_client_that_leaves_is_not_asked_for():
    """Neither by its own cancellation nor by a lost connection does anybody else notice."""

    async def scene():
        bench = Bench()
        leaving = asyncio.Event()
        busy = await bench.hold()
        lost, cancelled, stays = bench.send(1, gone=leaving.wait), bench.send(2), bench.send(3)
        await asyncio.sleep(0)
        leaving.set()
        cancelled.cancel()
        with pytest.raises(ClientGoneError):
            await lost
        assert bench.counts.rows == 1
        return bench, await bench.finish(busy, stays)

    bench, answers = asyncio.run(scene())
    assert answers == [[1], [4]]
    assert bench.model.calls == [[0], [3]]


def test_a_client_that_leaves_while_it_is_asked_disturbs_nobody():
    """Its outputs are thrown away; the queue goes on."""

    async def scene():
        bench = Bench()
        busy = await bench.hold()
        waits = bench.send(1)
        await asyncio.sleep(0)
        busy.cancel()
        return await bench.finish(waits)

    assert asyncio.run(scene()) == [[2]]


@given(
    sizes=st.lists(st.integers(1, 6), min_size=1, max_size=40),
    batch_rows=st.integers(1, 16),
    bad=st.sets(st.integers(0, 39), max_size=4),
    pauses=st.sets(st.integers(0, 39), max_size=6),
)
@settings(max_examples=60, deadline=None)
def test_everybody_gets_exactly_their_own_rows(sizes, batch_rows, bad, pauses):
    """Whatever is joined, each request is answered for its own rows, in order and once; a bad row is its own request's failure."""

    async def scene():
        model = Model()
        queue = Queue(model.ask, Limits(batch_rows=batch_rows), QueueCounts())
        requests = []
        for index, size in enumerate(sizes):
            values = 100 * index + np.arange(size, dtype=np.float64)
            rows = (-1 - values if index in bad else values).reshape(-1, 1)
            requests.append(asyncio.ensure_future(queue.ask(rows, size)))
            if index in pauses:
                await asyncio.sleep(0)
        found = await asyncio.wait_for(asyncio.gather(*requests, return_exceptions=True), 20)
        queue.close()
        return model, found

    model, found = asyncio.run(scene())
    for index, (size, answer) in enumerate(zip(sizes, found, strict=True)):
        if index in bad:
            assert str(answer) == f"negative among {size}"
        else:
            values = 100.0 * index + np.arange(size)
            assert answer[0]["sum"].tolist() == (values + 1).tolist()
            assert answer[0]["pair"].tolist() == np.column_stack([values, values]).tolist()
    if not bad:
        assert all(len(call) <= max(batch_rows, *sizes, 1) for call in model.calls)
        assert sum(map(len, model.calls)) == sum(sizes)
