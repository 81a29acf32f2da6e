"""PyTorch modules, directly: the ATen operators that torch.export finds in them, as the plain graph.

Where torch.export cannot look through a module (one that assigns `weight.data` in forward, as many binary layers do),
one run on the example is recorded instead, operator by operator, and a second one on other numbers, which has to be
alike.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from bnnengine.convert.answers import Run
from bnnengine.convert.ir import Array, Net
from bnnengine.convert.torch_ops import Writer
from bnnengine.errors import ConvertError

DECIDED = (
    "its operators depend on the numbers of the input: it takes some out of tensors (.item(), .numpy(), an if), "
    "or reads a view of what it changed in place: write that with tensors alone, or register what stands for such a "
    "module (bnnengine.convert.register)"
)
_REPLACEMENTS: dict[type, Callable[[Any], torch.nn.Module]] = {}


def register(kind: type, make: Callable[[Any], torch.nn.Module] | None) -> None:
    """Says what stands for modules of a kind: `make(module)`, a module of plain operators that answers as it does.

    Args:
        kind: a subclass of torch.nn.Module; instances of just this class are replaced, in a copy, before the export.
        make: None takes the registration back.
    """
    if make is None:
        _REPLACEMENTS.pop(kind, None)
    else:
        _REPLACEMENTS[kind] = make


def read(module: torch.nn.Module, example: Any) -> Net:
    """The module's net for one sample of the example's shapes.

    Args:
        module: left as it is; a copy of it is exported, in evaluation mode.
        example: a float32 tensor or array, or a tuple of them, the batch first.

    Raises:
        ConvertError: the module cannot be run on the example, or uses operators that are not known.
    """
    given = example if isinstance(example, (tuple, list)) else (example,)
    try:
        inputs = tuple(torch.as_tensor(x)[:1].clone().detach() for x in given)
    except Exception as error:  # whatever was given
        raise ConvertError(
            f"example: got {type(example).__name__}, wanted a tensor or a tuple of them: {error}"
        ) from None
    ready = _prepared(module)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        try:
            ready(*(x.clone() for x in inputs))
        except Exception as error:  # a user's own code
            raise ConvertError(f"example: the module does not run on it: {error}") from error
        try:
            program = torch.export.export(ready, tuple(x.clone() for x in inputs), strict=False)
            # what an assignment to .data asks; the assignment itself is lost
            if any("_has_compatible_shallow_copy_type" in str(node.target) for node in program.graph.nodes):
                return _recorded(ready, inputs)
            program = program.run_decompositions({})
        except ConvertError:
            raise
        except Exception:  # torch.export refuses in many ways
            return _recorded(ready, inputs)
    return _exported(program, inputs)


def runner(module: torch.nn.Module) -> tuple[Run, str]:
    """The module itself."""
    ready = _prepared(module, replaced=False)
    kind = next((p.dtype for p in ready.parameters() if p.is_floating_point()), torch.float32)

    def run(inputs: Mapping[str, Array]) -> list[Array]:
        try:
            with torch.no_grad():
                made = ready(*(torch.from_numpy(np.array(x)).to(kind) for x in inputs.values()))
        except Exception as error:  # a user's own code
            raise ConvertError(f"PyTorch cannot run it on the samples: {error}") from None
        return [y.double().numpy() for y in _tensors(made)]

    return run, f"PyTorch {torch.__version__}"


def _prepared(module: torch.nn.Module, *, replaced: bool = True) -> torch.nn.Module:
    """A copy in evaluation mode, on the CPU, without gradients."""
    if isinstance(module, torch.jit.ScriptModule):
        raise ConvertError("a scripted or traced module: wanted the one that it was made of, or export it to ONNX")
    try:
        ready = copy.deepcopy(module).eval().cpu()
    except Exception as error:  # a user's own code
        raise ConvertError(f"{type(module).__name__}: cannot be copied: {error}") from error
    for parameter in ready.parameters():
        parameter.requires_grad_(False)
    if replaced and type(ready) in _REPLACEMENTS:
        return _REPLACEMENTS[type(ready)](ready).eval()
    for path, part in list(ready.named_modules()) if replaced else []:
        if path and type(part) in _REPLACEMENTS:
            parent, _, name = path.rpartition(".")
            setattr(ready.get_submodule(parent), name, _REPLACEMENTS[type(part)](part).eval())
    return ready


def _tensors(made: Any) -> list[Any]:
    """Of a module's answer."""
    if isinstance(made, torch.Tensor):
        return [made]
    values = made.values() if isinstance(made, dict) else made if isinstance(made, (tuple, list)) else None
    found = None if values is None else [tensor for value in values for tensor in _tensors(value)]
    if not found:
        raise ConvertError(f"the module gives a {type(made).__name__}, wanted tensors")
    return found


def _exported(program: Any, inputs: tuple[torch.Tensor, ...]) -> Net:
    writer, names = Writer(), iter(range(len(inputs)))
    state = {**program.state_dict, **program.constants}
    targets = {spec.arg.name: spec.target for spec in program.graph_signature.input_specs if hasattr(spec.arg, "name")}
    outputs: list[str] = []
    for node in program.graph.nodes:
        if node.op == "placeholder" and targets.get(node.name) in state:
            writer.constant(node.name, state[targets[node.name]])
        elif node.op == "placeholder":
            writer.net.inputs[node.name] = tuple(inputs[next(names)].shape)
        elif node.op == "call_function":
            stack = node.meta.get("nn_module_stack", {})
            path = next(reversed(stack.values()))[0] if stack else ""
            writer.call(node.target, node.args, node.kwargs, node.name, str(path))
        elif node.op == "output":
            told = zip(node.args[0], program.graph_signature.output_specs, strict=True)
            # before them stand inputs and buffers that forward changes in place
            outputs = [writer.name(value) for value, spec in told if spec.kind.name == "USER_OUTPUT"]
    writer.net.outputs = outputs
    return writer.net


class _Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Writes down what is computed, by what tensors are in memory; nothing is freed meanwhile, so places are names."""

    def __init__(self, inputs: tuple[torch.Tensor, ...]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.writer, self.names, self.kept = Writer(), dict[Any, str](), list(inputs)
        for number, x in enumerate(inputs):
            self.names[_place(x)] = f"input_{number}"
            self.writer.net.inputs[f"input_{number}"] = tuple(x.shape)
        self.moving = set(self.writer.net.inputs)  # what depends on the inputs

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Runs the operator, and writes it down."""
        named_args = torch.utils._pytree.tree_map_only(torch.Tensor, self.name, args)
        named_kwargs = torch.utils._pytree.tree_map_only(torch.Tensor, self.name, kwargs or {})
        made = function(*args, **(kwargs or {}))
        results = [y for y in (made if isinstance(made, (tuple, list)) else (made,)) if isinstance(y, torch.Tensor)]
        given = {x.name for x in torch.utils._pytree.tree_leaves((named_args, named_kwargs)) if isinstance(x, _Named)}
        if not results:
            if self.moving & given and function._schema.name in ("aten::_local_scalar_dense", "aten::equal"):
                raise ConvertError(f"the module: {DECIDED}")
            return made
        name = f"{function.__name__}_{len(self.kept)}"
        self.writer.call(function, named_args, named_kwargs, name, "")
        self.kept += results
        for number, y in enumerate(results):
            if function._schema.is_mutable:  # views of what was there before are stale now
                self.names = {p: n for p, n in self.names.items() if p[0] != _place(y)[0]}
            self.names[_place(y)] = f"{name}:{number}" if isinstance(made, (tuple, list)) else name
            if self.moving & given:
                self.moving.add(self.names[_place(y)])
        return made

    def name(self, x: torch.Tensor) -> Any:
        """A tensor that nobody made is a constant."""
        place = _place(x)
        if place not in self.names:
            self.names[place] = f"constant_{len(self.kept)}"
            self.kept.append(x)
            self.writer.constant(self.names[place], x)
        return _Named(self.names[place], tuple(x.shape))


class _Named:
    """What stands for a tensor in recorded arguments."""

    def __init__(self, name: str, shape: tuple[int, ...]) -> None:
        self.name, self.shape = name, shape


def _place(x: torch.Tensor) -> Any:
    return x.untyped_storage().data_ptr(), x.storage_offset(), tuple(x.shape), tuple(x.stride()), x.dtype


def _recorded(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> Net:
    """The net of a run, which must not hold numbers that the input decided."""
    net = _run(module, inputs)
    other = _run(module, tuple(0.5 - 2 * x if x.is_floating_point() else x.flip(0) for x in inputs))
    if [str(op) for op in net.ops] != [str(op) for op in other.ops] or not _same_constants(net, other):
        raise ConvertError(f"the module: two recorded runs differ: {DECIDED}")
    return net


def _same_constants(net: Net, other: Net) -> bool:
    return net.constants.keys() == other.constants.keys() and all(
        np.array_equal(x, other.constants[name], equal_nan=x.dtype.kind == "f") for name, x in net.constants.items()
    )


def _run(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> Net:
    own = tuple(x.clone() for x in inputs)
    recorder = _Recorder(own)
    with recorder:
        made = module(*own)
    recorder.writer.net.outputs = [recorder.names[_place(y)] for y in _tensors(made)]
    return recorder.writer.net
