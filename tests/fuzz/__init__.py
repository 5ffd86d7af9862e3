"""`make fuzz`: requests at random, as callers of every role, on both databases."""
