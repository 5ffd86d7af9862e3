"""Notices to the operators: what became of nightly syncs. Sent to NOTIFY_URLS."""
