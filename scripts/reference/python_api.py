"""The Python API, from signatures and docstrings."""

import inspect
from collections.abc import Iterator
from typing import Any

import callfare
import cost_exporter.prices
from cost_exporter.domain.pricing.book import PriceBook
from scripts.reference.markdown import Undescribed, code


def page() -> list[str]:
    """Return the page: what an application imports, and the price book."""
    lines = [
        "What a program can import. Most applications import nothing: `opentelemetry-instrument` and the environment are enough.",
        "Import `callfare` to set the tenant in the code ([workflow](../how-to/workflow.md)) or a limit ([budget](../how-to/budgets.md)), and",
        "`cost_exporter.prices` to compute a price without a service.",
        "",
        "## In the application: `import callfare`",
        "",
    ]
    for name in sorted(callfare.__all__):
        lines += entry(f"callfare.{name}", getattr(callfare, name))
    lines += ["## Prices without a service: `import cost_exporter.prices`", ""]
    for name in sorted(cost_exporter.prices.__all__):
        lines += entry(f"cost_exporter.prices.{name}", getattr(cost_exporter.prices, name))
    return lines + entry("PriceBook.price", PriceBook.price)


def entry(name: str, what: Any) -> list[str]:
    """Return signature and description; the public methods of a class as well."""
    text = inspect.getdoc(what)
    if isinstance(what, type) and text is not None and text.startswith("See the module"):
        text = inspect.getdoc(inspect.getmodule(what))
    if not text:
        raise Undescribed(f"{name} has no docstring; write one")
    lines = [f"### {name}", "", "```python", f"{name}{signature(what)}", "```", "", *prose(text), ""]
    if isinstance(what, type):
        lines += [line for method in methods(name, what) for line in method]
    return lines


def methods(name: str, kind: type) -> Iterator[list[str]]:
    """Yield a list item for each public method and property."""
    for each, member in vars(kind).items():
        if each.startswith("_"):
            continue
        shown = f"{each}{signature(member)}" if callable(member) else each
        text = inspect.getdoc(member)
        if not text:
            raise Undescribed(f"{name}.{each} has no docstring; write one")
        yield [f"- {code(shown)}: {' '.join(text.split())}", ""]


def signature(what: Any) -> str:
    """Return the parameters as a caller writes them, without types of our own."""
    parameters = list(inspect.signature(what).parameters.values())
    if parameters and parameters[0].name == "self":
        parameters = parameters[1:]
    bare = [each.replace(annotation=inspect.Parameter.empty) for each in parameters]
    return str(inspect.Signature(bare))


def prose(text: str) -> list[str]:
    """Return a docstring as Markdown: indented examples become code blocks."""
    lines: list[str] = []
    is_code = False
    for line in text.splitlines():
        if line.startswith("    ") != is_code and line.strip():
            is_code = not is_code
            while lines and not lines[-1]:
                lines.pop()
            lines += ["", "```python"] if is_code else ["```", ""]
        lines.append(line.removeprefix("    ") if is_code else line)
    return [*lines, *(["```"] if is_code else [])]
