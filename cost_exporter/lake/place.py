"""Where files are exported to: a directory, or a bucket of S3, both through pyarrow's file systems."""

import contextlib
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from cost_exporter.errors import ExportError
from cost_exporter.lake.columns import require_pyarrow

__all__ = ["PARTIAL_ENDING", "Place", "partial_name", "place_of"]

_S3: Final = "s3://"
PARTIAL_ENDING: Final = ".partial"


class Place:
    """A directory or a prefix in a bucket. Names within it are relative, with slashes."""

    def __init__(self, location: str) -> None:
        """Take `DIR` or `s3://BUCKET/PREFIX`. Nothing is asked of it yet; raises `ExportError` for what is neither."""
        require_pyarrow()
        from pyarrow import fs  # noqa: PLC0415 - only where files are exported

        self.location: Final = location.partition("?")[0] if location.startswith(_S3) else location
        """As it is shown: without parameters."""
        self.is_local: Final = not location.startswith(_S3)
        if self.is_local:
            if "://" in location:
                raise ExportError(f"{location!r} is neither a directory nor s3://BUCKET/PREFIX")
            self.filesystem: Any = fs.LocalFileSystem()
            self.root: str = str(Path(location).absolute())
            return
        if "@" in location:
            raise ExportError(
                "a key in the address would be shown; leave it out and set AWS_ACCESS_KEY_ID and the like"
            )
        with self._explained():
            self.filesystem, path = fs.FileSystem.from_uri(location)
        self.root = path.rstrip("/")

    def path(self, name: str) -> str:
        """Return what the file system calls a file."""
        return f"{self.root}/{name}"

    def names(self, folder: str = "") -> list[str]:
        """Return the files under a folder, however deep, in order; none where there is no such folder."""
        return sorted(self.sizes(folder))

    def sizes(self, folder: str = "") -> dict[str, int]:
        """Return the same with their bytes."""
        from pyarrow import fs  # noqa: PLC0415 - only where files are exported

        base = self.path(folder) if folder else self.root
        with self._explained():
            found = self.filesystem.get_file_info(fs.FileSelector(base, recursive=True, allow_not_found=True))
        cut = len(self.root) + 1
        return {each.path[cut:]: each.size for each in found if each.is_file}

    def read(self, name: str) -> bytes | None:
        """Return the bytes of a file; None where there is none."""
        with self._explained():
            try:
                with self.filesystem.open_input_stream(self.path(name)) as stream:
                    return bytes(stream.read())
            except FileNotFoundError:
                return None

    def write(self, name: str, content: bytes) -> None:
        """Write a file whole, or not at all."""
        with self._explained():
            if self.is_local:
                self._write_local(Path(self.path(name)), content)
            else:
                with self.filesystem.open_output_stream(self.path(name)) as stream:
                    stream.write(content)

    def delete(self, name: str) -> None:
        """Delete a file."""
        with self._explained():
            self.filesystem.delete_file(self.path(name))

    def _write_local(self, path: Path, content: bytes) -> None:
        """Write beside the file and rename: half a file would look whole. On the disk before it has its name."""
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(partial_name(str(path)))
        try:
            with partial.open("wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            partial.replace(path)
            directory = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(directory)
            finally:
                os.close(directory)
        finally:
            with contextlib.suppress(OSError):
                partial.unlink(missing_ok=True)

    @contextmanager
    def _explained(self) -> Generator[None]:
        """Raise `ExportError` for what the file system raises."""
        try:
            yield
        except FileNotFoundError:
            raise
        except (OSError, ValueError) as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            hint = (
                "name another directory" if self.is_local else "is the bucket there, and do AWS_* variables name a key?"
            )
            raise ExportError(f"{self.location} cannot be used ({reason}); {hint}") from error


def partial_name(name: str) -> str:
    """Return the name of a file until it is whole. A writer that is killed leaves it."""
    folder, slash, file = name.rpartition("/")
    return f"{folder}{slash}.{file}{PARTIAL_ENDING}"


def place_of(location: str | None, option: str) -> Place:
    """Return the place that an option or the setting names. Raises `ExportError` where neither does."""
    if location is None:
        raise ExportError(f"no place is named; add {option} DIR or s3://BUCKET/PREFIX, or set CALLFARE_EXPORT_TO")
    return Place(location)
