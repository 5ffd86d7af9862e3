"""Dealers, their cars, and the bookings of cars.

Nothing expires: cancelled bookings are kept.
"""
