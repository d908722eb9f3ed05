"""The door: parse, call one public function, print or write. No mathematics, no defaults of its own."""

from calibkit.cli.main import main

__all__ = ["main"]
