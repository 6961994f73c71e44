"""Files whose bytes are wrong: counts, lengths, types, the table of tensors; and what is no file at all."""

from __future__ import annotations

import errno
import os
import random
import struct
import threading
from pathlib import Path
from typing import Any

import pytest

from pyollama.errors import Error, InvalidModelFile, ModelNotFound
from pyollama.gguf import GGUFHeader

from .models import llama
from .refusing import refused, refused_with_little_memory
from .writer import ARRAY, GGUF, STRING, Tensor, Value, array, i32, nested, start, string, text, u32

HUGE = 1 << 60


def changed(**fields: Any) -> GGUF:
    model = llama()
    for name, value in fields.items():
        setattr(model, name, value)
    return model


def extended(key: bytes | str, value: Value) -> GGUF:
    return changed(more_values=((key, value),))


FILES: dict[str, tuple[GGUF | bytes, str]] = {
    # What people try to load instead.
    "empty": (b"", "the file is empty"),
    "text": (b"Once upon a time there was a model\n", "it is not a GGUF file: it begins with b'Once'"),
    "one byte": (b"G", "it is not a GGUF file"),
    "zeros": (bytes(4_096), "it is not a GGUF file"),
    "bad magic": (changed(magic=b"GGUX"), "it begins with b'GGUX', not with b'GGUF'"),
    "escape sequence": (b"\x1b[2J" * 20, r"it begins with b'\\x1b\[2J'"),
    "big-endian magic": (changed(magic=b"FUGG"), "big-endian"),
    "big-endian": (b"GGUF" + struct.pack(">IQQ", 3, 0, 0), "big-endian"),
    "ggml": (b"lmgg" + bytes(60), "GGML file, a format from before GGUF"),
    "ggjt": (b"tjgg" + bytes(60), "GGJT file, a format from before GGUF"),
    "zip": (b"PK\x03\x04" + bytes(60), "ZIP archive"),
    "git-lfs pointer": (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
    "web page": (b"<!DOCTYPE html><html></html>", "web page"),
    # Versions.
    "version 0": (changed(version=0), "it is not a GGUF file"),
    "version 1": (changed(version=1), "version 1 of GGUF, only 2 and 3"),
    "version 4": (changed(version=4), "version 4 of GGUF.*newer version of this program"),
    "version 99": (changed(version=99), "version 99 of GGUF"),
    "version -1": (changed(version=2**32 - 1), "version 4294967295 of GGUF"),
    # Counts.
    "2^60 values": (changed(n_values=HUGE), f"announces {HUGE} metadata values"),
    "2^60 tensors": (changed(n_tensors=HUGE), f"announces {HUGE} tensors"),
    "-1 values": (changed(n_values=2**64 - 1), "announces 18446744073709551615 metadata values"),
    "-1 tensors": (changed(n_tensors=2**64 - 1), "announces 18446744073709551615 tensors"),
    "one value more": (
        changed(n_values=len(llama().values) + 1),
        "is not text|has the unknown type|is empty|bytes long",
    ),
    "one tensor more": (changed(n_tensors=len(llama().tensors) + 1), "is empty or has a NUL"),
    "too many values": (
        GGUF({}, more_values=tuple((f"k{i}", u32(0)) for i in range(65_537))),
        "announces 65537 metadata values",
    ),
    "too many tensors": (GGUF({}, [Tensor(f"t{i}", (1,)) for i in range(32_769)]), "announces 32769 tensors"),
    # Strings.
    "string of 2^60": (extended("k", string("x", HUGE)), f"k is {HUGE} bytes long, the file has"),
    "string of -1": (extended("k", string("x", 2**64 - 1)), "k is 18446744073709551615 bytes long"),
    "string of 17 MB": (extended("k", string(bytes(17 << 20))), "k is 17825792 bytes long, at most"),
    "many strings": (
        changed(more_values=tuple((f"k{i}", string(b"x" * (15 << 20))) for i in range(3))),
        "k2 is 15728640 bytes long, at most",
    ),
    "key of 2^60": (start(0, 1) + text("k", HUGE) + bytes(64), f"metadata key 0 is {HUGE} bytes long"),
    "key of 1025": (extended("k" * 1_025, u32(0)), r"metadata key \d+ is 1025 bytes long, at most 1024"),
    "key of 65536": (extended("k" * 65_536, u32(0)), r"metadata key \d+ is 65536 bytes long"),
    "key is not UTF-8": (extended(b"k\xff\xfe", u32(0)), r"metadata key \d+ is not text: b'k\\xff\\xfe'"),
    "key with NUL": (extended("general.type\0x", u32(0)), "has a NUL character"),
    "empty key": (extended("", u32(0)), "is empty"),
    "duplicate key": (
        extended("general.architecture", string("bert")),
        "'general.architecture' occurs twice",
    ),
    # Arrays.
    "array of 2^60": (extended("k", array(4, [1], HUGE)), f"k has {HUGE} elements, more than"),
    "array of 2^61, wraps": (extended("k", array(10, [1], 1 << 61)), "k has 2305843009213693952 elements"),
    "array of 2^60 strings": (extended("k", array(STRING, ["x"], HUGE)), f"k has {HUGE} elements"),
    "array of -1": (extended("k", array(0, [1], 2**64 - 1)), "k has 18446744073709551615 elements"),
    "array with a string of 2^60": (
        extended("k", Value(ARRAY, struct.pack("<IQQ", STRING, 1, HUGE))),
        "a string in k goes beyond the end",
    ),
    "array of 17 M bytes": (
        extended("k", array(0, bytes((16 << 20) + 1))),
        "k has 16777217 elements, at most",
    ),
    "array of 9 M strings": (
        extended("k", Value(ARRAY, struct.pack("<IQ", STRING, 9 << 20) + bytes(8 * (9 << 20)))),
        "k has 9437184 elements, at most 8388",
    ),
    "nested array": (extended("k", array(ARRAY, [array(4, [1])])), "k is an array of arrays"),
    "nested arrays, 100,000 deep": (extended("k", nested(100_000)), "k is an array of arrays"),
    "array of an unknown type": (extended("k", array(13, [1])), "k is an array of the unknown type 13"),
    # Types.
    "unknown type 13": (extended("k", Value(13, bytes(8))), "k has the unknown type 13"),
    "unknown type 2^32-1": (extended("k", Value(2**32 - 1, bytes(8))), "k has the unknown type 4294967295"),
    # Alignment.
    **{
        f"alignment {value}": (
            changed().but(general__alignment=u32(value)),
            f"general.alignment is {value}, must be a power of two",
        )
        for value in (0, 1, 3, 24, 33, 1 << 17, 1 << 31, 2**32 - 1)
    },
    "alignment is a string": (changed().but(general__alignment=string("32")), "must be a uint32, not string"),
    "alignment is an int32": (changed().but(general__alignment=i32(32)), "must be a uint32, not int32"),
    # The table of tensors.
    "offset behind the file": (llama().with_tensor(-1, offset=1 << 40), "the one before ends at"),
    "offset that wraps": (llama().with_tensor(-1, offset=2**64 - 32), "lies at 18446744073709551584"),
    "odd offset": (llama().with_tensor(1, offset=33_665), "lies at 33665 in the data"),
    "gap": (llama().with_tensor(1, offset=1 << 16), "lies at 65536 in the data"),
    "overlapping": (llama().with_tensor(1, offset=0), "'output_norm.weight' lies at 0.*before ends at 33664"),
    "overlapping at the start": (llama().with_tensor(0, offset=32), "lies at 32 in the data.*ends at 0"),
    "data is missing": (changed(data=b""), "ends at byte .*it is not complete"),
    "the last byte is missing": (llama().to_bytes()[:-1], "ends at byte .*it is not complete"),
    "ne wraps to 0": (
        llama().with_tensor(0, shape=(1 << 32, 1 << 32), offset=0),
        r"too many elements: \(4294967296, 4294967296\)",
    ),
    "ne wraps to a few": (
        llama().with_tensor(0, shape=(32, (1 << 61) + 1, 1 << 3), offset=0),
        "has too many elements",
    ),
    "ne of 2^63": (llama().with_tensor(0, shape=(1 << 63,), offset=0), "has too many elements"),
    "ne fits, bytes wrap": (llama().with_tensor(0, shape=(1 << 62,), offset=0), "it is not complete"),
    "negative ne": (llama().with_tensor(0, shape=(2**64 - 32, 1), offset=0), "has too many elements"),
    "two negative ne": (llama().with_tensor(0, shape=(2**64 - 1, 2**64 - 1)), "has too many elements"),
    "ne 0": (llama().with_tensor(0, shape=(32, 0)), r"has a dimension of 0: \(32, 0\)"),
    "ne 0 hides a huge one": (llama().with_tensor(0, shape=(1 << 62, 1 << 62, 0)), "has a dimension of 0"),
    "5 dimensions": (llama().with_tensor(0, shape=(32, 263, 1, 1, 1)), "has 5 dimensions, at most 4"),
    "2^32-1 dimensions": (llama().with_tensor(0, n_dims=2**32 - 1), "has 4294967295 dimensions"),
    **{
        f"tensor type {number}": (llama().with_tensor(0, type=number), f"has the unknown type {number}")
        for number in (4, 5, 31, 36, 38, 43, 1_000, 2**31, 2**32 - 1)
    },
    "row is no whole block": (llama().with_tensor(0, shape=(33, 1), type=2), "has rows of 33, Q4_0 needs"),
    "name of 64": (llama().with_tensor(0, name="t" * 64), "is 64 bytes long, at most 63"),
    "name of 2^60": (start(1, 0) + text("t", HUGE) + bytes(64), f"name of tensor 0 is {HUGE} bytes long"),
    "name is not UTF-8": (llama().with_tensor(0, name=b"t\xff"), "the name of tensor 0 is not text"),
    "name with NUL": (llama().with_tensor(0, name="token_embd.weight\0x"), "has a NUL character"),
    "duplicate name": (llama().with_tensor(1, name="token_embd.weight"), "'token_embd.weight' occurs twice"),
}


@pytest.mark.parametrize("name", FILES)
def test_hostile_file(name: str, tmp_path: Path) -> None:
    """Catches a count, length, type or offset of the file that is believed."""
    content, message = FILES[name]
    path = tmp_path / "hostile.gguf"
    path.write_bytes(content if isinstance(content, bytes) else content.to_bytes())
    refused_with_little_memory(path, message)


def test_cut_at_every_byte(tmp_path: Path) -> None:
    """Catches an incomplete file (vectors: every prefix of a header) that is taken, or fails otherwise."""
    model = llama()
    # Fewer tokens: each prefix is read from its first byte.
    model = model.but(
        tokenizer__ggml__tokens=array(STRING, ["<unk>", "<s>", "</s>", "a"]),
        tokenizer__ggml__scores=array(6, [0.0] * 4),
        tokenizer__ggml__token_type=array(5, [2, 3, 3, 1]),
        llama__vocab_size=u32(4),
    ).with_tensor(0, shape=(32, 4))
    whole = model.to_bytes()
    path = tmp_path / "cut.gguf"
    path.write_bytes(whole)
    GGUFHeader.read(path, kind="model")
    n_header = len(model.header())
    for length in [*range(n_header + 1), *range(n_header + 32, len(whole), 509), len(whole) - 1]:
        path.write_bytes(whole[:length])
        with pytest.raises(InvalidModelFile) as caught:
            GGUFHeader.read(path, kind="model")
        message = str(caught.value)
        assert message.startswith(f"{path}: "), length
        assert any(
            words in message
            for words in ("not complete", "empty", "not a GGUF", "too many", "left", "beyond")
        ), message


def test_cut_at_random_places(tiny: Path, tmp_path: Path) -> None:
    """Catches a download that broke off anywhere and is loaded."""
    whole = tiny.read_bytes()
    path = tmp_path / "cut.gguf"
    path.write_bytes(whole)
    for length in sorted(random.Random(1).sample(range(1, len(whole)), 200), reverse=True):
        os.truncate(path, length)
        refused(path, "not complete|not a GGUF|too many|left|beyond|more than")


def test_any_order_of_garbage(tmp_path: Path) -> None:
    """Catches random bytes behind a right start that end in an error of another kind, or are taken."""
    rng = random.Random(2)
    path = tmp_path / "garbage.gguf"
    for _ in range(300):
        counts = struct.pack("<QQ", rng.randrange(4), rng.randrange(1, 4))
        path.write_bytes(b"GGUF" + struct.pack("<I", 3) + counts + rng.randbytes(rng.randrange(400)))
        refused(path, ".")


# --- what is no file -------------------------------------------------------------------------------


def test_directory(tmp_path: Path) -> None:
    """Catches a directory that ends in a Python error."""
    refused(tmp_path, "it is a directory")


def test_missing_file(tmp_path: Path) -> None:
    """Catches a missing file that is reported as a damaged one."""
    for path in (tmp_path / "no.gguf", tmp_path / "no" / "no.gguf"):
        with pytest.raises(ModelNotFound, match="no such file") as caught:
            GGUFHeader.read(path)
        assert caught.value.name == str(path)
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(ModelNotFound, match="no such file"):
        GGUFHeader.read(tmp_path / "file" / "no.gguf")
    (tmp_path / "dangling").symlink_to(tmp_path / "no.gguf")
    with pytest.raises(ModelNotFound, match="no such file"):
        GGUFHeader.read(tmp_path / "dangling")


def test_path_with_nul(tmp_path: Path) -> None:
    """Catches a path that C would read only up to its NUL."""
    with pytest.raises(ModelNotFound, match="not a path"):
        GGUFHeader.read(f"{tmp_path}/a\0b")


def test_link_loop(tmp_path: Path) -> None:
    """Catches a loop of links that ends in something else than the error of the system."""
    path = tmp_path / "loop.gguf"
    path.symlink_to(path.name)
    with pytest.raises(OSError, match=r"loop\.gguf") as caught:
        GGUFHeader.read(path)
    assert caught.value.errno == errno.ELOOP


def test_pipes_and_devices(tmp_path: Path) -> None:
    """Catches a named pipe that is waited for, and an endless device that is read."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    messages: list[str] = []

    def read_all() -> None:
        for path in (pipe, Path("/dev/zero"), Path("/dev/null")):
            try:
                GGUFHeader.read(path)
            except Error as error:
                messages.append(str(error))

    thread = threading.Thread(target=read_all, daemon=True)
    thread.start()
    thread.join(5)
    assert messages == [f"{path}: it is not a regular file" for path in (pipe, "/dev/zero", "/dev/null")]


def test_no_permission(tmp_path: Path) -> None:
    """Catches a file without the right to read it that is reported as damaged."""
    path = tmp_path / "secret.gguf"
    path.write_bytes(llama().to_bytes())
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("this user may read everything")
    with pytest.raises(PermissionError, match=r"secret\.gguf"):
        GGUFHeader.read(path)


def test_file_changes_behind_our_back(tmp_path: Path) -> None:
    """Catches an array that is read from another file than the header was."""
    path = tmp_path / "model.gguf"
    path.write_bytes(llama().to_bytes())
    header = GGUFHeader.read(path)
    path.write_bytes(llama().but(general__name=string("other")).to_bytes())
    with pytest.raises(InvalidModelFile, match="has changed since its header was read"):
        header.array("tokenizer.ggml.tokens")
