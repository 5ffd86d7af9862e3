"""Webhooks: where they are sent, how they are signed, and every delivery with its attempts."""
