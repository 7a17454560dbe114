"""Model files: what they hold, read and written. docs/model-file.md describes the format."""

from lpn_core.model.file import DTYPES, read, round_weights, write
from lpn_core.model.graph import GraphSpec, NodeSpec
from lpn_core.model.quantization import MapScale, Quantization
from lpn_core.model.spec import (
    DecodeSpec,
    InputSpec,
    ModelFile,
    ModelFileError,
    Provenance,
    SelfTest,
)

__all__ = [
    "DTYPES",
    "DecodeSpec",
    "GraphSpec",
    "InputSpec",
    "MapScale",
    "ModelFile",
    "ModelFileError",
    "NodeSpec",
    "Provenance",
    "Quantization",
    "SelfTest",
    "read",
    "round_weights",
    "write",
]
