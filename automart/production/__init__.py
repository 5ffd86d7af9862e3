"""Factories, the sprockets that they make, and how they do against their goals over time.

Nothing expires: the points of a chart are kept until their factory is deleted.
"""
