"""What every layer shares. Knows no HTTP."""
