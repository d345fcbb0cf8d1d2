"""Addresses: the one name of a resource, `kind.name`, and references to its outputs, `kind.name/output`.

An address is the YAML file `conf/<kind>/<name>.yaml`, the override prefix, the key in the state and the field in the log.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Self

from pydantic_core import PydanticCustomError, core_schema

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
    from pydantic.json_schema import JsonSchemaValue

NAME = r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*"
NAME_LENGTH = 40

_name = re.compile(NAME)
_reference = re.compile(rf"({NAME})\.({NAME})(?:/([a-z][a-z0-9_]*))?")


def is_name(text: str) -> bool:
    """Tell whether `text` may name a kind or a resource: `[a-z][a-z0-9]*(-[a-z0-9]+)*`, at most 40 characters."""
    return len(text) <= NAME_LENGTH and _name.fullmatch(text) is not None


class _Text(str):
    """A checked string that pydantic validates from, and writes as, plain text."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return `text` as this type; raise ValueError with the expected form otherwise."""
        raise NotImplementedError

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        def check(text: str) -> _Text:
            try:
                return cls.parse(text)
            except ValueError as error:
                code = "reference"
                message = "{reason}"
                raise PydanticCustomError(code, message, {"reason": str(error)}) from None

        return core_schema.no_info_after_validator_function(
            check, core_schema.str_schema(), serialization=core_schema.to_string_ser_schema()
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, _schema: core_schema.CoreSchema, _handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"type": "string"}


class Address(_Text):
    """`kind.name`."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the address written as `text`; raise ValueError where it is none."""
        match = _reference.fullmatch(text)
        if match is None or match[3] is not None or not is_name(match[2]):
            message = f"'{text}' is no address: write kind.name, for example model.credit"
            raise ValueError(message)
        return cls(text)

    @classmethod
    def of(cls, kind: str, name: str) -> Self:
        """Join the two parts."""
        return cls(f"{kind}.{name}")

    @property
    def kind(self) -> str:
        """The part before the dot."""
        return self.partition(".")[0]

    @property
    def name(self) -> str:
        """The part after the dot."""
        return self.partition(".")[2]


class Ref(_Text):
    """A field that points at another resource, or at one named output of it: `dataset.credit/train`."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the reference written as `text`; raise ValueError where it is none."""
        match = _reference.fullmatch(text)
        if match is None or not is_name(match[2]):
            message = f"'{text}' is no reference: write kind.name or kind.name/output, for example dataset.credit/train"
            raise ValueError(message)
        return cls(text)

    @property
    def address(self) -> Address:
        """The resource that is pointed at."""
        return Address(self.partition("/")[0])

    @property
    def output(self) -> str | None:
        """The named output, or None where the whole resource is meant."""
        return self.partition("/")[2] or None

    def to(self, output: str) -> Ref:
        """Return the reference to `output` of the same resource."""
        return Ref(f"{self.address}/{output}")
