"""Everybody at once, while processes die: sales, then the states of their making.

The same storm is a small test and a large benchmark.
"""
