"""Weft: data pipelines from small blocks of Python."""

__version__ = "0.1.0.dev0"
