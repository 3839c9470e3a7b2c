"""Stops a running program at each system call that changes a disk, and kills it at one of them.

`tracer.py PID N FOLDER` kills it when it begins its N-th such call, counted over all of its threads (`strace`
counts each thread by itself, so that it leaves out most moments of a program with many); with N = 0 never. Writing
to sockets, pipes and files outside of the folder does not count. Writes `attached` first, then a line for each
call. Needs Linux on x86-64.
"""

import ctypes
import os
import platform
import signal
import sys

# Those of x86-64.
CALLS = {
    1: "write", 18: "pwrite64", 20: "writev", 74: "fsync", 75: "fdatasync", 76: "truncate", 77: "ftruncate",
    82: "rename", 83: "mkdir", 84: "rmdir", 86: "link", 87: "unlink", 257: "openat", 258: "mkdirat",
    263: "unlinkat", 264: "renameat", 265: "linkat", 277: "sync_file_range", 285: "fallocate",
    296: "pwritev", 306: "syncfs", 316: "renameat2", 326: "copy_file_range", 328: "pwritev2", 40: "sendfile",
}  # fmt: skip
ON_DESCRIPTORS = {1, 18, 20, 74, 75, 77, 277, 285, 296, 306, 328, 40}
OPENAT, COPY_FILE_RANGE = 257, 326
CHANGES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC

SYSCALL, DETACH, SEIZE, INTERRUPT, GET_SYSCALL_INFO = 24, 17, 0x4206, 0x4207, 0x420E
OPTIONS = 1 | 8  # system calls are told from other stops; new threads are traced too
WALL = 0x40000000
ENTRY = 1


class Info(ctypes.Structure):
    """`struct ptrace_syscall_info` at an entry."""

    _fields_ = [
        ("op", ctypes.c_uint8),
        ("pad", ctypes.c_uint8 * 3),
        ("arch", ctypes.c_uint32),
        ("instruction", ctypes.c_uint64),
        ("stack", ctypes.c_uint64),
        ("number", ctypes.c_uint64),
        ("arguments", ctypes.c_uint64 * 6),
    ]


LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.ptrace.restype = ctypes.c_long
LIBC.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]


def ptrace(request, thread, first=0, second=0):
    """Whether the kernel did it; a thread that is gone needs nothing any more."""
    return LIBC.ptrace(request, thread, first, second) >= 0


def call_of(pid, thread, folder):
    """The name of a call that is about to change the disk, with what it changes; else nothing."""
    info = Info()
    if not ptrace(GET_SYSCALL_INFO, thread, ctypes.sizeof(info), ctypes.addressof(info)):
        return None
    number = info.number
    if info.op != ENTRY or number not in CALLS:
        return None
    if number == OPENAT and not info.arguments[2] & CHANGES:
        return None
    if number not in ON_DESCRIPTORS and number != COPY_FILE_RANGE:
        return CALLS[number]
    descriptor = info.arguments[2 if number == COPY_FILE_RANGE else 0] & 0xFFFFFFFF
    try:
        name = os.readlink(f"/proc/{pid}/fd/{descriptor}")
    except OSError:
        return None
    if not name.startswith(folder):
        return None
    return f"{CALLS[number]} {os.path.relpath(name, folder)}"


def trace(pid, last, folder):
    """Runs until the program has ended."""
    for thread in map(int, os.listdir(f"/proc/{pid}/task")):
        if not (ptrace(SEIZE, thread, 0, OPTIONS) and ptrace(INTERRUPT, thread)):
            return "tracing is not allowed here"
    print("attached", flush=True)
    count = 0
    while True:
        try:
            thread, status = os.waitpid(-1, WALL)
        except ChildProcessError:
            return None
        if not os.WIFSTOPPED(status):
            continue
        stopped_by, passed_on = os.WSTOPSIG(status), 0
        if stopped_by == signal.SIGTRAP | 0x80:
            call = call_of(pid, thread, folder)
            if call:
                count += 1
                print(count, call, flush=True)
            if call and count == last:
                os.kill(pid, signal.SIGKILL)
        elif status >> 16 == 0:
            passed_on = stopped_by
        ptrace(SYSCALL, thread, 0, passed_on)


if __name__ == "__main__":
    if platform.machine() != "x86_64":
        sys.exit("the tracer knows x86-64 only")
    sys.exit(trace(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]))
