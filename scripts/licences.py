"""List the licence of every package that callfare installs or is developed with, from the packages' own metadata.

python scripts/licences.py           write LICENCES.md
python scripts/licences.py --check   exit 1 where a package is not on it, or a licence is unknown or not accepted
"""

import re
import sys
from importlib.metadata import Distribution, PackageNotFoundError, distribution, requires
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "LICENCES.md"
LOCK = ROOT / "development.lock"
ACCEPTED = re.compile(
    r"(?:MIT(?:-0|-CMU)?|Apache(?:-2\.0| 2\.0)?(?: WITH LLVM-exception)?|BSD(?:-[0123]-Clause)?|0BSD|ISC|Unlicense|"
    r"Zlib|PSF-2\.0|Python-2\.0(?:\.1)?|HPND|CC0-1\.0|BSL-1\.0|Unicode-3\.0|PostgreSQL)"
)
EXCEPTIONS = {
    "psycopg": "LGPL: used unchanged, as a library that can be replaced",
    "psycopg-binary": "LGPL: used unchanged, as a library that can be replaced",
    "psycopg-pool": "LGPL: used unchanged, as a library that can be replaced",
    "certifi": "MPL: certificates, used unchanged",
    "hypothesis": "MPL: only in tests",
    "pathspec": "MPL: only in tests and to build the manual",
    "azure-cognitiveservices-speech": "Microsoft's terms for its SDK: only in tests",
    "orjson": "MPL beside Apache and MIT: only in tests",
    "axe-playwright-python": "axe-core inside is MPL: only in tests",
}
"""Copyleft of single files or of a library, each with the reason why it does no harm."""
_CLASSIFIERS = (
    ("MIT-0", "MIT-0"),
    ("MIT", "MIT"),
    ("Apache", "Apache-2.0"),
    ("BSD", "BSD"),
    ("ISC", "ISC"),
    ("Mozilla", "MPL-2.0"),
    ("Lesser", "LGPL"),
    ("Affero", "AGPL"),
    ("General Public", "GPL"),
    ("Python Software Foundation", "PSF-2.0"),
    ("Unlicense", "Unlicense"),
    ("Zero-Clause", "0BSD"),
    ("Historical", "HPND"),
)


def main() -> int:
    """Write the page or compare it."""
    listed = licences()
    wrong = [
        f"{name}: {licence or 'no licence stated'}" for name, licence in listed.items() if not accepted(name, licence)
    ]
    for each in wrong:
        sys.stderr.write(
            f"error: {each}: not accepted; add it to scripts/licences.py with the reason, or leave it out\n"
        )
    if "--check" not in sys.argv:
        PAGE.write_text(page(listed), encoding="utf-8")
    elif unlisted(listed):
        sys.stderr.write(f"error: LICENCES.md lacks {', '.join(unlisted(listed))}: run `python scripts/licences.py`\n")
        return 1
    return 1 if wrong else 0


def unlisted(listed: dict[str, str]) -> list[str]:
    """Return the packages that the page does not have with their licence; other Pythons install others."""
    text = PAGE.read_text(encoding="utf-8")
    return [name for name, licence in listed.items() if f"| {name} | {licence} |" not in text]


def licences() -> dict[str, str]:
    """Return the licence of each locked package that is installed here, by name."""
    found: dict[str, str] = {}
    for name in locked():
        try:
            found[name] = licence_of(distribution(name))
        except PackageNotFoundError:
            continue  # of another platform or Python
    return found


def locked() -> list[str]:
    """Return the names of all packages of the lock."""
    return re.findall(r"^([a-z0-9][a-z0-9-]*)==", LOCK.read_text(encoding="utf-8"), re.MULTILINE)


def licence_of(package: Distribution) -> str:
    """Return what a package's metadata states: the expression, else the classifiers, else a short text."""
    stated = package.metadata
    if stated.get("License-Expression"):
        return stated["License-Expression"]
    of = [each.rpartition(" :: ")[2] for each in stated.get_all("Classifier", []) if each.startswith("License ::")]
    known = {short for each in of for short in [_short(each)] if short}
    if known:
        return " AND ".join(sorted(known))
    text = (stated.get("License") or "").strip().splitlines()
    return _short(text[0]) or text[0][:40] if text else ""


def _short(text: str) -> str:
    return next((short for part, short in _CLASSIFIERS if part.lower() in text.lower()), "")


def accepted(name: str, licence: str) -> bool:
    """Return whether a package may be used: one choice of its licence is accepted in every part, or it is excepted."""
    if name in EXCEPTIONS:
        return True
    while inner := re.search(r"\(([^()]*)\)", licence):
        licence = licence.replace(inner[0], "MIT" if _is_accepted(inner[1]) else "refused")
    return _is_accepted(licence)


def _is_accepted(choices: str) -> bool:
    """Return whether one of the choices is accepted in all its parts."""
    return any(
        all(ACCEPTED.fullmatch(part.strip()) for part in re.split(r"\bAND\b", each))
        for each in re.split(r"\bOR\b", choices)
    )


def page(listed: dict[str, str]) -> str:
    """Return the list as a page."""
    runtime = needed_at_run_time()
    lines = [
        "# Licences of what callfare installs",
        "",
        "Made by `python scripts/licences.py` from the packages' own metadata; callfare itself: [LICENSE](LICENSE).",
        "`run` is installed with `callfare[all]`, `develop` only to develop and test.",
        "",
        "| package | licence | for | note |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| {name} | {licence} | {'run' if name in runtime else 'develop'} | {EXCEPTIONS.get(name, '')} |"
        for name, licence in sorted(listed.items())
    ]
    return "\n".join(lines) + "\n"


def needed_at_run_time() -> set[str]:
    """Return the names of all that `callfare[all]` brings here."""
    reached: set[str] = set()
    waiting = [("callfare", "all")]
    seen: set[tuple[str, str]] = set()
    while waiting:
        name, extra = waiting.pop()
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        reached.add(name)
        try:
            stated = requires(name) or []
        except PackageNotFoundError:
            continue
        for each in stated:
            requirement, _, marker = each.partition(";")
            asked = re.search(r"extra\s*==\s*['\"]([^'\"]+)['\"]", marker)
            if asked is not None and asked[1] != extra:
                continue
            match = re.match(r"\s*([A-Za-z0-9._-]+)\s*(?:\[([^\]]*)\])?", requirement)
            assert match is not None
            dependency = re.sub(r"[-_.]+", "-", match[1]).lower()
            waiting += [(dependency, part.strip()) for part in (match[2] or "").split(",")]
    return reached


if __name__ == "__main__":
    sys.exit(main())
