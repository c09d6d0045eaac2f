"""The torch modules that the mappings build. They load torch; the records in mappings/ do not."""
