"""Predictions files: load, scan, save and inspect; one module a format. Floor 2."""

from calibkit.files.atomic import atomic_write, write_text
from calibkit.files.contents import Entry
from calibkit.files.expanding import expand
from calibkit.files.inspection import FileContents, inspect
from calibkit.files.loading import has_split, load
from calibkit.files.saving import save
from calibkit.files.scanning import scan

__all__ = [
    "Entry",
    "FileContents",
    "atomic_write",
    "expand",
    "has_split",
    "inspect",
    "load",
    "save",
    "scan",
    "write_text",
]
