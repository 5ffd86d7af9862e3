"""Histories of concurrent clients, and a checker that looks for an order that explains them."""
