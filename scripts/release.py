"""Build the wheel and the sdist, install each on every Python of this machine, use it, and write the list of parts.

    python scripts/release.py [--out dist]

`make release` runs it. It exits 1 where a Python cannot install or use what was built, and names it. The list of parts
(SBOM, CycloneDX 1.6) is made from what pip really installed for `callfare[all]`.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from licences import licence_of  # beside this file, which is run as a program

ROOT = Path(__file__).parents[1]
OLDEST = (3, 11)
QUOTE = '{"provider": "openai", "model": "gpt-4o-mini", "usage": {"input_tokens": 1234, "cache_read_tokens": 1024, "output_tokens": 87}}'
QUOTED = '"amount": "0.0001605"'
"""0.15 * 210 + 0.075 * 1024 + 0.60 * 87 millionths."""
PROBE = "import sys; sys.stdout.write('%d.%d %s' % (sys.version_info[0], sys.version_info[1], sys.executable))"


def main():
    """Build, try and list; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", default="dist", help="folder for wheel, sdist and the list of parts")
    out = Path(parser.parse_args().out).resolve()
    out.mkdir(parents=True, exist_ok=True)
    wheel, sdist = build(out)
    failures = []
    found = pythons()
    for version, python in sorted(found.items()):
        for built, extras in ((wheel, "all"), (sdist, "exporter")):
            started = time.monotonic()
            problem = tried(python, built, extras, out / f"callfare-{version}.sbom.json" if built == wheel else None)
            say(f"Python {version}: {built.name}[{extras}]: {problem or 'ok'} ({time.monotonic() - started:.0f} s)")
            failures += [problem] if problem else []
    if not found:
        failures.append("there is no Python %d.%d or newer on this machine" % OLDEST)
    return 1 if failures else 0


def build(out):
    """Return (wheel, sdist), built here. The wheel that the sdist makes must hold the same files."""
    for kind in ("wheel", "sdist"):
        subprocess.run(
            [sys.executable, "-m", "hatchling", "build", "--target", kind, "--directory", str(out)],
            cwd=ROOT,
            check=True,
        )
    name = re.search(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)[1]
    return out / f"callfare-{name}-py3-none-any.whl", out / f"callfare-{name}.tar.gz"


def pythons():
    """Return {version: path} of every Python of this machine that is new enough, one for each minor version."""
    candidates = [Path(folder) / f"python3.{minor}" for folder in os.get_exec_path() for minor in range(11, 20)]
    candidates += sorted(Path.home().glob(".pyenv/versions/*/bin/python"))
    found = {}
    for path in candidates:
        if path.exists():
            probed = subprocess.run([path, "-c", PROBE], capture_output=True, text=True, check=False)
            version, _, executable = probed.stdout.strip().partition(" ")
            if probed.returncode == 0 and tuple(map(int, version.split("."))) >= OLDEST:
                found.setdefault(version, executable)
    return found


def tried(python, built, extras, parts_file):
    """Install and use what was built in an environment of its own; return what went wrong, or ""."""
    with tempfile.TemporaryDirectory(prefix="callfare-release-") as folder:
        made = run([python, "-m", "venv", "--without-pip", folder])
        inside = Path(folder) / "bin" / "python"
        install = [sys.executable, "-m", "pip", "--python", str(inside), "install", "--quiet", "--no-input"]
        made = made or run([*install, "--constraint", str(ROOT / "constraints.txt"), f"{built}[{extras}]"])
        if made:
            return made
        callfare = str(Path(folder) / "bin" / "callfare")
        quoted = subprocess.run(
            [callfare, "prices", "quote"], input=QUOTE, capture_output=True, text=True, check=False, cwd="/"
        )
        if quoted.returncode != 0 or QUOTED not in quoted.stdout:
            return f"prices quote: {(quoted.stderr or quoted.stdout).strip()[-300:]}"
        if parts_file is not None:
            listed = subprocess.run([inside, __file__, "--parts"], capture_output=True, text=True, check=True)
            parts_file.write_text(listed.stdout, encoding="utf-8")
    return ""


def run(command):
    """Run a command; return the last line of its error, or ""."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")
    return "" if done.returncode == 0 else (done.stderr.strip().splitlines() or ["failed without a word"])[-1][:300]


def parts():
    """Return the CycloneDX document on everything that is installed in this environment."""
    from importlib.metadata import distributions

    installed = {normal(each.metadata["Name"]): each for each in distributions()}
    product = installed["callfare"]
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": {**part(product), "type": "application"}},
        "components": [part(each) for name, each in sorted(installed.items()) if name != "callfare"],
        "dependencies": [
            {
                "ref": reference(each),
                "dependsOn": sorted(reference(installed[name]) for name in needed(each) & installed.keys()),
            }
            for _, each in sorted(installed.items())
        ],
    }


def part(distribution):
    """Return one component: name, version, licence, where it comes from."""
    licence = licence_of(distribution)
    return {
        "type": "library",
        "bom-ref": reference(distribution),
        "name": distribution.metadata["Name"],
        "version": distribution.version,
        "purl": reference(distribution),
        **({"licenses": [{"license": {"name": licence}}]} if licence else {}),
    }


def needed(distribution):
    """Return the normal names of what a distribution requires."""
    return {normal(re.split(r"[\[<>=~!; (]", line)[0]) for line in distribution.requires or []}


def reference(distribution):
    """Return the package URL."""
    return f"pkg:pypi/{normal(distribution.metadata['Name'])}@{distribution.version}"


def normal(name):
    """Return a package name as the index compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def say(text):
    """Print a line at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    if "--parts" in sys.argv:
        json.dump(parts(), sys.stdout, indent=1)
        sys.exit(0)
    sys.exit(main())
