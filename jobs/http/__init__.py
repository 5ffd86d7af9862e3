"""Outbound HTTP of webhooks: to public addresses only, within one deadline."""
