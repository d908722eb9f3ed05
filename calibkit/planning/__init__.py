"""How many rows a test set needs, or what the rows that there are can show. Floor 3."""

from calibkit.planning.answers import PlanLine
from calibkit.planning.planned import Plan, plan

__all__ = ["Plan", "PlanLine", "plan"]
