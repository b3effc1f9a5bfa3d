"""A Python that believes it is on macOS: what typeshed gives to Linux alone is gone, and so are /proc and its like.

Python starts ``sitecustomize`` before anything else, in each process that gets the folder by ``PYTHONPATH``. psutil
works on, with this system's own tables. What differs in macOS itself is not told by it.
"""

import ast
import json
import sys
from functools import cache
from pathlib import Path

import mypy

TYPESHED = Path(mypy.__file__).parent / "typeshed" / "stdlib"

MODULES = {
    "os": "os/__init__.pyi", "posix": "posix.pyi", "select": "select.pyi", "socket": "socket.pyi",
    "_socket": "_socket.pyi", "fcntl": "fcntl.pyi", "signal": "signal.pyi", "resource": "resource.pyi",
    "time": "time.pyi", "mmap": "mmap.pyi", "termios": "termios.pyi",
}  # fmt: skip

LIBC = ("prctl", "syscall", "pidfd_open", "memfd_create", "inotify_init1", "epoll_create1", "signalfd", "unshare")
"""Functions of the C library of Linux, which ctypes finds."""

SITECUSTOMIZE = '''
import ctypes, fcntl, importlib, mmap, os, resource, select, selectors, signal, socket, subprocess, sys
import sysconfig, termios, time, types
import io, psutil, psutil._pslinux
sysconfig.get_config_vars()  # how this Python was built, in a file that names the platform

class OtherSystemError(BaseException):
    """Nothing may catch it."""

PSUTIL = os.path.dirname(psutil.__file__)
ELSEWHERE = ("/proc", "/sys/", "/dev/shm", "/dev/full")
TEMPORARY = os.environ["TMPDIR"] + "/"  # which may be in one of them

def is_psutil():
    frame = sys._getframe(2)
    while frame is not None:
        if frame.f_code.co_filename.startswith(PSUTIL):
            return True
        frame = frame.f_back
    return False

def refuse(path):
    name = os.fsdecode(path) if isinstance(path, (str, bytes, os.PathLike)) else ""
    is_temporary = f"{name}/".startswith(TEMPORARY) or TEMPORARY.startswith(f"{name}/")
    if name.startswith(ELSEWHERE) and not is_temporary and not is_psutil():
        raise OtherSystemError(f"not on this system: {name}")

def open_cheaply(path, known={}):
    """macOS tells of one process alone. Linux lists the sockets of all, over and over: keep those that listen."""
    name = path.rpartition("/net/")[2]
    if name in ("tcp", "tcp6") and time.monotonic() - known.get(name, (0, ""))[0] > 0.1:
        with open_text(path) as file:
            listening = "".join(line for line in file if line.split()[3] in ("st", "0A"))
        known[name] = (time.monotonic(), listening)
    return io.StringIO(known[name][1]) if name in ("tcp", "tcp6") else open_text(path)

def watch(event, arguments):
    if event in {"open", "os.listdir", "os.scandir", "os.chdir"} and arguments:
        refuse(arguments[0])
    elif event in {"socket.connect", "socket.bind"} and arguments[0].family == socket.AF_UNIX:
        refuse(arguments[1])
        if len(os.fsencode(arguments[1])) > 103 or os.fsencode(arguments[1]).startswith(b"\\0"):
            raise OtherSystemError(f"no socket on this system: {arguments[1]}")

def guarded(work):
    def guard(path, *arguments, **named):
        refuse(path)
        return work(path, *arguments, **named)
    return guard

def find(library, name):
    if name in LIBC:
        raise AttributeError(name)
    return found(library, name)

for module, names in MISSING.items():
    for name in names:
        if hasattr(sys.modules.get(module) or importlib.import_module(module), name):
            delattr(sys.modules[module], name)
del selectors.EpollSelector
importlib.reload(selectors)  # which chose it
importlib.reload(subprocess)  # which looked for POSIX_SPAWN_CLOSEFROM
open_text, psutil._pslinux.open_text = psutil._pslinux.open_text, open_cheaply
os.readlink, os.stat, os.lstat = map(guarded, (os.readlink, os.stat, os.lstat))
found, ctypes.CDLL.__getattr__ = ctypes.CDLL.__getattr__, find
sys.modules["_scproxy"] = proxies = types.ModuleType("_scproxy")  # urllib's own, for the settings of macOS
proxies._get_proxies = proxies._get_proxy_settings = dict
sys.platform = "darwin"
sys.addaudithook(watch)
'''


def create_other_system(folder: Path) -> dict[str, str]:
    """Write ``sitecustomize`` into a folder, and return the variables that make it work."""
    folder.mkdir(parents=True, exist_ok=True)
    missing = {module: sorted(linux_only_names(stub)) for module, stub in MODULES.items()}
    (folder / "sitecustomize.py").write_text(f"MISSING = {json.dumps(missing)}\nLIBC = {LIBC!r}\n{SITECUSTOMIZE}")
    return {"PYTHONPATH": str(folder)}


@cache
def linux_only_names(stub: str) -> frozenset[str]:
    """Return the names that a module of the standard library has on Linux and not on macOS, as typeshed knows."""
    body = ast.parse((TYPESHED / stub).read_text()).body
    return frozenset(_names(body, "linux") - _names(body, "darwin"))


def _names(body: list[ast.stmt], platform: str) -> set[str]:
    found: set[str] = set()
    for statement in body:
        match statement:
            case ast.If():
                found |= _names(statement.body if _holds(statement.test, platform) else statement.orelse, platform)
            case ast.FunctionDef() | ast.ClassDef():
                found.add(statement.name)
            case ast.AnnAssign(target=ast.Name(id=name)):
                found.add(name)
            case ast.Assign(targets=[ast.Name(id=name)]):
                found.add(name)
            case ast.ImportFrom():
                found |= {alias.asname or alias.name for alias in statement.names}
    return found


def _holds(test: ast.expr, platform: str) -> bool:
    """Evaluate a condition of a stub for this Python on another platform."""
    names = {"sys": type("Sys", (), {"platform": platform, "version_info": sys.version_info})}
    return bool(eval(compile(ast.Expression(test), "stub", "eval"), {**names, "TYPE_CHECKING": True}))
