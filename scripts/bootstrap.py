"""Make `.venv` ready to work in: `python3 scripts/bootstrap.py run|dev`.

`run` installs what the demo and the service need, `dev` also the tools of CONTRIBUTING.md. Nothing is done
when the environment already matches `pyproject.toml` and `constraints.txt` (their hash is kept in a stamp).
The file must parse on an old Python, because its first duty is to say clearly that a newer one is needed.
"""

import hashlib
import os
import shutil
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
VENV = os.path.join(ROOT, ".venv")
PYTHON = os.path.join(VENV, "bin", "python")
OLDEST = (3, 11)
EXTRAS = "all"


def main():
    """Bring `.venv` up to date for the level asked for and return the exit code."""
    level = sys.argv[1] if len(sys.argv) > 1 else "dev"
    if sys.version_info[:2] < OLDEST:
        return start_again_with_newer_python()
    if level not in ("run", "dev"):
        return fail("level is %r; say run or dev" % level)
    if is_current(level):
        return 0
    if not works(PYTHON):
        make_environment()
    say("installing callfare and what it needs (%s); a first time takes a minute or two" % level)
    install(level)
    write_stamp(level)
    say("ready")
    return 0


def start_again_with_newer_python():
    """Run this script with a Python that is new enough, or say what to install."""
    for name in ("python3.13", "python3.12", "python3.11"):
        path = find_program(name)
        if path and works(path):
            os.execv(path, [path] + sys.argv)  # noqa: RUF005 - Python 2 parses this
    found = ".".join(str(part) for part in sys.version_info[:3])
    return fail("callfare needs Python 3.11 or newer; python3 here is %s. Install one, then run make again" % found)


def find_program(name):
    """Return the path of a program, also on a Python without `shutil.which`."""
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        path = os.path.join(folder, name)
        if os.access(path, os.X_OK):
            return path
    return None


def works(python):
    """Return whether `python` is there, runs, and is new enough."""
    check = "import sys; sys.exit(sys.version_info[:2] < (%d, %d))" % OLDEST
    with open(os.devnull, "w") as nowhere:
        try:
            return subprocess.call([python, "-c", check], stdout=nowhere, stderr=nowhere) == 0
        except OSError:
            return False


def make_environment():
    """Create `.venv` with pip in it, borrowing an outer pip where Python comes without ensurepip (Debian)."""
    say("making .venv with Python %d.%d.%d" % sys.version_info[:3])
    shutil.rmtree(VENV, ignore_errors=True)
    if subprocess.call([sys.executable, "-m", "venv", VENV], stdout=subprocess.DEVNULL) == 0:
        return
    shutil.rmtree(VENV, ignore_errors=True)
    borrowed = [sys.executable, "-m", "pip", "--python", PYTHON, "install", "--quiet", "pip"]
    bare = [sys.executable, "-m", "venv", "--without-pip", VENV]
    if subprocess.call(bare) != 0 or subprocess.call(borrowed) != 0:
        shutil.rmtree(VENV, ignore_errors=True)
        sys.exit(fail("this Python cannot make environments: install python3-venv (Debian), then run make again"))


def install(level):
    """Install this checkout, editable, with every version pinned by constraints.txt."""
    wanted = ["--editable", "%s[%s]" % (ROOT, EXTRAS)]
    if level == "dev":
        wanted += development_tools()
    command = [PYTHON, "-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"]
    command += ["--constraint", os.path.join(ROOT, "constraints.txt")]
    if subprocess.call(command + wanted) != 0:
        sys.exit(fail("pip could not install; its message above says why. Fix that, then run make again"))


def development_tools():
    """Return the requirements of the dependency group `dev` (pip below 25.1 cannot read groups itself)."""
    import tomllib

    with open(os.path.join(ROOT, "pyproject.toml"), "rb") as file:
        return tomllib.load(file)["dependency-groups"]["dev"]


def is_current(level):
    """Return whether the environment was made from the files as they are; a dev environment serves `run` too."""
    if not works(PYTHON):
        return False
    return any(read_stamp(made) == fingerprint() for made in {level, "dev"})


def fingerprint():
    """Return the hash of everything that decides what is installed."""
    digest = hashlib.sha256(ROOT.encode())
    for name in ("pyproject.toml", "constraints.txt"):
        with open(os.path.join(ROOT, name), "rb") as file:
            digest.update(file.read())
    return digest.hexdigest()


def stamp_path(level):
    """Return where the fingerprint of the last installation is kept."""
    return os.path.join(VENV, "callfare-%s.stamp" % level)


def read_stamp(level):
    """Return the fingerprint of the last installation, or "" if there was none."""
    try:
        with open(stamp_path(level)) as file:
            return file.read()
    except OSError:
        return ""


def write_stamp(level):
    """Remember what was installed."""
    with open(stamp_path(level), "w") as file:
        file.write(fingerprint())


def say(text):
    """Print progress."""
    sys.stderr.write("bootstrap: %s\n" % text)
    sys.stderr.flush()


def fail(text):
    """Print a failure in one line and return its exit code."""
    sys.stderr.write("error: %s\n" % text)
    return 2


if __name__ == "__main__":
    sys.exit(main())
