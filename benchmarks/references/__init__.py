"""Plain services that Automart is compared with. They run in a virtual environment of their own."""
