"""What operators need: health, metrics, the dashboard of the queues."""
