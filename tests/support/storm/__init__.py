"""Concurrent sales, and then concurrent changes of state, while processes are killed.

Used by tests/webhooks/test_processes.py (small) and benchmarks/sales_storm.py (large).
"""
