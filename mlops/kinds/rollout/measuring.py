"""Measuring: what a delivery's analysis asks for, from the servers' own metrics, the proxy's counts, Prometheus and commands.

Counters are read twice, and what was counted between is told. What cannot be measured is told, too, and is no error here: the analysis says
what it means.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from mlops.core.errors import MlopsError
from mlops.core.fronts import TRACKS, Track
from mlops.core.fronts import Traffic as Counted
from mlops.delivery.deliveries import Durations, Reading, Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mlops.core.worlds import World
    from mlops.delivery.actions import Measure
    from mlops.delivery.analyses import Command, Query
    from mlops.kinds.rollout.sites import Site

_SECONDS = 30.0  # that Prometheus or a command may take
_FAILED = 500


@dataclass(slots=True)
class Counters:
    """What one replica has counted since it was started."""

    codes: Counter[int] = field(default_factory=Counter)
    durations: Counter[float] = field(default_factory=Counter)  # by upper bound, cumulative
    predictions: Counter[str] = field(default_factory=Counter)
    mirrored: Counter[str] = field(default_factory=Counter)

    def since(self, before: Counters | None) -> Counters:
        """Return what was counted since; a replica that was started again counts from zero."""
        if before is None or any(self.codes[code] < count for code, count in before.codes.items()):
            return self
        return Counters(
            self.codes - before.codes,
            self.durations - before.durations,
            self.predictions - before.predictions,
            self.mirrored - before.mirrored,
        )


@dataclass(slots=True)
class Snapshot:
    """All counters at one time, by track and replica."""

    at: float
    servers: dict[Track, dict[str, Counters]] = field(default_factory=lambda: {track: {} for track in TRACKS})
    proxy: Mapping[Track, Counted] = field(default_factory=dict)
    troubles: dict[str, str] = field(default_factory=dict)


def parse(text: str) -> Counters:
    """Return what is told by the metrics that a server exposes in Prometheus's text format.

    Raises:
        ValueError: it is no such text.
    """
    from prometheus_client.parser import text_string_to_metric_families

    found = Counters()
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels, value = sample.labels, int(sample.value)
            if sample.name == "mlops_requests_total":
                found.codes[int(labels["code"])] += value
            elif sample.name == "mlops_request_duration_seconds_bucket":
                found.durations[float(labels["le"])] += value
            elif sample.name == "mlops_predictions_total":
                found.predictions[f"{labels['output']}={labels['bucket']}"] += value
            elif sample.name == "mlops_mirrored_requests_total":
                found.mirrored[labels["outcome"]] += value
    return found


class Meter:
    """Measures for one delivery; the first reading of each window is remembered, and lost with the process."""

    def __init__(self, site: Site, world: World, now: Callable[[], float]) -> None:
        self._site, self._world, self._now = site, world, now
        self._first: tuple[int, Snapshot] | None = None

    def measure(self, asked: Measure) -> Reading:
        """Return the reading that is asked for."""
        snapshot = self._snapshot(asked)
        if asked.number == 0 or self._first is None or self._first[0] != asked.window:
            self._first = (asked.window, snapshot)
            return Reading(asked.window, asked.number, snapshot.at, snapshot.at)
        first = self._first[1]
        servers = {track: _sum(first.servers[track], snapshot.servers[track]) for track in TRACKS}
        proxied = {track: _passed(first.proxy.get(track), snapshot.proxy.get(track)) for track in TRACKS}
        values, troubles = self._answers(asked)
        mirrored = servers["stable"].mirrored
        return Reading(
            asked.window,
            asked.number,
            first.at,
            snapshot.at,
            stable=_tally(servers["stable"], proxied["stable"]),
            candidate=_tally(servers["candidate"], proxied["candidate"]),
            agreed=mirrored["agreed"],
            differed=mirrored["differed"],
            values=values,
            troubles={**snapshot.troubles, **troubles},
        )

    def _snapshot(self, asked: Measure) -> Snapshot:
        taken = Snapshot(self._now())
        if asked.server:
            for track in TRACKS:
                for server in self._site.front.servers.get(track, ()):
                    self._read(taken, track, server)
        if asked.proxy:
            try:
                taken.proxy = self._world.proxies.look(self._site.engine, self._site.front.rollout).traffic
            except MlopsError as error:
                taken.troubles["proxy"] = error.message
        return taken

    def _read(self, taken: Snapshot, track: Track, server: str) -> None:
        try:
            status, body = self._world.containers.ask(
                self._site.engine, self._site.front.rollout, server, ("GET", "/metrics", None)
            )
            taken.servers[track][server] = parse(body.decode(errors="replace"))
        except MlopsError as error:
            taken.troubles["server"] = error.message
        except ValueError:
            taken.troubles["server"] = f"{server} has no metrics that can be read (status {status})"

    def _answers(self, asked: Measure) -> tuple[dict[str, float | None], dict[str, str]]:
        """Return the numbers from elsewhere by metric, and why some could not be had."""
        versions = {"version": self._site.name("candidate") or "", "stable": self._site.name("stable") or ""}
        asks: dict[str, Callable[[], float | None]] = {
            f"queries.{name}": partial(self._queried, query, versions) for name, query in asked.queries.items()
        }
        asks |= {f"commands.{name}": partial(self._printed, command, versions) for name, command in asked.commands.items()}
        values: dict[str, float | None] = {}
        troubles: dict[str, str] = {}
        for metric, ask in asks.items():
            try:
                values[metric] = ask()
            except MlopsError as error:
                troubles[metric] = error.message
            except ValueError as error:
                troubles[metric] = f"it answers no number: {error}"
        return values, troubles

    def _queried(self, query: Query, versions: Mapping[str, str]) -> float | None:
        text = query.query
        for name, version in versions.items():
            text = text.replace(f"{{{name}}}", version)
        return _number(self._world.web.fetch(f"{query.url.rstrip('/')}/api/v1/query?{urlencode({'query': text})}", _SECONDS))

    def _printed(self, command: Command, versions: Mapping[str, str]) -> float:
        environment = {f"MLOPS_{name.upper()}": version for name, version in versions.items()}
        return float(self._world.code.answer(command.command, environment, _SECONDS))


def _number(body: bytes) -> float | None:
    """Return the one number in what Prometheus's /api/v1/query answers; None where there is none.

    Raises:
        ValueError: there are several, or it is no such answer.
    """
    try:
        data = json.loads(body)["data"]
        result = data["result"]
        if data["resultType"] == "scalar":
            return float(result[1])
        if len(result) > 1:
            message = f"{len(result)} series; aggregate them (sum, max) to one"
            raise ValueError(message)
        return float(result[0]["value"][1]) if result else None
    except (KeyError, TypeError, IndexError) as error:
        message = "no answer of Prometheus"
        raise ValueError(message) from error


def _sum(before: Mapping[str, Counters], after: Mapping[str, Counters]) -> Counters:
    total = Counters()
    for server, counters in after.items():
        new = counters.since(before.get(server))
        total.codes.update(new.codes)
        total.durations.update(new.durations)
        total.predictions.update(new.predictions)
        total.mirrored.update(new.mirrored)
    return total


def _passed(before: Counted | None, after: Counted | None) -> Counted:
    """Return what the proxy counted between; one that was started again counts from zero."""
    if after is None:
        return Counted()
    if before is None or before.requests > after.requests:
        return after
    return Counted(after.requests - before.requests, after.failed - before.failed)


def _tally(counted: Counters, proxied: Counted) -> Tally:
    return Tally(
        requests=counted.codes.total(),
        failed=sum(count for code, count in counted.codes.items() if code >= _FAILED),
        proxied=proxied.requests,
        proxy_failed=proxied.failed,
        durations=_histogram(counted.durations),
        predictions=dict(counted.predictions),
    )


def _histogram(cumulative: Mapping[float, int]) -> Durations:
    """Return a histogram of counts that do not run up."""
    bounds = sorted(cumulative)
    running = [0, *(cumulative[bound] for bound in bounds)]
    counts = [max(0, after - before) for before, after in pairwise(running)]
    if not bounds or not math.isinf(bounds[-1]):
        counts = [*counts, 0]
    return Durations(tuple(bound for bound in bounds if not math.isinf(bound)), tuple(counts))
