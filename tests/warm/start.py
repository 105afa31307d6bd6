"""Has a program started by `parent`, and stands for it: its signals are passed on, its end is this one's."""

import json
import os
import signal
import socket
import sys

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # the program may be told to end before this is ready
parent = socket.socket(socket.AF_UNIX)
parent.connect(sys.argv[1])
asked = json.dumps([sys.argv[2:], dict(os.environ), os.getcwd()]).encode()
socket.send_fds(parent, [len(asked).to_bytes(4, "big")], [0, 1, 2])
parent.sendall(asked)
answers = parent.makefile("r")
child = int(answers.readline())
for number in SIGNALS:
    signal.signal(number, lambda number, _: os.kill(child, number))
signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
for file in (0, 1, 2):  # the program alone holds its pipes
    os.close(file)
status = int(answers.readline() or -signal.SIGKILL)
if status < 0:
    signal.signal(-status, signal.SIG_DFL) if -status != signal.SIGKILL else None
    os.kill(os.getpid(), -status)
os._exit(status)
