"""Dealers, their cars, and who has booked which car for when."""
