"""A factory's output over time: its points, thinned, as data or as SVG."""
