# Calls Python's own allocator as an extension does, by ctypes, and keeps the account of what these calls gave: the
# interpreter's own objects are not in it. Says what the C workloads say (truth.h).
import ctypes
import os
import sys

api = ctypes.pythonapi
size_t, pointer = ctypes.c_size_t, ctypes.c_void_p
functions = {}
for domain in ("PyMem_Raw", "PyMem_", "PyObject_"):
    for name, arguments, result in (
        ("Malloc", [size_t], pointer),
        ("Calloc", [size_t, size_t], pointer),
        ("Realloc", [pointer, size_t], pointer),
        ("Free", [pointer], None),
    ):
        function = getattr(api, domain + name)
        function.argtypes, function.restype = arguments, result
        functions[domain, name] = function

allocated = [0, 0]
freed = [0, 0]
live = {}


def took(address, size):
    assert address
    allocated[0] += size
    allocated[1] += 1
    live[address] = size


def gave(address):
    freed[0] += live.pop(address)
    freed[1] += 1


print("ready", os.getpid(), flush=True)
sys.stdin.readline()
for domain in ("PyMem_Raw", "PyMem_", "PyObject_"):
    malloc, calloc, realloc, free = (functions[domain, name] for name in ("Malloc", "Calloc", "Realloc", "Free"))
    for round in range(1, 201):
        # Small ones come from Python's arenas, large ones from the C library.
        size = round * 10
        a = malloc(size)
        took(a, size)
        b = calloc(3, round)
        took(b, 3 * round)
        gave(a)
        a = realloc(a, size * 2)
        took(a, size * 2)
        c = realloc(None, round)
        took(c, round)
        assert malloc((1 << 63) - 1) is None and realloc(c, (1 << 63) - 1) is None
        for divisor, block in ((2, a), (3, b), (5, c)):
            if round % divisor == 0:
                gave(block)
                free(block)
    free(None)
left = [allocated[0] - freed[0], allocated[1] - freed[1]]
print("process", os.getpid(), 0)
print("truth ctypes heap", *allocated, *freed, *left)
print("done", flush=True)
sys.stdin.readline()
