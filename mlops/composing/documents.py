"""Documents: one YAML file in OmegaConf's dialect, read by libyaml; the first stop of composing.

OmegaConf reads YAML with PyYAML's pure-Python loader, seven times slower than libyaml. Here libyaml makes the nodes and
`_Loader` turns them into the values that OmegaConf would have read: `1e-3` is a float, a date stays text, a doubled key
is an error. Nodes know their place, so the places of all values come from the same parser (`places`).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

import yaml
from omegaconf.errors import GrammarParseError
from omegaconf.grammar_parser import parse as parse_grammar
from yaml.constructor import ConstructorError, SafeConstructor
from yaml.nodes import MappingNode, ScalarNode, SequenceNode

from mlops.core.diagnostics import Diagnostic, Origin

if TYPE_CHECKING:
    from collections.abc import Iterator

STRING = "tag:yaml.org,2002:str"
BOOLEAN = "tag:yaml.org,2002:bool"
MERGE = "tag:yaml.org,2002:merge"
MAPPING = "tag:yaml.org,2002:map"
SEQUENCE = "tag:yaml.org,2002:seq"

# The float of YAML 1.2, as OmegaConf has it.
_FLOAT = re.compile(
    r"""^(?:
     [-+]?[0-9]+(?:_[0-9]+)*\.[0-9_]*(?:[eE][-+]?[0-9]+)?
    |[-+]?[0-9]+(?:_[0-9]+)*(?:[eE][-+]?[0-9]+)
    |\.[0-9]+(?:_[0-9]+)*(?:[eE][-+][0-9]+)?
    |[-+]?[0-9]+(?:_[0-9]+)*(?::[0-5]?[0-9])+\.[0-9_]*
    |[-+]?\.(?:inf|Inf|INF)
    |\.(?:nan|NaN|NAN))$""",
    re.VERBOSE,
)


# Interpolations that need no parser to be known as well formed.
_WELL_FORMED = re.compile(r"\$\{\.*[A-Za-z_][\w-]*(?:\.[\w-]+)*\}")


_LINK = re.compile(r"\$\{([A-Za-z_][\w-]*(?:\.[\w-]+)*)\}")


class DocumentError(Exception):
    """The text is no document; carries the one diagnostic that says why."""

    def __init__(self, diagnostic: Diagnostic) -> None:
        super().__init__(diagnostic.summary)
        self.diagnostic = diagnostic


class _Loader(yaml.CSafeLoader):
    """libyaml's parser with OmegaConf's rules for plain scalars."""


# Timestamps are not resolved; the extra float stands after the resolvers of YAML 1.1, as add_implicit_resolver would put it.
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith(":timestamp")]
    for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+0123456789."))

_SCALARS = {
    "tag:yaml.org,2002:null": SafeConstructor.construct_yaml_null,
    BOOLEAN: SafeConstructor.construct_yaml_bool,
    "tag:yaml.org,2002:int": SafeConstructor.construct_yaml_int,
    "tag:yaml.org,2002:float": SafeConstructor.construct_yaml_float,
    "tag:yaml.org,2002:binary": SafeConstructor.construct_yaml_binary,
}


MOST = 1_000_000  # values in one document; anchors can multiply a few lines to more than any memory holds


class Reader:
    """Turns the nodes of one file into values; collects warnings-as-errors about values that YAML misread."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.diagnostics: list[Diagnostic] = []
        self._count = 0

    def read(self, text: str) -> Any:
        """Return the value of the document; None for an empty one.

        Raises:
            DocumentError: a syntax error, a doubled key, or a tag that is not known.
        """
        try:
            loader = _Loader(text)
            try:
                node = loader.get_single_node()
                return None if node is None else self._value(loader, node)
            finally:
                loader.dispose()
        except yaml.YAMLError as error:
            raise DocumentError(self._syntax(error, text)) from None
        except RecursionError:
            summary = "the values are nested too deeply, or an anchor contains itself"
            raise DocumentError(Diagnostic("yaml", summary, origin=Origin(self.file, 1, 1), hint="write it flatter")) from None

    def _value(self, loader: _Loader, node: Any) -> Any:
        tag = node.tag
        if tag == STRING:
            return node.value if "${" not in node.value else self._open(node, node)
        if isinstance(node, MappingNode) and tag == MAPPING:
            self._limit(node)
            return self._mapping(loader, node)
        if isinstance(node, SequenceNode) and tag == SEQUENCE:
            self._limit(node)
            return [self._value(loader, item) for item in node.value]
        construct = _SCALARS.get(tag) if isinstance(node, ScalarNode) else None
        if construct is None:
            raise ConstructorError(None, None, f"the tag {tag.replace('tag:yaml.org,2002:', '!!')} is not known", node.start_mark)
        try:
            return construct(loader, node)
        except (ValueError, LookupError, OverflowError):  # an explicit tag on a text that it does not fit
            raise ConstructorError(None, None, f"'{node.value}' does not fit the tag '{tag}'", node.start_mark) from None

    def _limit(self, node: MappingNode | SequenceNode) -> None:
        self._count += len(node.value)
        if self._count > MOST:
            raise ConstructorError(None, None, f"it has more than {MOST:,} values", node.start_mark)

    def _open(self, node: ScalarNode, place: Any) -> str | None:
        """Return the text with its interpolations; what is wrong with them is told at `place`."""
        text: str = node.value
        if "${" in _WELL_FORMED.sub("", text):
            try:
                parse_grammar(text)
            except GrammarParseError:
                what = "is not closed" if text.count("{") > text.count("}") else "cannot be read"
                summary = f"the interpolation {what}: {text}"
                hint = "write ${key.path}; a dollar and a brace as text are \\${"
                self.diagnostics.append(Diagnostic("interpolation", summary, origin=self._place(place), hint=hint))
                return None
        return text

    def _mapping(self, loader: _Loader, node: MappingNode) -> dict[Any, Any]:
        seen: set[str] = set()
        merges = False
        for key, _ in node.value:
            if key.tag == STRING:
                if key.value in seen:
                    raise ConstructorError(None, None, f"the key '{key.value}' is written twice", key.start_mark)
                seen.add(key.value)
            elif key.tag == MERGE:
                merges = True
        if merges:
            loader.flatten_mapping(node)
        result = {}
        for key, value in node.value:
            name = key.value if key.tag == STRING else self._key(loader, key)
            if name == "values" and isinstance(value, SequenceNode):
                self._refuse_booleans(value)
            is_open = value.tag == STRING and "${" in value.value
            result[name] = self._open(value, key) if is_open else self._value(loader, value)
        return result

    def _key(self, loader: _Loader, node: Any) -> Any:
        if not isinstance(node, ScalarNode):
            raise ConstructorError(None, None, "a key must be plain text", node.start_mark)
        return self._value(loader, node)

    def _refuse_booleans(self, node: SequenceNode) -> None:
        for item in node.value:
            if item.tag == BOOLEAN and item.value.lower() not in ("true", "false"):
                read = item.value.lower() in ("yes", "on")
                summary = f"YAML reads {item.value} as the boolean {str(read).lower()}, not as text"
                hint = f'write "{item.value}" with quotes for the text, or {str(read).lower()} for the boolean'
                self.diagnostics.append(Diagnostic("yaml-boolean", summary, origin=self._place(item), hint=hint))

    def _place(self, node: Any) -> Origin:
        return Origin(self.file, node.start_mark.line + 1, node.start_mark.column + 1)

    def _syntax(self, error: yaml.YAMLError, text: str) -> Diagnostic:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error)
        origin = Origin(self.file, mark.line + 1, mark.column + 1) if mark is not None else Origin(self.file, 1, 1)
        if mark is not None and _rest(text, mark).startswith("\t"):
            problem = "a tab stands where only spaces may"
        opened = getattr(error, "context_mark", None)
        where = f"{opened.line + 1}:{opened.column + 1}" if opened is not None else "above"
        told, hint = next(((told or problem, hint) for part, told, hint in _KNOWN if part in problem), (problem, None))
        return Diagnostic("yaml", f"YAML cannot be read: {told}", origin=origin, hint=hint and hint.format(where=where))


def _rest(text: str, mark: yaml.Mark) -> str:
    """Return the line from the mark on."""
    return "".join(text.splitlines()[mark.line : mark.line + 1])[mark.column :]


_KNOWN = (  # a part of the parser's words, ours, and what to do
    ("written twice", None, "remove one of the two"),
    ("more than", None, "write less, or fewer aliases: each one repeats all that its anchor holds"),
    ("a tab", None, "indent with spaces"),
    ("the tag", None, "remove the tag, or put quotes around a text that begins with '!'"),
    (
        "mapping values are not allowed",
        "': ' stands where no key can be",
        "check the indentation, or put quotes around a text that holds ': '",
    ),
    ("expected ',' or", "a bracket is not closed, or a comma is missing", "look at the bracket that opens at {where}"),
    ("expected <block end>", "the line does not fit the lines above it", "check the indentation, brackets and quotes"),
    ("did not find expected key", "the line does not fit the lines above it", "check the indentation, brackets and quotes"),
    ("unexpected end of stream", "a quote is not closed", "look at the quote that opens at {where}"),
    ("another document", "a second document begins", "keep one: each resource has a file of its own"),
    (
        "undefined alias",
        "the alias has no anchor",
        "write its anchor (&name) further up, or put quotes around a text that begins with '*'",
    ),
    ("nesting depth", "the values are nested too deeply", "write it flatter"),
    ("control characters", "the file holds control characters", "is it text? save it as UTF-8"),
    ("cannot start any token", "this character begins no value", "put quotes around the text"),
)


class Spot(NamedTuple):
    """Line and column (1-based), and `target` where the value is `${target}` and nothing else."""

    line: int
    column: int
    link: str | None = None


def places(text: str) -> dict[str, Spot]:
    """Return the place of every value by dotted path; a value in a mapping stands at its key."""
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
    except yaml.YAMLError:
        return {}
    finally:
        loader.dispose()
    found = {"": Spot(1, 1)}
    if node is not None:
        found.update(_places(node, ""))
    return found


def _places(node: Any, path: str) -> Iterator[tuple[str, Spot]]:
    if isinstance(node, MappingNode):
        children = [(key.value, key, value) for key, value in node.value if isinstance(key, ScalarNode)]
    elif isinstance(node, SequenceNode):
        children = [(str(index), item, item) for index, item in enumerate(node.value)]
    else:
        return
    for name, place, value in children:
        below = f"{path}.{name}" if path else name
        link = _LINK.fullmatch(value.value) if isinstance(value, ScalarNode) else None
        yield below, Spot(place.start_mark.line + 1, place.start_mark.column + 1, link[1] if link else None)
        yield from _places(value, below)
