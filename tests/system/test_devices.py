"""What tells one processor from another of the same name."""

import pytest

from transformer.system.devices import processor_details

XEON = """\
processor	: 0
vendor_id	: GenuineIntel
cpu family	: 6
model		: 143
model name	: Intel(R) Xeon(R) Processor
stepping	: 8
cpu MHz		: 2599.996
flags		: fpu avx512f amx_bf16

"""
ARM = """\
processor	: 0
BogoMIPS	: 50.00
Features	: fp asimd
CPU implementer	: 0x41
CPU part	: 0xd0c

"""


@pytest.fixture
def details_of(tmp_path):
    def details(content):
        (tmp_path / "cpuinfo").write_text(content, encoding="utf-8")
        return processor_details(tmp_path / "cpuinfo")

    return details


@pytest.mark.parametrize(
    ("content", "was", "other"),
    [
        (XEON, " amx_bf16", ""),
        (XEON, "143", "106"),
        (XEON, ": 8", ": 7"),
        (ARM, " asimd", " asimd bf16"),
        (ARM, "0xd0c", "0xd40"),
        (ARM, "0x41", "0xc0"),
    ],
)
def test_processors_of_one_name_are_told_apart(details_of, content, was, other):
    assert was in content
    assert details_of(content) != details_of(content.replace(was, other))


def test_the_same_processor_has_the_same_details_each_time(details_of):
    """Its clock at this moment and its other cores do not count."""
    again = XEON.replace("2599.996", "3100.5") + XEON.replace(": 0", ": 1")
    assert details_of(XEON) == details_of(again)


def test_without_linuxs_file_python_is_asked(tmp_path, monkeypatch):
    missing = tmp_path / "cpuinfo"
    first = processor_details(missing)
    assert processor_details(missing) == first
    monkeypatch.setattr("platform.version", lambda: "Darwin 23.1, RELEASE_ARM64_T8103")
    assert processor_details(missing) != first
