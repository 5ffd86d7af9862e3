"""Two hosts with Automart, and a third with PostgreSQL and Redis. Parts fail under load.

`python -m tests.hosts --seconds 300` (Linux, as root, with iproute2 and PostgreSQL's
programs).
"""
