"""Keras' files, HDF5 ones and zips: the description of a network, and its weights; read without Keras and h5py.

`.h5` is what `model.save` writes as HDF5: attribute model_config, and for each layer a group of weights by their names.
`.keras` is a zip of config.json and model.weights.h5, in which weights are numbered and layers named by their classes.
Nothing in a file is trusted; hdf5.py says how.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bnnengine.convert import hdf5
from bnnengine.convert.ir import Array
from bnnengine.errors import ConvertError

MOST_CONFIG = 1 << 26  # bytes of a description
LAYERS = (
    "layers",
    "_layer_checkpoint_dependencies",
)  # where a .keras file keeps a model's layers: now, and before 2.13


class Place:
    """Where a layer stands: its name and the names of the models around it, and the group of a `.keras` file."""

    def __init__(self, names: tuple[str, ...] = (), group: str = "") -> None:
        """The whole model, without arguments."""
        self.names, self.group = names, group

    def inside(self, layers: Sequence[tuple[str, str]]) -> list[Place]:
        """The places of a model's layers, from their class names and names."""
        seen: Counter[str] = Counter()
        places = []
        for kind, name in layers:
            short = _snake_case(kind)
            key = f"{short}_{seen[short]}" if seen[short] else short
            seen[short] += 1
            places.append(Place((*self.names, name), f"{self.group}/layers/{key}"))
        return places

    def __str__(self) -> str:
        """For messages."""
        return "/".join(self.names)


def _snake_case(name: str) -> str:
    """As Keras makes a group's name of a class'."""
    name = re.sub(r"\W+", "", name)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()


class Weights:
    """Arrays of a file, by their paths in it."""

    def __init__(self, arrays: dict[str, Array], *, numbered: bool) -> None:
        """`numbered`: a `.keras` file's, whose paths end in vars/0, vars/1."""
        self.arrays, self.numbered = arrays, numbered

    def of(self, place: Place, names: Sequence[str]) -> list[Array]:
        """The arrays of a layer that has just these, in Keras' order.

        Raises:
            ConvertError: one is missing, or there are several.
        """
        if self.numbered:
            return [self._numbered(place, i, name) for i, name in enumerate(names)]
        return [self._named(place, name) for name in names]

    def _numbered(self, place: Place, i: int, name: str) -> Array:
        for kept in LAYERS:
            found = self.arrays.get(f"{place.group.replace('/layers/', f'/{kept}/')}/vars/{i}".strip("/"))
            if found is not None:
                return found
        raise ConvertError(f"weights: {name}: the file has no {place.group.strip('/')}/vars/{i}")

    def _named(self, place: Place, name: str) -> Array:
        """In the group of the outermost model; a path there holds the layer's name, and at times its models'."""
        outer, *inner = place.names
        found = [
            f"/{path}"
            for path in self.arrays
            if path.startswith(f"{outer}/") and path.rsplit("/", 1)[-1].partition(":")[0] == name
        ]
        for depth, part in enumerate(reversed(inner)):
            if depth == 0 or len(found) > 1:
                found = [path for path in found if f"/{part}/" in path[1 + len(outer) :]]
        if len(found) > 1:  # one layer's name may be the start of another's: block, block/conv
            found = [path for path in found if path.startswith(f"/{outer}/{place.names[-1]}/{name}")]
        if len(found) != 1:
            raise ConvertError(f"weights: {name}: got {len(found)} arrays of this name, wanted 1")
        return self.arrays[found[0][1:]]


def load(path: Path) -> tuple[dict[str, Any], Weights, int]:
    """The description of a file's network, its weights, and the number of the Keras that wrote it, 2 or 3.

    Raises:
        ConvertError: no file of these kinds, or a damaged one.
    """
    data = path.read_bytes()
    try:
        if data[:4] == b"PK\x03\x04":
            with zipfile.ZipFile(io.BytesIO(data)) as file:
                config, about = (_parsed(_member(file, f"{name}.json")) for name in ("config", "metadata"))
                weights = Weights(hdf5.File(_member(file, "model.weights.h5")).arrays(), numbered=True)
                return config, weights, _first_number(about.get("keras_version"))
        whole = hdf5.File(data)
        text, group = whole.attribute("model_config"), whole.group("model_weights")
        if not isinstance(text, bytes) or group is None:
            raise ConvertError("it has no model_config and model_weights: save the whole model, not its weights alone")
        weights = Weights(whole.arrays(group), numbered=False)
        return _parsed(text), weights, _first_number(whole.attribute("keras_version"))
    except ConvertError as error:
        raise ConvertError(f"{path.name}: {error}") from None
    except Exception as error:  # zipfile, zlib and json raise many kinds
        raise ConvertError(f"{path.name}: not a Keras file that can be read: {error!r}") from None


def _member(file: zipfile.ZipFile, name: str) -> bytes:
    """A file in a zip, which Keras stores and does not press."""
    info = file.getinfo(name)
    if info.file_size > 64 * info.compress_size + (1 << 20):
        raise ConvertError(f"{name}: it unpacks to {info.file_size} bytes from {info.compress_size}")
    return file.read(info)


def _first_number(version: Any) -> int:
    """Of 2.15.0, and of files that do not say, 2."""
    text = version.decode("utf-8", "replace") if isinstance(version, bytes) else str(version)
    return 3 if text.startswith("3") else 2


def _parsed(text: bytes) -> dict[str, Any]:
    if len(text) > MOST_CONFIG:
        raise ConvertError(f"description: {len(text)} bytes, wanted fewer")
    config = json.loads(text)
    if not isinstance(config, dict):
        raise ConvertError("description: wanted an object")
    return config
