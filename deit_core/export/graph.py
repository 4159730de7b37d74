"""The model as a graph that needs none of this package's code: torch.export, ONNX."""

from __future__ import annotations

import importlib.util
import io
import warnings
from types import ModuleType

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from deit_core.errors import ExportError
from deit_core.export.describe import METADATA_KEY, to_json
from deit_core.records import ExportRecord

EXTRA_FILE = f"{METADATA_KEY}.json"
"""Name of the record inside a .pt2 file."""

_PROTOBUF_LIMIT_BYTES = 2**31 - 1


def trace(model: nn.Module, record: ExportRecord) -> ExportedProgram:
    """The graph of a model in eval mode, for a batch of any size.

    Raises:
        ExportError: torch.export cannot trace this model.
    """
    # Two images: a batch of one would be taken for a constant.
    example = torch.zeros(2, record.in_chans, record.img_size, record.img_size)
    try:
        return torch.export.export(model, (example,), dynamic_shapes=({0: Dim("batch")},))
    except (RuntimeError, ValueError, TypeError, AssertionError) as error:
        raise _cannot("torch.export cannot trace", record, error) from error


def torch_export_file(program: ExportedProgram, record: ExportRecord) -> bytes:
    """A .pt2 file with the record beside the graph."""
    buffer = io.BytesIO()
    torch.export.save(program, buffer, extra_files={EXTRA_FILE: to_json(record)})
    return buffer.getvalue()


def open_torch_export(data: bytes) -> nn.Module:
    """The model in a .pt2 file."""
    return torch.export.load(io.BytesIO(data)).module()


def require_onnx() -> None:
    """Raises ExportError where the exporter's libraries are not installed."""
    missing = [name for name in ("onnx", "onnxscript") if importlib.util.find_spec(name) is None]
    if missing:
        raise ExportError(
            f"ONNX needs {' and '.join(missing)}; run `pip install deit-sweeps[export]`, "
            f"or export --to torch-export"
        )


def onnx_file(program: ExportedProgram, record: ExportRecord) -> bytes:
    """An ONNX file: input `images`, output `logits`, with the record among its metadata.

    Raises:
        ExportError: the exporter cannot translate this model, or it exceeds what one file holds.
    """
    size = sum(tensor.numel() * tensor.element_size() for tensor in program.state_dict.values())
    if size > _PROTOBUF_LIMIT_BYTES:
        raise ExportError(
            f"the weights take {size / 2**30:.1f} GiB, more than the 2 GiB of one ONNX file; "
            f"export --to torch-export"
        )
    with warnings.catch_warnings():
        # Emitted inside torch.onnx of torch 2.13 about its own use of torch.utils._pytree.
        warnings.filterwarnings("ignore", r"`isinstance\(treespec, LeafSpec\)`", FutureWarning)
        try:
            translated = torch.onnx.export(
                program,
                input_names=["images"],
                output_names=["logits"],
                dynamic_shapes=({0: "batch"},),  # names the axis, which is dynamic already
                dynamo=True,
                verbose=False,
            )
        except RuntimeError as error:
            raise _cannot("the ONNX exporter cannot translate", record, error) from error
    assert translated is not None, "without a file name, the program is returned"
    translated.model.metadata_props[METADATA_KEY] = to_json(record)
    data: bytes = translated.model_proto.SerializeToString()
    return data


class OnnxAnswer:
    """A file's model, run by onnxruntime.

    Args:
        runtime: the module.
        data: the file.
    """

    def __init__(self, runtime: ModuleType, data: bytes) -> None:
        options = runtime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        self._session = runtime.InferenceSession(data, options, providers=["CPUExecutionProvider"])

    def __call__(self, images_BCSS: Tensor) -> Tensor:
        """Images (B, C, S, S) to logits (B, L)."""
        (logits,) = self._session.run(["logits"], {"images": images_BCSS.numpy()})
        return torch.from_numpy(logits)


def _cannot(what: str, record: ExportRecord, error: Exception) -> ExportError:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    return ExportError(f"{what} {record.model['name']}: {reason}; export it --to safetensors")
