"""What a user writes under `strategy:`: how the next version takes the place of the one that serves.

One shape for all: the strategy's name, and under it its fields; where there are steps, they are a list of mappings with one field each.

    strategy: {rolling: {}}

    strategy:
      canary:
        steps: [{weight: 5}, {analyse: 5m}, {weight: 50}, {analyse: 5m}]    # percent; 100 comes by itself after the last
        analysis: {error_rate: {max: 0.01}, p99: {max_ratio: 1.2}}
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from mlops.core.specs import Spec
from mlops.delivery.analyses import Analysis  # noqa: TC001 - pydantic reads the annotations
from mlops.delivery.durations import Duration  # noqa: TC001 - the same

ALL = 100.0  # percent


def _hundredths(value: float) -> float:
    if round(value, 2) != value:
        message = f"{value:g} is finer than a proxy can part traffic: two decimals at most"
        raise ValueError(message)
    return value


Percent = Annotated[float, Field(ge=0, le=ALL), AfterValidator(_hundredths)]


class Header(Spec):
    """Requests with this header go to the candidate, whatever the weight."""

    name: str = Field(pattern=r"^[A-Za-z0-9-]{1,64}$", description="Name of the header, such as x-canary")
    value: str = Field(default="always", pattern=r"^[A-Za-z0-9_.-]{1,64}$", description="Its value")


class Call(Spec):
    """A program of yours, or a URL that is posted to; both are told project, rollout, versions, step and weight."""

    command: tuple[str, ...] | None = Field(default=None, min_length=1, description="Program and arguments; 0 is yes")
    url: str | None = Field(default=None, pattern=r"^https?://\S+$", description="Posted to as JSON; 2xx is yes")
    timeout: Annotated[Duration, Field(gt=0, le=60)] = Field(default=30.0, description="How long an answer may take")

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if (self.command is None) == (self.url is None):
            message = "give `command` or `url`, one of them"
            raise ValueError(message)
        return self


class Gate(Call):
    """Asked again and again until it says yes."""

    interval: Annotated[Duration, Field(ge=1)] = Field(default=10.0, description="Between two questions")


class Hook(Call):
    """Called once when the delivery comes here; after a kill maybe once more."""

    required: bool = Field(default=True, description="Whether a no aborts the delivery")


class Step(Spec):
    """One step; exactly one of the fields."""

    weight: Percent | None = Field(default=None, description="Percent of the requests that the candidate answers from here on")
    pause: Duration | Literal["promoted"] | None = Field(
        default=None, description="Wait so long; promoted: until a person says so"
    )
    analyse: Duration | None = Field(default=None, description="Wait so long, and until every metric of the analysis passes")
    header: Header | None = Field(default=None, description="Requests with this header go to the candidate from here on")
    mirror: Percent | None = Field(
        default=None, description="Percent of the stable version's requests that are copied to the candidate from here on"
    )
    scale: Annotated[int, Field(ge=1, le=64)] | Literal["match"] | None = Field(
        default=None, description="Replicas of the candidate from here on; match: as many as its weight needs"
    )
    gate: Gate | None = Field(default=None, description="Go on when a program or a URL says yes")
    hook: Hook | None = Field(default=None, description="Tell a program or a URL")

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        given = [name for name in type(self).model_fields if getattr(self, name) is not None]
        if len(given) != 1:
            said = " and ".join(f"`{name}`" for name in given) or "nothing"
            message = f"a step has one field, and this one has {said}; the fields are {', '.join(type(self).model_fields)}"
            raise ValueError(message)
        return self

    @property
    def verb(self) -> str:
        """The one field that is given."""
        return next(name for name in type(self).model_fields if getattr(self, name) is not None)

    @property
    def wait(self) -> float:
        """Seconds that the step takes at least."""
        return self.analyse or (self.pause if isinstance(self.pause, float) else 0.0)


class Common(Spec):
    """What every strategy has."""

    deadline: Annotated[Duration, Field(gt=0)] = Field(
        default=86400.0, description="The delivery aborts when it is not done by then, pauses included"
    )
    progress_deadline: Annotated[Duration, Field(gt=0)] = Field(
        default=600.0, description="It aborts when nothing moved for so long: no replica became ready, no route was seen"
    )
    scale_down_delay: Duration = Field(default=30.0, description="How long the old version stays up after the last switch")
    max_deaths: int = Field(default=0, ge=0, description="It aborts when more replicas of the candidate died than this")


class Recreate(Common):
    """The old version ends before the new one begins: requests fail in between. For what cannot run twice."""


class Rolling(Common):
    """Replica by replica: some new ones, their share of the requests, then as many old ones end."""

    batch: int = Field(
        default=1, ge=1, le=64, description="Replicas that change at a time, and how many there may be above `replicas`"
    )


class Stepwise(Common):
    """What strategies with steps have."""

    steps: tuple[Step, ...] = Field(
        default=(), description="What happens on the way, in order; after the last, all goes to the candidate"
    )
    analysis: Analysis | None = Field(default=None, description="What must hold from the first traffic on")


class BlueGreen(Stepwise):
    """The whole candidate stands beside the old version, then everything is switched at once; steps after {weight: 100} watch it."""


class Canary(Stepwise):
    """A growing share of the requests goes to the candidate."""


class Shadow(Stepwise):
    """The candidate answers copies of requests, which nobody sees, before everything is switched at once."""


class Strategy(Spec):
    """Exactly one of the strategies; an env file that chooses another sets the first to null."""

    recreate: Recreate | None = Field(
        default=None, description="End the old version, then begin the new one; requests fail in between"
    )
    rolling: Rolling | None = Field(default=None, description="Replica by replica")
    blue_green: BlueGreen | None = Field(default=None, description="Both stand whole, then one switch")
    canary: Canary | None = Field(default=None, description="A growing share of the requests")
    shadow: Shadow | None = Field(default=None, description="Copies of requests first, then one switch")

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        given = [name for name in type(self).model_fields if getattr(self, name) is not None]
        if len(given) != 1:
            said = " and ".join(f"`{name}`" for name in given) or "none"
            message = f"give one strategy of {', '.join(type(self).model_fields)}; here is {said} (null takes one away)"
            raise ValueError(message)
        return self

    @property
    def name(self) -> str:
        """The one that is given."""
        return next(name for name in type(self).model_fields if getattr(self, name) is not None)

    @property
    def chosen(self) -> Common:
        """Its fields."""
        chosen: Common = getattr(self, self.name)
        return chosen

    @property
    def steps(self) -> tuple[Step, ...]:
        """Its steps; none where it has no such field."""
        return self.chosen.steps if isinstance(self.chosen, Stepwise) else ()

    @property
    def analysis(self) -> Analysis | None:
        """Its analysis; None where it has no such field."""
        return self.chosen.analysis if isinstance(self.chosen, Stepwise) else None
