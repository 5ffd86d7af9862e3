"""Dealers, their cars, and the bookings of cars."""
