"""Prices as data: curated YAML, the imported list, files of the operator; read, checked and put into a book.

`load_book` is what every command uses. Only `genai.py` touches the price library, and only for an import.
"""

from cost_exporter.prices.loader import load_book

__all__ = ["load_book"]
