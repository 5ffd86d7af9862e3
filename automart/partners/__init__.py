"""Regional offices and manufacturers, and the service clients that act for them.

Nothing expires here: `automart.webhooks` expires signing secrets and deliveries.
"""
