"""Purchases: cars that regional offices have sold, and the states of their production."""
