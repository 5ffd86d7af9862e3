"""Vehicle makes and models, kept in step with NHTSA's vPIC.

The outcomes of a sync are deleted with its job, which `automart.background` expires.
"""
