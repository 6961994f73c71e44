"""What tests of several packages share."""

from __future__ import annotations

from pathlib import Path

import gguf
import pytest

from pyollama.store import Store


@pytest.fixture(scope="session")
def tiny_in_32_bits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The embedded model with all its weights as 32-bit floats: batches of any size give it the same answers."""
    path = tmp_path_factory.mktemp("weights") / "tiny-f32.gguf"
    write_in_32_bits(Store.default().find("tiny").model_path, path)
    return path


def write_in_32_bits(source: Path, target: Path) -> None:
    """The same model with all its weights as 32-bit floats."""
    reader = gguf.GGUFReader(source)
    architecture = reader.get_field("general.architecture").contents()
    writer = gguf.GGUFWriter(target, architecture)
    for field in reader.fields.values():
        if field.name == "general.architecture" or field.name.startswith("GGUF."):
            continue
        kind = field.types[0]
        item = field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None
        writer.add_key_value(field.name, field.contents(), kind, sub_type=item)
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, gguf.quants.dequantize(tensor.data, tensor.tensor_type))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
