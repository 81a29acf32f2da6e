"""Where networks come from: by a file's suffix, or a PyTorch module. Each kind has a room with `read`, and some have
`runner`, what runs the source itself, and `size`; it is imported when it is first needed."""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path
from typing import Any

from bnnengine.convert import answers, ir
from bnnengine.errors import ConvertError

ROOMS = {".onnx": "onnx", ".tflite": "tflite", ".h5": "larq", ".keras": "larq"}
PICKLES = (".pt", ".pth", ".ckpt", ".bin", ".pkl")


def is_module(source: Any) -> bool:
    """Whether it is a PyTorch module; told without importing PyTorch."""
    return any(
        f"{kind.__module__}.{kind.__name__}" == "torch.nn.modules.module.Module" for kind in type(source).__mro__
    )


def label(source: Any) -> str:
    """The source's name in messages."""
    return type(source).__name__ if is_module(source) else Path(source).name


def _room(source: Any) -> Any:
    if is_module(source):
        return import_module("bnnengine.convert.torch")
    if not isinstance(source, (str, os.PathLike)):
        raise ConvertError(f"source: got {type(source).__name__}, wanted a path or a torch.nn.Module")
    path = Path(source)
    suffix = path.suffix.lower()
    if suffix in PICKLES:
        raise ConvertError(f"{path.name}: a pickle may run code when it is read: load it yourself, and give the module")
    if suffix not in ROOMS:
        raise ConvertError(f"{path.name}: wanted a file of {', '.join(ROOMS)}, or a torch.nn.Module")
    return import_module(f"bnnengine.convert.{ROOMS[suffix]}")


def read(source: Any, example: Any = None) -> ir.Net:
    """The source's net, as it stands there.

    Raises:
        ConvertError: it is of no kind that is taken, or cannot be read.
    """
    room = _room(source)
    if not is_module(source):
        return room.read(Path(source))  # type: ignore[no-any-return]
    if example is None:
        raise ConvertError("example: wanted an input of the module, torch.randn(1, 3, 224, 224) or the like")
    return room.read(source, example)  # type: ignore[no-any-return]


def runner(source: Any, net: ir.Net) -> tuple[answers.Run, str]:
    """The source itself where what runs it is installed, or else its net as NumPy reads it."""
    run = getattr(_room(source), "runner", None)
    found = None if run is None else run(source if is_module(source) else Path(source))
    return found or answers.by_numpy(net)


def size(source: Any) -> int:
    """Bytes of the source's files; 0 for a module."""
    if is_module(source):
        return 0
    room = _room(source)
    return int(room.size(Path(source)) if hasattr(room, "size") else Path(source).stat().st_size)
