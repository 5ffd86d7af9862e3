"""What the tests stand on: real servers, real processes, short ways to say things."""
