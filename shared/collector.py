"""How the garbage collector of Python is set in a process that serves.

A page of events is thousands of small objects that all go at once. As Python starts, the collector looks for cycles
after every 700 of them, and now and then through all that was imported: an eighth of the price of reading the log.
"""

import gc

YOUNG = 20_000
"""So many new objects before it looks: a page of 1,000 events."""


def spare() -> None:
    """Call it when everything is imported and started: what is there then stays to the end and is not looked at."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, 10, 10)
