"""Runs a command on a terminal of its own: wide, then narrow, then Ctrl-C."""
import fcntl, os, pty, re, struct, sys, termios
pid, fd = pty.fork()
if pid == 0:
    os.execv(sys.argv[1], [sys.argv[1], *sys.argv[2:]])
def size(columns):
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
seen = b""
def until(pattern):
    global seen
    while not re.search(pattern, seen):
        seen += os.read(fd, 65536)
size(140)
until(rb"REFUSED[\s\S]*streamer +frontend")
size(45)
seen = b""
until(rb"IN/s[^\n]*\xe2\x80\xa6")
os.write(fd, b"\x03")
try:
    while True:
        more = os.read(fd, 65536)
        if not more: break
        seen += more
except OSError:
    pass
_, status = os.waitpid(pid, 0)
print(os.waitstatus_to_exitcode(status))
