"""Where calibkit meets other packages: thin, each loaded when it is asked for. Annex: integrations."""
