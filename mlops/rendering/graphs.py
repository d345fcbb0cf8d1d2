"""The graph of resources as a text tree, and in the languages of Graphviz and Mermaid."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence


def _marked(address: str, signs: Mapping[str, str]) -> str:
    """Return the address, with the plan's sign before it where it changes."""
    return f"{signs[address]} {address}" if address in signs else address


def tree(needs: Mapping[str, Sequence[str]], signs: Mapping[str, str]) -> str:
    """Return every resource that nothing needs, with what it needs below it; what was shown already ends in `…`."""
    needed = {one for others in needs.values() for one in others}
    shown: set[str] = set()
    tops = [address for address in sorted(needs) if address not in needed]
    return "\n".join(line for top in tops for line in _branch(top, needs, signs, shown))


def _branch(top: str, needs: Mapping[str, Sequence[str]], signs: Mapping[str, str], shown: set[str]) -> Iterator[str]:
    """Yield the lines of one tree; a stack instead of recursion, since chains may be longer than Python's stack."""
    stack: list[tuple[str, str, str]] = [(top, "", "")]
    while stack:
        address, head, tail = stack.pop()
        below = sorted(needs.get(address, ()))
        is_repeated = address in shown and bool(below)
        yield f"{head}{_marked(address, signs)}{' …' if is_repeated else ''}"
        if is_repeated:
            continue
        shown.add(address)
        for index, one in reversed(list(enumerate(below))):
            is_last = index == len(below) - 1
            stack.append((one, f"{tail}{'└─ ' if is_last else '├─ '}", f"{tail}{'   ' if is_last else '│  '}"))


def dot(needs: Mapping[str, Sequence[str]], signs: Mapping[str, str]) -> str:
    """Return the graph for Graphviz; an arrow goes from what is read to who reads it."""
    nodes = [f'  "{address}"{_label(address, signs)};' for address in sorted(needs)]
    edges = [f'  "{one}" -> "{address}";' for address in sorted(needs) for one in sorted(needs[address])]
    return "\n".join(["digraph mlops {", "  rankdir=LR;", "  node [shape=box];", *nodes, *edges, "}"])


def _label(address: str, signs: Mapping[str, str]) -> str:
    return f' [label="{_marked(address, signs)}"]' if address in signs else ""


def mermaid(needs: Mapping[str, Sequence[str]], signs: Mapping[str, str]) -> str:
    """Return the graph for Mermaid, which GitHub draws in markdown."""
    numbers = {address: f"n{index}" for index, address in enumerate(sorted(needs))}
    nodes = [f'  {number}["{_marked(address, signs)}"]' for address, number in numbers.items()]
    edges = [
        f"  {numbers[one]} --> {numbers[address]}"
        for address in sorted(needs)
        for one in sorted(needs[address])
        if one in numbers
    ]
    return "\n".join(["flowchart LR", *nodes, *edges])
