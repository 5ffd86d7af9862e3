"""Two hosts of Automart, and a third with what they share; parts of it fail while they work.

`python -m tests.hosts --seconds 300` (Linux, as root, with iproute2 and PostgreSQL's
programs).
"""
