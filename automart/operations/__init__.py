"""For operators: health checks, metrics, and the dashboard of the queues."""
