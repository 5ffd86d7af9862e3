"""Faults between and inside the parts of a running deployment. docs/testing.md describes them."""
