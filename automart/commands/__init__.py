"""The commands of `automart`, one to a file, and what they share."""
