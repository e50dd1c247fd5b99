"""Rendered objects with the lines where their parts stand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from renecinfra.errors import Location
from renecinfra.rendering import Bundle


@dataclass(frozen=True)
class Manifest:
    """One object; ``path`` is its file below the build directory."""

    path: str
    data: Mapping[str, Any]
    node: yaml.MappingNode

    @property
    def kind(self) -> str:
        """Its kind."""
        return str(self.data.get("kind", ""))

    @property
    def namespace(self) -> str:
        """Its namespace, empty where none is said."""
        return str((self.data.get("metadata") or {}).get("namespace") or "")

    @property
    def label(self) -> str:
        """``Kind namespace/name``."""
        name = (self.data.get("metadata") or {}).get("name", "")
        return f"{self.kind} {self.namespace + '/' if self.namespace else ''}{name}"

    def at(self, path: Sequence[str | int]) -> Location:
        """Where a part of it is, or the nearest part around it that is there."""
        node: yaml.Node = self.node
        for step in path:
            below = _below(node, step)
            if below is None:
                break
            node = below
        return Location(self.path, node.start_mark.line + 1, node.start_mark.column + 1)


def _below(node: yaml.Node, step: str | int) -> yaml.Node | None:
    if isinstance(node, yaml.MappingNode):
        return next((value for key, value in node.value if key.value == step), None)
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        item: yaml.Node = node.value[step]
        return item
    return None


class _Loader(yaml.SafeLoader):
    """YAML as charts write it: `=` is a text."""


def _text(loader: _Loader, node: yaml.ScalarNode) -> Any:
    return loader.construct_scalar(node)


_Loader.add_constructor("tag:yaml.org,2002:value", _text)


def manifests(bundle: Bundle) -> Iterator[Manifest]:
    """Every Kubernetes object among rendered files; YAML that is none is passed over."""
    for path, file in sorted(bundle.items()):
        if not path.endswith((".yaml", ".yml")):
            continue
        loader = _Loader(file.text)
        try:
            while loader.check_node():
                node = loader.get_node()
                data = loader.construct_document(node)
                if isinstance(node, yaml.MappingNode) and {"apiVersion", "kind"} <= set(data):
                    yield Manifest(path, data, node)
        finally:
            loader.dispose()
