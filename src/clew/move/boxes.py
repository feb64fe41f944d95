"""
Where the parts of an export lie: a folder, or one file that is a tar of the same.

Both are written part by part. In a folder a part is a file, and `manifest.json` is replaced whole
after each. In one file each part is followed by a note of what it is, and the manifest comes last;
what stands behind the last note was being written when the export was killed, and is cut off.
"""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import BinaryIO, Protocol

import msgspec

from clew.move import manifest as manifests
from clew.move.manifest import Manifest, Part, UnreadableExport
from clew.move.parts import DamagedPart, make_durable

SUFFIX = ".clew"
"""A name that ends so is one file."""

_BEGIN = "begin.json"
_NOTE = "parts-{:05d}.json"
_BLOCK = tarfile.BLOCKSIZE


class Box(Protocol):
    """Holds an export."""

    def load(self) -> Manifest | None:
        """Give the manifest of what is there; None if nothing is. Of a half one, what is finished."""

    def begin(self, manifest: Manifest) -> None:
        """Begin a new export."""

    def workplace(self, name: str) -> Path:
        """Where a part may be written before it is put."""

    def sweep(self) -> None:
        """Remove what an export that was killed left in workplaces."""

    def put(self, manifest: Manifest, parts: Sequence[Part]) -> None:
        """Take *parts*, which were written to their workplaces, durably; *manifest* tells of them already."""

    def finish(self, manifest: Manifest) -> None:
        """Take the manifest of the whole."""

    def open(self, part: Part) -> AbstractContextManager[BinaryIO]:
        """Open a part to read."""


def box_at(path: str) -> Box:
    """Give the box that *path* names: one file if it is one, or is to be one by its name."""
    if Path(path).is_file() or (path.endswith(SUFFIX) and not Path(path).is_dir()):
        return FileBox(Path(path))
    return FolderBox(Path(path))


def is_export(path: str) -> bool:
    """Say whether something at *path* looks like an export."""
    if Path(path).is_dir():
        return True
    try:
        with Path(path).open("rb") as file:
            head = file.read(_BLOCK)
    except OSError:
        return path.endswith(SUFFIX)
    return head.startswith(_BEGIN.encode() + b"\0") and head[257:262] == b"ustar"


class FolderBox:
    """A folder with a file for each part."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def load(self) -> Manifest | None:
        """Read `manifest.json`."""
        try:
            return manifests.decode((self._folder / manifests.NAME).read_bytes())
        except FileNotFoundError:
            return None

    def begin(self, manifest: Manifest) -> None:
        """Make the folder."""
        self._folder.mkdir(parents=True, exist_ok=True)
        if any(self._folder.iterdir()):
            raise UnreadableExport(f"{self._folder} is not empty and holds no export; name another folder")
        self.finish(manifest)

    def workplace(self, name: str) -> Path:
        """Beside where it will be."""
        return self._folder / f".{name}.partial"

    def sweep(self) -> None:
        """Remove what was being written."""
        for left in self._folder.glob(".*.partial"):
            left.unlink()

    def put(self, manifest: Manifest, parts: Sequence[Part]) -> None:
        """Give the files their names, then tell of them."""
        for part in parts:
            self.workplace(part.file).replace(self._folder / part.file)
        self.finish(manifest)

    def finish(self, manifest: Manifest) -> None:
        """Replace the manifest, whole or not at all."""
        aside = self.workplace(manifests.NAME)
        with aside.open("wb") as file:
            file.write(manifests.encode(manifest))
            make_durable(file)
        aside.replace(self._folder / manifests.NAME)
        _make_names_durable(self._folder)

    @contextmanager
    def open(self, part: Part) -> Iterator[BinaryIO]:
        """Open the file of that name, and no other: a manifest may come from anyone."""
        if Path(part.file).name != part.file:
            raise DamagedPart("its name is none")
        try:
            file = (self._folder / part.file).open("rb")
        except OSError as error:
            raise DamagedPart(f"it cannot be opened: {error.strerror}") from None
        with file:
            yield file


def _make_names_durable(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class FileBox:
    """One file: a tar that grows."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._places: dict[str, tuple[int, int]] = {}
        """By name, where a part begins and how long it is."""
        self._end = 0
        self._notes = 0

    def load(self) -> Manifest | None:
        """Read from note to note; what is behind the last is as if it were not there."""
        try:
            file = self._path.open("rb")
        except FileNotFoundError:
            return None
        with file:
            return self._read(file)

    def _read(self, file: BinaryIO) -> Manifest | None:
        manifest: Manifest | None = None
        for name, at, size in _members(file):
            if name in {_BEGIN, manifests.NAME}:
                manifest = manifests.decode(_piece(file, at, size))
            elif manifest is not None and name == _NOTE.format(self._notes + 1):
                try:
                    manifest.add(msgspec.json.decode(_piece(file, at, size), type=list[Part]))
                except msgspec.MsgspecError:
                    return manifest  # what is behind it may be anything
                self._notes += 1
            else:
                self._places[name] = at, size
                continue
            self._end = _padded(at + size)
        if manifest is None and file.seek(0, os.SEEK_END) > 0:
            raise UnreadableExport(f"{self._path} is no export of Clew's, or its beginning is damaged")
        return manifest

    def begin(self, manifest: Manifest) -> None:
        """Make the file."""
        with self._path.open("xb"):
            pass
        self._append([(_BEGIN, manifests.encode(manifest))])

    def workplace(self, name: str) -> Path:
        """Beside the file."""
        return self._path.with_name(f".{self._path.name}.{name}.partial")

    def sweep(self) -> None:
        """Remove what was being written."""
        start = f".{self._path.name}."
        for left in self._path.absolute().parent.iterdir():
            if left.name.startswith(start) and left.name.endswith(".partial"):
                left.unlink()

    def put(self, manifest: Manifest, parts: Sequence[Part]) -> None:  # noqa: ARG002
        """Append the parts, then the note of what they are."""
        self._notes += 1
        files: list[tuple[str, Path | bytes]] = [(part.file, self.workplace(part.file)) for part in parts]
        self._append([*files, (_NOTE.format(self._notes), msgspec.json.encode(list(parts)))])
        for part in parts:
            self.workplace(part.file).unlink()

    def finish(self, manifest: Manifest) -> None:
        """Append the manifest and tar's end."""
        self._append([(manifests.NAME, manifests.encode(manifest))], last=True)

    def _append(self, members: Sequence[tuple[str, Path | bytes]], *, last: bool = False) -> None:
        with self._path.open("r+b") as file:
            file.truncate(self._end)
            file.seek(self._end)
            for name, content in members:
                size = len(content) if isinstance(content, bytes) else content.stat().st_size
                header = tarfile.TarInfo(name)
                header.size = size
                file.write(header.tobuf(tarfile.USTAR_FORMAT))
                _write_content(file, content)
                file.write(b"\0" * (-size % _BLOCK))
            end = file.tell()
            if last:
                file.write(b"\0" * (2 * _BLOCK))
            make_durable(file)
        self._end = end

    @contextmanager
    def open(self, part: Part) -> Iterator[BinaryIO]:
        """Open a window on the part."""
        if part.file not in self._places:
            raise DamagedPart("it is not in the file")
        with self._path.open("rb") as file:
            yield _Window(file, *self._places[part.file])  # type: ignore[misc]


def _write_content(file: BinaryIO, content: Path | bytes) -> None:
    if isinstance(content, bytes):
        file.write(content)
        return
    with content.open("rb") as source:
        while data := source.read(1 << 20):
            file.write(data)


def _members(file: BinaryIO) -> Iterator[tuple[str, int, int]]:
    """Name, place and size of each member that is there whole."""
    end = file.seek(0, os.SEEK_END)
    at = 0
    while at + _BLOCK <= end:
        file.seek(at)
        try:
            header = tarfile.TarInfo.frombuf(file.read(_BLOCK), "utf-8", "surrogateescape")
        except tarfile.HeaderError:
            return
        if at + _BLOCK + header.size > end:
            return
        yield header.name, at + _BLOCK, header.size
        at = _padded(at + _BLOCK + header.size)


def _padded(size: int) -> int:
    return size + -size % _BLOCK


def _piece(file: BinaryIO, at: int, size: int) -> bytes:
    file.seek(at)
    return file.read(size)


class _Window:
    """Some bytes of a file, as if they were one."""

    def __init__(self, file: BinaryIO, at: int, size: int) -> None:
        self._file, self._at, self._size = file, at, size
        self._read = 0
        file.seek(at)

    def read(self, count: int = -1) -> bytes:
        left = self._size - self._read
        data = self._file.read(left if count < 0 else min(left, count))
        self._read += len(data)
        return data

    def seek(self, place: int) -> int:
        self._read = place
        return self._file.seek(self._at + place) - self._at
