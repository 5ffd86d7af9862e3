"""Vehicle makes and models, kept in step with NHTSA's vPIC."""
