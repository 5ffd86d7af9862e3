"""Accounts: people, machines, and how they prove who they are."""
