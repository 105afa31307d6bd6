"""The whole bus in virtual time: `python -m tests.simulate --seeds N`.

A seed makes one run: publishers on the loop and on threads, one log (of a process, a model of a broker that
two or three processes share, or an SQLite file that they share), clients with slow sockets over the real
aiohttp server and the real `setup`, and faults. One event loop with a clock of its own runs everything, and
everything that is left to chance is drawn from the seed, so a seed that fails can be replayed to the byte. No
socket, no clock of the machine, and no thread that runs beside another.

Only the public face of the library is used, and the port of `rx_sse.bus.log.port`. Over a file it is the
library's own log with its two threads, and SQLite itself: `database` stands between them and the disk.
"""
