"""Results as text: terminal table, plain text, Markdown, JSON, CSV; functions of `to_dict()`. Floor 4."""

from calibkit.render.contents import print_contents
from calibkit.render.exports import bin_table_csv, to_json
from calibkit.render.layout import bins_phrase
from calibkit.render.names import sanitise
from calibkit.render.numbers import format_interval, format_number, format_p, format_percent, plain_number
from calibkit.render.planning import plan_text, print_plan
from calibkit.render.recipes import recipes_text
from calibkit.render.results import (
    comparison_text,
    evaluation_text,
    evaluations_text,
    markdown,
    print_comparison,
    print_evaluations,
)

__all__ = [
    "bin_table_csv",
    "bins_phrase",
    "comparison_text",
    "evaluation_text",
    "evaluations_text",
    "format_interval",
    "format_number",
    "format_p",
    "format_percent",
    "markdown",
    "plain_number",
    "plan_text",
    "print_comparison",
    "print_contents",
    "print_evaluations",
    "print_plan",
    "recipes_text",
    "sanitise",
    "to_json",
]
