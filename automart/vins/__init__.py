"""Vehicle identification numbers: their form, and their decoding by NHTSA's vPIC."""
