"""Accounts: users, clients, their credentials and logins, and the audit trail."""
