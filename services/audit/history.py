"""How older events of this service are read today. There are none yet that changed."""
