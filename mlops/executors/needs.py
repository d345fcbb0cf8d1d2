"""Needs: what each step may take of the machine, and which ready steps fit in what is left. Pure counting, no processes."""

from __future__ import annotations

from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Self

from mlops.core.errors import PlanError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from mlops.core.plans import Step
    from mlops.core.settings import ExecutorSettings


@dataclass(frozen=True, slots=True)
class Need:
    """What one step takes, at most."""

    cpus: int = 1
    gpus: int = 0
    memory: int | None = None  # bytes, of each of its processes; None: what there is
    seconds: float | None = None  # None: as long as it takes
    is_bound: bool = False  # the processors were asked for: the step runs on as many and no others
    network: str = "none"  # for its container

    @property
    def is_plain(self) -> bool:
        """True where a worker is all that the step waits for."""
        return self.cpus == 1 and not self.gpus

    @property
    def is_free(self) -> bool:
        """True where nothing is limited, so that a worker may have the step before it has done the one before."""
        return self.is_plain and self.memory is None and self.seconds is None and not self.is_bound


@dataclass(frozen=True, slots=True)
class Share:
    """What a running step has of the machine: the numbers of its processors, empty where it is not bound, and of its GPUs."""

    need: Need
    cores: tuple[int, ...]
    gpus: tuple[int, ...]


@dataclass(slots=True)
class Left:
    """Counted processors and GPUs that nobody has or waits for; below zero where more are waited for than there are."""

    cpus: int
    gpus: int

    def fits(self, need: Need) -> bool:
        """Tell whether there is room."""
        return need.cpus <= self.cpus and need.gpus <= max(0, self.gpus)

    def take(self, need: Need) -> None:
        """Count it as taken."""
        self.cpus -= need.cpus
        self.gpus -= need.gpus

    def give(self, need: Need) -> None:
        """Count it as free again."""
        self.cpus += need.cpus
        self.gpus += need.gpus


@dataclass(slots=True)
class Counts:
    """What is left of a machine, and how many steps each of its processors and GPUs has."""

    left: Left
    cores: dict[int, int] = field(default_factory=dict)
    gpus: dict[int, int] = field(default_factory=dict)

    @classmethod
    def of(cls, needs: Needs, cores: Iterable[int]) -> Self:
        """Count all that steps share, on the processors with these numbers."""
        return cls(Left(needs.cpus, needs.gpus), dict.fromkeys(cores, 0), dict.fromkeys(range(needs.gpus), 0))

    def take(self, need: Need) -> Share:
        """Return the step's share, of what has the fewest steps."""
        self.left.take(need)
        cores = share(need.cpus, self.cores) if need.is_bound else ()
        found = Share(need, cores, share(need.gpus, self.gpus))
        self._change(found, 1)
        return found

    def give(self, taken: Share) -> None:
        """Take the share back."""
        self.left.give(taken.need)
        self._change(taken, -1)

    def _change(self, taken: Share, by: int) -> None:
        for counted, some in ((self.cores, taken.cores), (self.gpus, taken.gpus)):
            for one in some:
                counted[one] += by


class Needs:
    """What the settings of an executor say of every step, and of the whole. A step takes one processor and no GPU unless told."""

    def __init__(self, settings: ExecutorSettings, cores: int) -> None:
        self._settings = settings
        self.cores = cores
        workers = settings.workers or cores
        self.cpus = settings.cpus or max(cores, workers)
        self.gpus = settings.gpus
        self.workers = min(workers, self.cpus)

    def of(self, step: Step) -> Need:
        """Return what the step takes: of all patterns that fit it, the last one that has the field."""
        found: dict[str, Any] = {}
        for pattern, limits in self._settings.limits.items():
            if fnmatchcase(step.address, pattern) or fnmatchcase(step.id, pattern):
                found |= limits.model_dump(exclude_none=True)
        return Need(
            cpus=int(found.get("cpus", 1)),
            gpus=int(found.get("gpus", 0)),
            memory=int(found["memory"]) if "memory" in found else None,
            seconds=found.get("timeout", self._settings.timeout),
            is_bound="cpus" in found,
            network=found.get("network", "none"),
        )

    def check(self, steps: Iterable[Step]) -> None:
        """Refuse steps that could never begin.

        Raises:
            PlanError: names each such step, and what it wants.
        """
        problems = []
        for step in steps:
            need = self.of(step)
            for what, wants, has in (("processors", need.cpus, self.cpus), ("GPUs", need.gpus, self.gpus)):
                if wants > has and not step.here:
                    problems.append(f"{step.id} wants {wants} {what}, the executor has {has}")
        if problems:
            hint = "lower `cpus` or `gpus` under executor.limits, or raise executor.cpus or executor.gpus"
            raise PlanError("\n".join(problems), hint)


def choose(ready: Iterable[Step], left: Left, count: int, need_of: Callable[[Step], Need]) -> list[Step]:
    """Return up to `count` of the ready steps that fit in what is left, first ones first.

    The first one that does not fit keeps what it needs reserved, so that those behind it cannot starve it; they may take the
    rest.
    """
    chosen: list[Step] = []
    is_reserved = False
    for step in ready:
        if len(chosen) >= count or left.cpus < 1:
            break
        need = need_of(step)
        if left.fits(need):
            chosen.append(step)
            left.take(need)
        elif not is_reserved:
            is_reserved = True
            left.take(need)
    return chosen


def share(count: int, load: Mapping[int, int]) -> tuple[int, ...]:
    """Return the `count` least loaded ones of what `load` counts (processors, GPUs), all where there are fewer."""
    return tuple(sorted(sorted(load, key=lambda one: (load[one], one))[:count]))


def size(number: int) -> str:
    """Return a number of bytes for people: `1.5 GiB`."""
    for unit, one in (("GiB", 1 << 30), ("MiB", 1 << 20)):
        if number >= one:
            return f"{number / one:.3g} {unit}"
    return f"{number:,} bytes"


def total(needs: Iterable[Need], whole: Sequence[int]) -> Left:
    """Return what is left of `whole` (processors, GPUs) beside `needs`."""
    left = Left(*whole)
    for need in needs:
        left.take(need)
    return left
