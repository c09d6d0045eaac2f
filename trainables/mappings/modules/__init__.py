"""The modules that the mappings build. They load torch; the records beside this folder do not."""
