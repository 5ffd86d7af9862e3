"""A small CRM: customers, with photos, found by parts of their names."""
