"""Compiles HLSL with Microsoft's DXC, and names the files that it rejects.

    dxc.py libdxcompiler.so FILE.hlsl ...

The library exports COM objects. Outside Windows, their first five methods are QueryInterface, AddRef, Release and two
destructors.
"""

import ctypes as c
import sys
import uuid

FIRST = 5  # of the methods that an interface adds to IUnknown
UTF8 = 65001


class Buffer(c.Structure):
    _fields_ = [("data", c.c_void_p), ("size", c.c_size_t), ("encoding", c.c_uint)]


def guid(text):
    return (c.c_ubyte * 16).from_buffer_copy(uuid.UUID(text).bytes_le)


DXC_COMPILER = guid("73e22d93-e6ce-47f3-b5bf-f0664f39c1b0")
I_DXC_COMPILER3 = guid("228b4687-5a6a-4730-900c-9702b2203f54")
I_DXC_RESULT = guid("58346cda-dde7-4497-9461-6f87af5e0659")


def method(this, index, result, *types):
    """Returns a method of an object by its index in the virtual table, counted without IUnknown."""
    table = c.cast(c.cast(this, c.POINTER(c.c_void_p))[0], c.POINTER(c.c_void_p))
    function = c.CFUNCTYPE(result, c.c_void_p, *types)(table[FIRST + index])
    return lambda *arguments: function(this, *arguments)


def compile_file(compiler, path):
    """Returns the compiler's message, or None if it accepts the file."""
    source = open(path, "rb").read()
    entry = "main_" if b"void main_(" in source else "main"
    arguments = ["-E", entry, "-T", "cs_6_0", "-HV", "2018", "-O3"]
    run = method(compiler, 0, c.c_int, c.c_void_p, c.POINTER(c.c_wchar_p), c.c_uint, c.c_void_p, c.c_void_p, c.c_void_p)
    text = Buffer(c.cast(c.c_char_p(source), c.c_void_p), len(source), UTF8)
    out = c.c_void_p()
    flags = (c.c_wchar_p * len(arguments))(*arguments)
    code = run(c.byref(text), flags, len(arguments), None, I_DXC_RESULT, c.byref(out))
    if code != 0:
        return f"DXC failed with {code:#x}"
    status = c.c_int(-1)
    method(out.value, 0, c.c_int, c.c_void_p)(c.byref(status))
    if status.value == 0:
        return None
    errors = c.c_void_p()
    method(out.value, 2, c.c_int, c.c_void_p)(c.byref(errors))
    data = method(errors.value, 0, c.c_void_p)()
    size = method(errors.value, 1, c.c_size_t)()
    return c.string_at(data, size).decode("utf8", "replace")


def main():
    library = c.CDLL(sys.argv[1])
    compiler = c.c_void_p()
    code = library.DxcCreateInstance(DXC_COMPILER, I_DXC_COMPILER3, c.byref(compiler))
    if code != 0:
        sys.exit(f"DXC has no compiler: {code:#x}")
    rejected = 0
    for path in sys.argv[2:]:
        message = compile_file(compiler.value, path)
        if message is not None:
            rejected += 1
            print(f"{path}: {message}")
    print(f"DXC accepts {len(sys.argv) - 2 - rejected} of {len(sys.argv) - 2} files")
    sys.exit(rejected > 0)


main()
