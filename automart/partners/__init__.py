"""Regional offices and manufacturers, and the service clients that act for them."""
