"""The jobs that workers run, and the processes that run them."""
