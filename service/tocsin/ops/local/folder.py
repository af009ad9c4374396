"""The state folder of a set of servers: who has it, what is published in it, and where its parts are.

set.json        what runs here, for programs; readable by its owner alone, as all of the folder
regions/        region files of this set, for TOCSIN_REGIONS_DIR
control         the Unix socket of the one who owns the servers
supervisor.log  what that one says when it runs detached
<server>/       configuration, data and log of each server
"""

import contextlib
import fcntl
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Self

from tocsin.engines.errors import Misconfigured, Owned

LOCK: Final = "lock"
"""Every set's folder has it."""
NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")


class SetFolder:
    """The folder of one set."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def named(cls, name: str, sets_dir: Path) -> Self:
        """That of a set of this name; raises `Misconfigured` for a name that is none, or that leads elsewhere."""
        if not NAME.fullmatch(name):
            raise Misconfigured(
                f"{name!r} is no name for a set of servers: lower-case letters, digits and hyphens, at most 32"
            )
        return cls(sets_dir / name)

    @property
    def name(self) -> str:
        """The set's name."""
        return self.path.name

    @property
    def regions(self) -> Path:
        """Region files of this set."""
        return self.path / "regions"

    @property
    def supervisor_log(self) -> Path:
        """What a detached supervisor says."""
        return self.path / "supervisor.log"

    def server(self, name: str) -> Path:
        """The folder of one of its servers."""
        return self.path / name

    # Ownership ---------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Holds the set against other supervisors; raises `Owned`, naming the process that has it."""
        try:
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            opened = (self.path / LOCK).open("a+b")
        except OSError as error:
            raise Misconfigured(f"the folder {self.path} cannot be written to ({error.strerror}): mend it") from error
        with opened as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise self._owned(self._owner(lock.fileno())) from None
            lock.truncate(0)
            lock.write(b"%d" % os.getpid())
            lock.flush()
            yield
            lock.truncate(0)

    def owner(self) -> int | None:
        """The process that runs the set; None when none does."""
        with contextlib.suppress(FileNotFoundError), (self.path / LOCK).open("rb") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return self._owner(lock.fileno())
        return None

    def refuse_if_owned(self) -> None:
        """Raises `Owned`, as `held` does, while a process runs the set."""
        if (owner := self.owner()) is not None:
            raise self._owned(owner)

    def _owned(self, owner: int | None) -> Owned:
        return Owned(
            f"process {owner} runs the set {self.name!r} already: end it (tocsin local down), or start another with "
            "--name"
        )

    def _owner(self, lock: int) -> int | None:
        said = os.pread(lock, 32, 0)
        return int(said) if said.isdigit() else None  # none: it has only just taken it

    def remove(self) -> None:
        """Removes the set with all its data, if it is there.

        Raises `Owned` while it runs, `Misconfigured` for a folder of something else.
        """
        if not self.path.exists():
            return
        if not (self.path / LOCK).exists():
            raise Misconfigured(f"{self.path} is no folder of a set of servers: nothing was removed")
        with self.held():
            shutil.rmtree(self.path)

    # What is published -------------------------------------------------------------------------------------------

    def publish(self, what: Mapping[str, Any]) -> None:
        """Writes set.json, at once or not at all."""
        handle, name = tempfile.mkstemp(prefix="set.json", dir=self.path)
        with os.fdopen(handle, "w") as file:
            json.dump(what, file, indent=2)
            file.write("\n")
        Path(name).replace(self.path / "set.json")

    def unpublish(self) -> None:
        """Removes set.json."""
        (self.path / "set.json").unlink(missing_ok=True)

    def published(self) -> dict[str, Any] | None:
        """What set.json says; None when the set does not run, unless it was killed."""
        try:
            return dict(json.loads((self.path / "set.json").read_bytes()))
        except FileNotFoundError:
            return None

    # The socket --------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def socket(self) -> Iterator[Path]:
        """A path to the control socket that is never too long: a socket's own may have some hundred bytes at most."""
        folder = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            yield Path(f"/proc/self/fd/{folder}/control")
        finally:
            os.close(folder)
