"""The demonstration: invented agencies and persons, and a story played through the public interfaces."""
