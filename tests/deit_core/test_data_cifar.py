"""Files of CIFAR that were made to harm: the reader's process outlives them all."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import source_files
from source_files import MAKERS, cifar_pixels

from deit_core.data.sources import open_source


def stored_array(dtype: Any, content: bytes, shape: Any = (1,)) -> Any:
    """Pickles as an array of which a file says whatever it likes."""
    reduced: Any = np.empty(0, dtype=np.uint8).__reduce__()

    class Stored:
        def __reduce__(self) -> tuple[Any, ...]:
            return *reduced[:2], (1, shape, dtype, False, content)

    return Stored()


class Pointers:
    """Pickles as a type whose fields are objects, but whose flags deny it."""

    def __reduce__(self) -> tuple[Any, ...]:
        reduced: Any = np.dtype([("a", "O")]).__reduce__()
        return *reduced[:2], (*reduced[2][:-1], 0)


def deep_key(number_of_tuples: int) -> bytes:
    return b"\x80\x02}" + b")" + b"\x85" * number_of_tuples + b"K\x01s."


_POINTERS = pickle.dumps(stored_array(Pointers(), b"A" * 8), protocol=2)[:-1]
HOSTILE = {
    "pointers": b"\x80\x02}X\x04\x00\x00\x00data" + _POINTERS[2:] + b"s.",
    "pointers written to": _POINTERS + b"X\x01\x00\x00\x00aK\x01s.",
    "a key of nested tuples": deep_key(300_000),
    "a petabyte": pickle.dumps(
        {"data": stored_array(np.dtype(np.uint8), b"x", (10**12, 3072)), "labels": []}, protocol=2
    ),
    "attributes of what it may call": b"\x80\x02c_codecs\nencode\nN}X\x01\x00\x00\x00aK\x01s\x86b.",
    "attributes of a class": b"\x80\x02cnumpy\ndtype\nN}X\x01\x00\x00\x00aK\x01s\x86b.",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_no_pickle_can_crash_the_reader(tmp_path: Path, name: str) -> None:
    """In a process of its own: what the files try is to end it by a signal."""
    data = MAKERS["cifar10"](tmp_path)
    (tmp_path / "cifar-10-batches-py" / "test_batch").write_bytes(HOSTILE[name])
    code = (
        "import sys\nfrom deit_core.config import DataConfig\n"
        "from deit_core.data.sources import open_source\nfrom deit_core.errors import DataError\n"
        f"data = DataConfig(source='cifar10', root={data.root!r})\n"
        "try:\n    open_source(data, in_chans=3, split='val')\n"
        "except DataError as error:\n    sys.exit(str(error))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    assert "test_batch is no file of CIFAR-10 (" in done.stderr
    assert "Traceback" not in done.stderr


def test_arrays_in_the_order_of_fortran_are_read(tmp_path: Path) -> None:
    data = MAKERS["cifar100"](tmp_path)
    pixels = np.array([cifar_pixels(number) for number in range(3)])
    for protocol in (2, 5):
        batch = {"data": np.asfortranarray(pixels), "fine_labels": [1, 2, 3]}
        source_files.write_pickle(tmp_path / "cifar-100-python" / "train", batch, protocol)
        source = open_source(data, in_chans=3, split="train")
        assert np.array_equal(np.asarray(source.image(2))[..., 1].ravel(), pixels[2, 1024:2048])
