"""`bench:` of a sweep file: what it amounts to, and what is wrong with it."""

import pytest
from sweep_files import DIGITS, write

from deit_core.throughput_records import BenchProtocol
from launcher.bench.section import BenchSettings
from launcher.errors import SweepError
from launcher.sweep import load_sweep


def settings(folder, text, **options):
    return load_sweep(write(folder, DIGITS + text), **options).bench


def test_without_the_section_nothing_is_measured(tmp_path):
    assert settings(tmp_path, "") is None
    assert settings(tmp_path, "bench: null\n") is None


def test_an_empty_section_is_the_published_protocol(tmp_path):
    assert settings(tmp_path, "bench: {}\n").protocol == BenchProtocol()


def test_every_field_of_the_protocol_can_be_given():
    missing = BenchProtocol.model_fields.keys() - BenchSettings.model_fields.keys()
    assert missing == {"schema_version"}


def test_fast_gives_way_to_what_is_given(tmp_path):
    protocol = settings(tmp_path, "bench: {fast: true, timed_s: 4}\n").protocol
    assert (protocol.warmup_s, protocol.timed_s) == (2.0, 4.0)
    assert protocol.blocks == BenchProtocol().blocks


def test_profiles_and_options_lie_over_it(tmp_path):
    text = (
        "bench: {blocks: 7, processes: 3}\nprofiles: {a: {bench: {blocks: 8}}, b: {bench: null}}\n"
    )
    layered = settings(tmp_path, text, profile="a", overrides=["bench.fast=true"])
    assert (layered.blocks, layered.processes, layered.fast) == (8, 3, True)
    assert settings(tmp_path, text, profile="b") is None
    assert settings(tmp_path, "", overrides=["bench.timed_s=1"]).protocol.timed_s == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("bench: {fats: true}", r"x\.yaml:2:9: bench\.fats: unknown.* did you mean .*fast"),
        ("bench: {timed_s: -1}", r"x\.yaml:2:18: bench\.timed_s: .*greater than or equal to 0"),
        ("bench: {timed_s: .inf}", r"x\.yaml:2:18: bench\.timed_s: .*finite"),
        ("bench: {blocks: 0}", r"x\.yaml:2:17: bench\.blocks: .*greater than 0"),
        ("bench: {blocks: 2.5}", r"x\.yaml:2:17: bench\.blocks: .*integer"),
        ("bench: {fixed_batch_size: -8}", r"x\.yaml:2:27: bench\.fixed_batch_size: "),
        ("bench: {sweep_share: 1.5}", r"x\.yaml:2:22: bench\.sweep_share: "),
        (
            "bench: {when: later}",
            r"x\.yaml:2:15: bench\.when: 'later' is not valid; did you mean \"after\"\?",
        ),
        (
            "bench: {quantities: [speed]}",
            r"x\.yaml:2:22: bench\.quantities\.0: .* valid: inference, training",
        ),
        ("bench: {quantities: []}", r"x\.yaml:2:21: bench\.quantities: nothing would be measured"),
        ("bench: {quantities: inference}", r"x\.yaml:2:21: .*write \[inference\]"),
        ("bench: true", r"x\.yaml:2:8: bench: expected `key: value` lines"),
        (
            "bench: {when: alone}\naxes: {search: {optim.lr: [1, 2]}}\nsearch: {trials: 2}",
            r"x\.yaml:2:15: bench\.when: alone trains nothing, but a search asks for points",
        ),
        ("profiles: {a: {benhc: {}}}", r"did you mean .*bench"),
    ],
)
def test_mistakes_name_their_place(tmp_path, text, message):
    profile = "a" if "profiles" in text else None
    with pytest.raises(SweepError, match=message):
        settings(tmp_path, f"{text}\n", profile=profile)
