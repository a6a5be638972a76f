"""What a stored model is: one ONNX file that carries, as JSON, everything fitted or known about it.

Input ``X`` float32 (rows, columns): numeric columns raw (NaN where missing), then categorical ones as
codes (position in the vocabulary + 1; 0 = unknown). Output ``probability`` float32 (rows,).
Reading needs no heavy package and unpickles nothing; writing needs ``onnx``.
"""

from __future__ import annotations

from typing import Any, Protocol

import msgspec

KEY = "mlops.bundle"
"""The key of the bundle's JSON among the ONNX model's metadata properties."""

FORMAT = 1
FILE = "model.onnx"
INPUT = "X"
OUTPUT = "probability"


class BundleError(ValueError):
    """The bytes are no bundle that can be served; the message says what is wrong with them."""


class Bundle(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All of a stored model that is not the graph.

    ``vocabularies``: categorical column -> its values (code = position + 1). ``threshold``: the label
    is positive from this probability on. ``training_set``: its content id. ``created``: ISO time, UTC.
    ``examples``: raw instances as a request would send them; ``expected``: their probabilities, by
    which a loaded model is proven.
    """

    project: str
    family: str
    numeric: list[str]
    vocabularies: dict[str, list[str]]
    threshold: float
    training_set: str
    code_version: str
    created: str
    examples: list[dict[str, Any]]
    expected: list[float]
    format: int = FORMAT

    @property
    def columns(self) -> list[str]:
        """The columns of ``X``, in order."""
        return [*self.numeric, *self.vocabularies]


class _Meta(Protocol):
    @property
    def custom_metadata_map(self) -> dict[str, str]: ...


class Session(Protocol):
    """The part of ``onnxruntime.InferenceSession`` that reading a bundle needs."""

    def get_modelmeta(self) -> _Meta: ...


def write_bundle(onnx_bytes: bytes, bundle: Bundle) -> bytes:
    """The model with ``bundle`` in its metadata (replacing one that is there).

    Raises ``BundleError`` if the bytes are no ONNX model, or the bundle contradicts itself.
    """
    import onnx  # a heavy import that only writing needs

    _check(bundle)
    try:
        model = onnx.load_model_from_string(onnx_bytes)
    except Exception as error:
        raise BundleError(f"these {len(onnx_bytes)} bytes are not an ONNX model: {error}") from error
    kept = [entry for entry in model.metadata_props if entry.key != KEY]
    del model.metadata_props[:]
    model.metadata_props.extend(kept)
    model.metadata_props.add(key=KEY, value=msgspec.json.encode(bundle).decode())
    return bytes(model.SerializeToString())


def read_bundle(source: Session | bytes) -> Bundle:
    """The bundle of an onnxruntime session or of a model's bytes; raises ``BundleError``."""
    session: Session = open_session(source) if isinstance(source, bytes) else source
    text = session.get_modelmeta().custom_metadata_map.get(KEY)
    if text is None:
        raise BundleError(f"the ONNX model has no metadata {KEY!r}: it was not stored by this platform")
    try:
        bundle = msgspec.json.decode(text, type=Bundle)
    except msgspec.MsgspecError as error:
        raise BundleError(f"the ONNX model's metadata {KEY!r} cannot be read: {error}") from error
    _check(bundle)
    return bundle


def open_session(data: bytes, threads: int = 1) -> Any:
    """An onnxruntime CPU session of ``threads`` threads; raises ``BundleError`` if it cannot be loaded."""
    import onnxruntime  # half a second that declarations need not pay

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # A thread that spins between two runs takes the core that parses the next request.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise BundleError(f"these {len(data)} bytes do not load as an ONNX model: {error}") from error


def _check(bundle: Bundle) -> None:
    if bundle.format != FORMAT:
        raise BundleError(f"bundle format {bundle.format} is not {FORMAT}: train again, or update this code")
    if not bundle.examples or len(bundle.examples) != len(bundle.expected):
        examples, expected = len(bundle.examples), len(bundle.expected)
        raise BundleError(f"{examples} examples with {expected} expected probabilities prove nothing")
    if not 0 < bundle.threshold < 1:
        raise BundleError(f"threshold {bundle.threshold} is not between 0 and 1")
    twice = sorted(name for name in set(bundle.columns) if bundle.columns.count(name) > 1)
    if twice:
        raise BundleError(f"columns named twice: {', '.join(twice)}")
