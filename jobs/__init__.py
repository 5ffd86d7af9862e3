"""What the worker runs. The only home of outbound HTTP."""
