"""Trees of YAML that nobody could walk: aliases that lead back to themselves, or to too much; kubectl refuses both."""

from __future__ import annotations

from collections.abc import Iterable

from ruamel.yaml.nodes import MappingNode, Node, SequenceNode

# Far above what a text of a quarter of a MiB has without aliases.
_MOST_NODES = 1 << 20


class UnboundedError(Exception):
    """Carries what is wrong and the node where."""

    def __init__(self, problem: str, node: Node) -> None:
        super().__init__(problem)
        self.problem, self.node = problem, node


def require_bounded(nodes: Iterable[Node]) -> None:
    """Do nothing for trees of a size that can be walked, each alias as often as it is met.

    Raises:
        UnboundedError: a node is in itself, or there are too many.
    """
    sizes: dict[int, int] = {}
    for node in nodes:
        _size(node, sizes)


def _size(node: Node, sizes: dict[int, int]) -> int:
    known = sizes.get(id(node))
    if known == 0:
        raise UnboundedError("an alias inside its own anchor", node)
    if known is not None:
        return known
    sizes[id(node)] = 0
    inner = (
        node.value
        if isinstance(node, SequenceNode)
        else [each for pair in node.value for each in pair]
        if isinstance(node, MappingNode)
        else []
    )
    size = 1 + sum(_size(each, sizes) for each in inner)
    if size > _MOST_NODES:
        raise UnboundedError("too many aliases of aliases", node)
    sizes[id(node)] = size
    return size
