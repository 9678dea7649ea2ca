"""The Collector's layers as data: load one, merge a documented combination, write the runnable files.

The merge is the Collector's own: maps key by key, anything else replaced. `python -m tests.collector_config.layers`
from the checkout rewrites `collector-config/{dev,production,scale-out}.yaml` after a layer was edited.
"""

from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parents[2] / "collector-config"
Config = dict[str, Any]


def load(layer: str) -> Config:
    """One layer as it stands in the file."""
    return yaml.safe_load(path_of(layer).read_text())


def path_of(layer: str) -> Path:
    """Where a layer lives: the base at the top, the others in layers/."""
    return FOLDER / "base.yaml" if layer == "base" else FOLDER / "layers" / f"{layer}.yaml"


def shapes() -> dict[str, list[str]]:
    """Every documented combination by name, its layers in order."""
    return {name: shape["layers"] for name, shape in yaml.safe_load((FOLDER / "shapes.yaml").read_text()).items()}


def runnable_files() -> dict[str, str]:
    """File name to the shape that it holds."""
    listed = yaml.safe_load((FOLDER / "shapes.yaml").read_text())
    return {shape["file"]: name for name, shape in listed.items() if "file" in shape}


def merged(layers: list[str]) -> Config:
    """The configuration the Collector sees for `--config` of these layers in this order."""
    config: Config = {}
    for layer in layers:
        config = merge(config, load(layer))
    return config


def rendered(shape: str) -> str:
    """The text of a shape's runnable file."""
    layers = shapes()[shape]
    header = (
        f"# Made from {' + '.join(layers)}: the reasons stand there. Edit those, then run\n"
        "#   python -m tests.collector_config.layers\n"
    )
    return header + yaml.dump(merged(layers), Dumper=_Plain, sort_keys=False, width=120)


def list_paths(config: Config, prefix: str = "") -> set[str]:
    """Paths of all lists: what a later layer replaces instead of extending."""
    found: set[str] = set()
    for key, value in config.items():
        if isinstance(value, dict):
            found |= list_paths(value, f"{prefix}{key} > ")
        elif isinstance(value, list):
            found.add(f"{prefix}{key}")
    return found


def merge(under: Config, over: Config) -> Config:
    """`over` merged over `under`, as the Collector does it."""
    both = {**under, **over}
    for key in under.keys() & over.keys():
        if isinstance(under[key], dict) and isinstance(over[key], dict):
            both[key] = merge(under[key], over[key])
    return both


class _Plain(yaml.SafeDumper):
    """Writes no anchors, so that each section can be read by itself."""

    def ignore_aliases(self, data: object) -> bool:
        return True


if __name__ == "__main__":
    for file_name, shape_name in runnable_files().items():
        (FOLDER / file_name).write_text(rendered(shape_name))
