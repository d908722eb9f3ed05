"""Where calibkit meets other packages: thin modules, each imported by its name. Annex: integrations."""
