"""Purchases: cars that regional offices have sold, and the states of their production.

Nothing expires: purchases are never deleted.
"""
