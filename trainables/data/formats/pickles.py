"""Reads plain values and numpy arrays from a pickle without running it.

A pickle is a program for a stack machine, whose REDUCE calls any function that the file names. Here a call is only
recorded; the calls by which numpy and Python write arrays and bytes are interpreted, and all others refused. Protocols
0 to 4, text of Python 2 included.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from trainables.common.errors import Unfit
from trainables.common.lazy import np

ARRAYS = ("numpy.core.multiarray._reconstruct", "numpy._core.multiarray._reconstruct")
"""The functions of older and newer numpy that create an array before its state is set."""


@dataclass
class Call:
    """A recorded call, never executed: `function` with `arguments`, and the state set on its result."""

    function: str
    arguments: tuple
    state: Any = None


@dataclass
class Machine:
    """The stack, the positions of its marks, and the memo of values that later opcodes refer to."""

    stack: list = field(default_factory=list)
    marks: list[int] = field(default_factory=list)
    memo: dict[int, Any] = field(default_factory=dict)
    room: int = 0  # bytes that its text may still encode to: at first the file's size

    def above_mark(self) -> list:
        """Pop the values pushed since the last mark."""
        start = self.marks.pop()
        some = self.stack[start:]
        del self.stack[start:]
        return some

    def encoded(self, text: str) -> bytes:
        """The bytes that text encodes. Raises Unfit where a text is reused to make more bytes than the file has."""
        self.room -= len(text)
        if self.room < 0:
            raise Unfit("a pickle that makes more bytes than it has")
        return text.encode("latin-1")

    def pop(self, count: int) -> tuple:
        """Pop the last `count` values, in the order in which they were pushed."""
        if len(self.stack) < count:
            raise Unfit("a pickle that takes values which it never gave")
        some = tuple(self.stack[-count:]) if count else ()
        del self.stack[len(self.stack) - count :]
        return some


def read_pickle(content: bytes) -> Any:
    """The value of a pickle of None, numbers, text, bytes, lists, tuples, dicts and numpy arrays. Raises Unfit.

    Text that Python 2 wrote as bytes is read as Latin-1, so that `text.encode("latin-1")` gives the bytes back.
    """
    machine = Machine(room=len(content))
    try:
        for opcode, argument, _ in pickletools.genops(content):
            if opcode.name not in STEPS:
                raise Unfit(f"its opcode {opcode.name} makes something other than plain values and arrays")
            STEPS[opcode.name](machine, argument)
        [value] = machine.stack
    except (ValueError, IndexError, KeyError, TypeError, AttributeError) as error:
        raise Unfit(f"not a sound pickle ({error})") from error
    return value


def _push(machine: Machine, argument: Any) -> None:
    machine.stack.append(argument)


def _pushes(value: Any) -> Callable:
    return lambda machine, _: machine.stack.append(value)


def _empty(kind: type) -> Callable:
    return lambda machine, _: machine.stack.append(kind())


def _tuple_of(count: int) -> Callable:
    return lambda machine, _: machine.stack.append(machine.pop(count))


def _mark(machine: Machine, _: None) -> None:
    machine.marks.append(len(machine.stack))


def _tuple(machine: Machine, _: None) -> None:
    machine.stack.append(tuple(machine.above_mark()))


def _list(machine: Machine, _: None) -> None:
    machine.stack.append(machine.above_mark())


def _dict(machine: Machine, _: None) -> None:
    some = machine.above_mark()
    machine.stack.append(dict(zip(some[::2], some[1::2], strict=True)))


def _append(machine: Machine, _: None) -> None:
    values, value = machine.pop(2)
    list.append(values, value)
    machine.stack.append(values)


def _appends(machine: Machine, _: None) -> None:
    some = machine.above_mark()
    list.extend(machine.stack[-1], some)


def _setitem(machine: Machine, _: None) -> None:
    key, value = machine.pop(2)
    dict.__setitem__(machine.stack[-1], key, value)


def _setitems(machine: Machine, _: None) -> None:
    some = machine.above_mark()
    dict.update(machine.stack[-1], zip(some[::2], some[1::2], strict=True))


def _put(machine: Machine, number: int) -> None:
    machine.memo[int(number)] = machine.stack[-1]


def _get(machine: Machine, number: int) -> None:
    machine.stack.append(machine.memo[int(number)])


def _memoize(machine: Machine, _: None) -> None:
    machine.memo[len(machine.memo)] = machine.stack[-1]


def _global(machine: Machine, names: str) -> None:
    machine.stack.append(Call(".".join(names.split(" ")), ()))


def _stack_global(machine: Machine, _: None) -> None:
    machine.stack.append(Call(".".join(machine.pop(2)), ()))


def _reduce(machine: Machine, _: None) -> None:
    function, arguments = machine.pop(2)
    machine.stack.append(_bytes_or_call(machine, Call(function.function, arguments)))


def _build(machine: Machine, _: None) -> None:
    call, state = machine.pop(2)
    call.state = state
    machine.stack.append(_array(machine, call) if call.function in ARRAYS else call)


def _nothing(machine: Machine, _: Any) -> None:
    """Opcodes without a value, such as frames."""


def _bytes_or_call(machine: Machine, call: Call) -> Any:
    """Interpret `_codecs.encode`, by which Python 3 writes bytes in protocols below 3; keep other calls."""
    if call.function == "_codecs.encode":
        return machine.encoded(call.arguments[0])
    return call


def _array(machine: Machine, call: Call) -> np.ndarray:
    """The array of numpy's state: version, shape, dtype, whether in column-major order, bytes."""
    _, shape, kind, columns, raw = call.state
    if kind.function != "numpy.dtype" or not isinstance(raw, str | bytes):
        raise Unfit("an array of something other than numbers")
    order = kind.state[1] if kind.state else "|"
    dtype = np.dtype(kind.arguments[0]).newbyteorder(order)
    if dtype.hasobject:
        raise Unfit("an array of something other than numbers")
    values = np.frombuffer(machine.encoded(raw) if isinstance(raw, str) else raw, dtype)
    return values.reshape(shape, order="F" if columns else "C")


PLAIN = "INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT STRING BINSTRING SHORT_BINSTRING UNICODE BINUNICODE"
PLAIN_3_4 = "SHORT_BINUNICODE BINUNICODE8 BINBYTES SHORT_BINBYTES BINBYTES8"
STEPS: dict[str, Callable[[Machine, Any], None]] = {
    **dict.fromkeys([*PLAIN.split(), *PLAIN_3_4.split()], _push),
    **dict.fromkeys(["PUT", "BINPUT", "LONG_BINPUT"], _put),
    **dict.fromkeys(["GET", "BINGET", "LONG_BINGET"], _get),
    **dict.fromkeys(["PROTO", "FRAME", "STOP"], _nothing),
    "MEMOIZE": _memoize,
    "NONE": _pushes(None),
    "NEWTRUE": _pushes(True),
    "NEWFALSE": _pushes(False),
    "EMPTY_LIST": _empty(list),
    "EMPTY_DICT": _empty(dict),
    "EMPTY_TUPLE": _tuple_of(0),
    "TUPLE1": _tuple_of(1),
    "TUPLE2": _tuple_of(2),
    "TUPLE3": _tuple_of(3),
    "MARK": _mark,
    "TUPLE": _tuple,
    "LIST": _list,
    "DICT": _dict,
    "APPEND": _append,
    "APPENDS": _appends,
    "SETITEM": _setitem,
    "SETITEMS": _setitems,
    "GLOBAL": _global,
    "STACK_GLOBAL": _stack_global,
    "REDUCE": _reduce,
    "BUILD": _build,
}
