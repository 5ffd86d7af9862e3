"""Factories, the sprockets that they make, and how they do against their goals over time."""
