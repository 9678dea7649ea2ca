"""Write docs/reference/ from the code: `python -m scripts.reference`; with `--check` compare instead.

Every page is made from what the program itself uses: commands, settings, readers, routes, the registry of metrics and
the catalogue of a migrated database. Something public without a description is an error that says where to write one.
"""

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from cost_exporter.store.database.embedded import EmbeddedPostgres
from cost_exporter.store.database.migrate import migrate
from scripts.reference import attributes, cli, database, decisions, files, help_pages, http_api, metrics, python_api
from scripts.reference.markdown import ROOT, Undescribed

FOLDER = ROOT / "docs" / "reference"
DECISIONS = "../adr/index.md"
HELP = "../../cost_exporter/cli/help_pages.txt"
MADE = "<!-- Made from the code by `make reference`: edit the code, not this page. -->"
PAGES: dict[str, tuple[str, Callable[[], list[str]]]] = {
    "cli.md": ("Command line", cli.page),
    "environment.md": ("Environment", files.environment_page),
    "configuration-file.md": ("Configuration file", files.config_page),
    "price-file.md": ("Price file", files.price_page),
    "metrics.md": ("Metrics", metrics.page),
    "http-api.md": ("HTTP API", http_api.page),
    "attributes.md": ("Attributes", attributes.page),
    "python-api.md": ("Python API", python_api.page),
    DECISIONS: ("Decisions", decisions.page),
}


def pages(database_url: str) -> dict[str, str]:
    """Return the text of every page by its file name."""
    made = {name: render(title, make()) for name, (title, make) in PAGES.items()}
    return made | {"sql.md": render("SQL tables and views", database.page(database_url)), HELP: help_pages.text()}


def render(title: str, lines: list[str]) -> str:
    """Return a page under its title, with a line at its top that says where it comes from."""
    return "\n".join([MADE, f"# {title}", "", *lines]).rstrip("\n") + "\n"


def main() -> int:
    """Write the pages, or name those that differ."""
    with tempfile.TemporaryDirectory(prefix="callfare-reference-") as folder:
        Path(folder).chmod(0o711)  # where this runs as root, PostgreSQL runs as another user and must pass
        server = EmbeddedPostgres(Path(folder) / "pg")
        try:
            url = server.start()
            migrate(url)
            made = pages(url)
        except Undescribed as error:
            sys.stderr.write(f"error: {error}\n")
            return 1
        finally:
            server.stop()
    different = [name for name, text in made.items() if not is_current(name, text)]
    if "--check" in sys.argv:
        sys.stderr.write("".join(f"{_path(name)} is not current: run make reference\n" for name in different))
        return 1 if different else 0
    for name in different:
        (FOLDER / name).write_text(made[name], encoding="utf-8")
        sys.stdout.write(f"wrote {_path(name)}\n")
    return 0


def _path(name: str) -> Path:
    return (FOLDER / name).resolve().relative_to(ROOT)


def is_current(name: str, text: str) -> bool:
    """Return whether the page in the repository is this text."""
    path = FOLDER / name
    return path.exists() and path.read_text(encoding="utf-8") == text


if __name__ == "__main__":
    sys.exit(main())
