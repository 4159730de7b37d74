"""What the launcher learns about data without torch and without reading an image."""

from __future__ import annotations

import re
import subprocess
import sys
import typing
from pathlib import Path

import pytest
import yaml
from source_files import MAKERS

from deit_core.config import Source, parse_run_config
from deit_core.data.download import TORCHVISION
from deit_core.data_layout import KNOWN_SIZES, count_images
from deit_core.identity import KNOWN_SOURCES
from deit_core.layouts.image_folder import IMAGE_SUFFIXES

PAGE = (Path(__file__).parents[2] / "docs" / "data.md").read_text(encoding="utf-8")


def test_the_page_about_data_is_true() -> None:
    rows = re.findall(r"^\| `(\w+)` \| ([\d,]+|yours) ", PAGE, re.MULTILINE)
    assert {source for source, _ in rows} == set(typing.get_args(Source))
    for source, known in KNOWN_SIZES.items():
        classes = KNOWN_SOURCES[source].num_classes
        assert f"| `{source}` | {known['train']:,} / {known['val']:,} | {classes:,} |" in PAGE
    for name in re.findall(r"deit_core\.data\.download (\w+)", PAGE):
        assert name in TORCHVISION
    assert ", ".join(IMAGE_SUFFIXES[:-1]) in PAGE
    snippets = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    configs = [parse_run_config(yaml.safe_load(snippet)) for snippet in snippets]
    assert {config.data.source for config in configs} >= {"imagenet", "huggingface", "cifar10"}


def test_every_source_has_a_known_size_or_is_counted() -> None:
    counted = {name.partition(",")[0] for name in MAKERS} - KNOWN_SIZES.keys()
    assert counted | KNOWN_SIZES.keys() == set(typing.get_args(Source))
    assert KNOWN_SIZES.keys() <= KNOWN_SOURCES.keys()


@pytest.mark.parametrize("name", ["image_folder", "imagenet", "imagenet, devkit folder"])
def test_counting_stops_when_there_are_enough(name: str, tmp_path: Path) -> None:
    data = MAKERS[name](tmp_path)
    assert [count_images(data, "train", enough=n) for n in (1, 5, 100)] == [1, 5, 7]
    assert [count_images(data, "val", enough=n) for n in (1, 100)] == [1, 4]


def test_looking_imports_no_torch_and_what_is_heavy_only_for_its_own_source(tmp_path: Path) -> None:
    data = MAKERS["inaturalist_2018"](tmp_path)
    code = (
        "import sys\n"
        "from deit_core.config import DataConfig\n"
        "from deit_core.data_layout import count_classes, count_images\n"
        f"data = DataConfig(source='inaturalist_2018', root={data.root!r})\n"
        "assert count_classes(data) == 3\n"
        "assert count_images(data, 'train', enough=9) == 7\n"
        "heavy = {'torch', 'torchvision', 'numpy', 'scipy', 'datasets', 'pyarrow'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_hugging_face_data_is_counted_without_torch(tmp_path: Path) -> None:
    data = MAKERS["huggingface, parquet"](tmp_path)
    code = (
        "import sys\n"
        "from deit_core.config import DataConfig\n"
        "from deit_core.data_layout import count_classes, count_images\n"
        f"data = DataConfig(source='huggingface', root={data.root!r})\n"
        "assert count_classes(data) == 2\n"
        "assert count_images(data, 'val', enough=9) == 4\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
