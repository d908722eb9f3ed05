"""Pictures of results: reliability diagrams and comparisons, for a screen and for a paper. Floor 4."""

from calibkit.plots.axes import plot_comparison, plot_reliability
from calibkit.plots.comparison import comparison_figure
from calibkit.plots.figures import reliability_figure
from calibkit.plots.saving import save_figure

__all__ = ["comparison_figure", "plot_comparison", "plot_reliability", "reliability_figure", "save_figure"]
