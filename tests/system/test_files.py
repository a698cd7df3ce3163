"""Files are read with clear errors and written whole or not at all."""

import errno
import os
import re
import stat
from pathlib import Path

import pytest

from transformer.system.errors import UserError
from transformer.system.files import (
    describe_nuls,
    is_special,
    read_bytes,
    read_text,
    read_utf8,
    remove_leftovers,
    replacing,
    replacing_folder,
    wide_encoding,
    write_text,
)

posix = pytest.mark.skipif(os.name != "posix", reason="devices and pipes of POSIX")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "file.txt"


def fail_while_writing(path: Path) -> None:
    with replacing(path) as temporary:
        temporary.write_bytes(b"half")
        raise KeyboardInterrupt


def test_block_that_ends_well_leaves_the_new_file_alone_in_its_folder(path):
    path.write_bytes(b"old")
    with replacing(path) as temporary:
        temporary.write_bytes(b"new")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert os.listdir(path.parent) == [path.name]


def test_block_that_raises_keeps_the_old_file(path):
    path.write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt):
        fail_while_writing(path)
    assert path.read_bytes() == b"old"


def test_block_that_raises_leaves_no_part_and_no_temporary_file(path):
    with pytest.raises(KeyboardInterrupt):
        fail_while_writing(path)
    assert os.listdir(path.parent) == []


def test_temporary_file_is_in_the_same_folder_and_hidden(path):
    """On another disk, a rename would be a copy, which can be seen half done."""
    with replacing(path) as temporary:
        assert temporary.parent == path.parent
        assert temporary.name.startswith(".file.txt.")


def test_bytes_reach_the_disk_before_the_rename(path, monkeypatch):
    calls = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda fd: (calls.append("fsync"), fsync(fd)))
    monkeypatch.setattr(os, "replace", lambda *names: (calls.append("replace"), replace(*names)))
    write_text(path, "text")
    assert calls == ["fsync", "replace"]


def test_missing_folders_are_made(tmp_path):
    write_text(tmp_path / "a" / "b" / "c.txt", "text")
    assert (tmp_path / "a" / "b" / "c.txt").read_text() == "text"


@pytest.mark.skipif(os.name != "posix", reason="Windows has no permission bits of this kind")
@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_permissions_are_those_that_open_gives(tmp_path, umask):
    before = os.umask(umask)
    try:
        (tmp_path / "opened").open("w").close()
        write_text(tmp_path / "replaced", "text")
        assert os.umask(umask) == umask  # and the process keeps its mask
    finally:
        os.umask(before)
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("opened", "replaced")]
    assert modes[0] == modes[1] == 0o666 & ~umask


def test_text_is_written_as_utf_8_with_its_own_line_ends(path):
    write_text(path, "é\r\n\n")
    assert path.read_bytes() == b"\xc3\xa9\r\n\n"


def test_missing_file_is_an_error_that_says_what_it_should_be(path):
    with pytest.raises(UserError, match=r"file\.txt: no such text file: check the name and the"):
        read_bytes(path, "text file")


def test_folder_is_an_error_that_says_so(tmp_path):
    with pytest.raises(UserError, match="is a folder, not a checkpoint"):
        read_bytes(tmp_path, "checkpoint")


def test_unreadable_file_is_an_error_with_the_reason(path, monkeypatch):
    def refuse(self: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refuse)  # root may read every file
    with pytest.raises(UserError, match="cannot read this text file: Permission denied"):
        read_bytes(path, "text file")


@pytest.mark.parametrize("name", ["a\0b", "\ud800", "x" * 5000])
def test_name_that_no_file_can_have_is_an_error(name):
    with pytest.raises(UserError, match="cannot read this text file"):
        read_bytes(name, "text file")


def test_text_that_is_not_utf_8_is_an_error_with_the_byte_and_its_offset(path):
    path.write_bytes("é".encode() + b"ab\xe9")
    with pytest.raises(UserError, match=r"not UTF-8 at byte 4 \(0xe9\): save the file as UTF-8"):
        read_utf8(path, "text file")


def test_half_written_files_of_a_killed_process_are_removed(tmp_path):
    kept = [tmp_path / "config.yaml", tmp_path / "checkpoints" / "last.ckpt"]
    for path in kept:
        write_text(path, "whole")
    (tmp_path / "checkpoints" / ".last.ckpt.a1b2.tmp").write_text("half", encoding="utf-8")
    (tmp_path / ".model.safetensors.c3d4.tmp").write_text("half", encoding="utf-8")
    remove_leftovers(tmp_path)
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == sorted(kept)


def test_what_was_there_is_kept_under_another_name(tmp_path):
    path, previous = tmp_path / "last.ckpt", tmp_path / "previous.ckpt"
    for number in range(3):
        with replacing(path, previous) as temporary:
            temporary.write_text(str(number), encoding="utf-8")
            assert path.exists() == (number > 0)
    assert (path.read_text(encoding="utf-8"), previous.read_text(encoding="utf-8")) == ("2", "1")
    assert sorted(tmp_path.iterdir()) == [path, previous]


def test_where_files_cannot_have_two_names_the_old_one_is_moved(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError

    monkeypatch.setattr(os, "link", refuse)
    test_what_was_there_is_kept_under_another_name(tmp_path)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"a\nb\n", ("a\nb\n", 0, "")),
        (b"a\r\nb\r\n", ("a\nb\n", 2, "CRLF")),
        (b"a\rb\rc\r", ("a\nb\nc\n", 3, "CR")),
        (b"a\rb\rc\n", ("a\nb\nc\n", 2, "CR")),  # the last line was added elsewhere
        (b"a\r\nb\rc\rd\r", ("a\nb\nc\nd\n", 4, "CRLF and CR")),
        (b"a\r\nb\r\nc\rd\n", ("a\nb\nc\rd\n", 2, "CRLF")),
        (b"a\nb\rc\n", ("a\nb\rc\n", 0, "")),
    ],
)
def test_every_files_own_line_ends_are_read_as_lf_and_counted(path, data, expected):
    path.write_bytes(data)
    assert read_text(path, "text file") == expected


WIDE = ["UTF-16-LE", "UTF-16-BE", "UTF-32-LE", "UTF-32-BE"]


@pytest.mark.parametrize("encoding", WIDE)
@pytest.mark.parametrize(
    "text",
    [
        "Call me Ishmael.\nSome years ago, never mind how long.\n",
        "Мой дядя самых честных правил,\nКогда не в шутку занемог,\n",
        "naïve café\r\n",
    ],
)
def test_a_wide_encoding_without_a_mark_is_known_by_its_nuls(path, encoding, text):
    data = text.encode(encoding) * 30
    assert wide_encoding(data) == encoding
    path.write_bytes(data)
    try:
        assert f"looks like {encoding} without a" in (describe_nuls(data.decode()) or "")
    except UnicodeDecodeError:
        with pytest.raises(
            UserError, match=rf"not UTF-8 at byte \d+ .* \(it looks like {encoding}"
        ):
            read_utf8(path, "text file")


def test_texts_without_nuls_and_with_stray_ones_are_of_no_wide_encoding():
    for text in ("", "plain words\n" * 9, "Мой дядя\n" * 9, "天地玄黃\n" * 9):
        assert wide_encoding(text.encode()) is None
        assert describe_nuls(text) is None
    assert wide_encoding(b"plain words\n" * 99 + b"\0") is None
    assert describe_nuls("words\0" * 3) == "3 of its 18 characters are NUL, and plain text has none"


@pytest.mark.parametrize("kind", [replacing, replacing_folder])
@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (lambda path: OSError(errno.EACCES, "Denied", str(path)), "[Errno 13] Denied: '{path}'"),
        (lambda path: OSError(errno.ENOSPC, "Full"), "[Errno 28] Full: '{path}'"),
        (lambda path: OSError(errno.EPIPE, "Broken"), "[Errno 32] Broken"),
        (
            lambda path: OSError(errno.EPERM, "No", path, None, path / "x"),
            "[Errno 1] No: '{path}' -> '{path}/x'",
        ),
        (lambda path: UserError(f"{path}: damaged"), "{path}: damaged"),
        (lambda path: RuntimeError("no such", 3), "('no such', 3)"),
    ],
)
def test_errors_name_the_file_that_the_user_knows(path, kind, raised, expected):
    with pytest.raises(Exception, match=r".") as caught, kind(path) as temporary:
        raise raised(temporary)
    assert str(caught.value) == expected.format(path=path)


def test_a_place_that_is_taken_is_named_once(path):
    path.mkdir()
    with pytest.raises(OSError, match=f": '{re.escape(str(path))}'$"):
        write_text(path, "text")


@posix
def test_devices_and_pipes_are_no_places_for_files(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "file")
    (tmp_path / "device").symlink_to(os.devnull)
    os.mkfifo(tmp_path / "pipe")
    for name in ("file", "link", "missing", "nowhere/missing", "."):
        assert not is_special(tmp_path / name), name
    for path in (tmp_path / "device", tmp_path / "pipe", "/dev/stdout", "/dev/fd/1", "/dev/new"):
        assert is_special(path), path


@posix
def test_an_empty_device_and_a_pipe_are_read_to_their_end(tmp_path):
    assert read_bytes(os.devnull, "prompt file") == b""
    reading, writing = os.pipe()
    os.write(writing, b"all")
    os.close(writing)
    assert read_bytes(f"/dev/fd/{reading}", "prompt file") == b"all"
    os.close(reading)
