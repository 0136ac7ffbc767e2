"""One digest for a value: equal digests mean equal values of equal types.

    hash_value({"limit": 3})        the same in every process, under every hash seed
    hash_value({"limit": 3.0})      another one: types count, all the way down

What counts: exact types (`1`, `1.0`, `True` and `np.int64(1)` differ, and so does a subclass from its base), the order
of lists and tuples, the zone of a datetime, the sign of zero, the dtype, shape and memory layout of an array, the name
of a class (its module and qualified name; a script run as `__main__` counts by the name of its file), and which lists,
dicts, sets, arrays and frames stand in several places of one value. What does not: the order of dicts and sets, where
objects are in memory, and (outside arrays) which NaN it is.

Instances count by all of their attributes, where their class says that this is what makes two of them equal:
dataclasses, attrs classes, pydantic models, named tuples, enumerations, subclasses of plain data; by what an
`__entrepot_key__` method of their class returns; or by what a function returns that was registered for the class with
`@hasher`. Others are refused: an object that is only equal to itself cannot be found again in another process. Values
that are computed from the others and kept (`functools.cached_property`) do not count.

The *code* of an instance's class is no part of the value: `identify` reports the classes, and the part of a key that
covers the task's code covers theirs (`code.py`). A function, a class or a module that is passed as a value is code, and
counts by what it does.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b

from entrepot.errors import UnhashableValueError
from entrepot.hashing._bytes import text
from entrepot.hashing._encoder import Encoder, Refused
from entrepot.hashing._glance import small_form
from entrepot.hashing._sharing import sharing

__all__ = ["ValueIdentity", "hash_parts", "hash_value", "identify", "small_digest"]

_VALUE = b"entrepot-value-1"
_PARTS = b"entrepot-parts-1"
_value_digest = blake2b(digest_size=32, person=_VALUE)
_parts_digest = blake2b(digest_size=32, person=_PARTS)


@dataclass(frozen=True, slots=True)
class ValueIdentity:
    """What a value is, for keys.

    Attributes:
        digest: 64 hexadecimal digits.
        classes: The classes of the objects in it that are no plain data of Python itself; their code counts where code
            counts.
    """

    digest: str
    classes: tuple[type, ...] = ()


def hash_value(value: object, *, name: str = "value") -> str:
    """Return the digest of a value: 64 hexadecimal digits, the same in every process.

    Args:
        value: Any value; large buffers are read where they are, without a copy.
        name: What the value is called, for the error.

    Raises:
        UnhashableValueError: If a part of it has no stable identity; the error says which part, its type, and the ways
            out.
    """
    return blake2b(_form(Encoder(), value, name), digest_size=32, person=_VALUE).hexdigest()


def identify(value: object, *, name: str = "value") -> ValueIdentity:
    """Return the digest of a value together with the classes of the objects in it.

    Raises:
        UnhashableValueError: As `hash_value` does.
    """
    encoder = Encoder()
    form = _form(encoder, value, name)
    return ValueIdentity(blake2b(form, digest_size=32, person=_VALUE).hexdigest(), tuple(encoder.classes))


def small_digest(value: object) -> str | None:
    """Return the digest of small plain data of Python itself, without running any code of the user's; None of others.

    It is what `hash_value` returns.
    """
    form = small_form(value)
    if form is None:
        return None
    digest = _value_digest.copy()  # in half the time of a new one
    digest.update(form)
    return digest.hexdigest()


def hash_parts(parts: Mapping[str, str]) -> str:
    """Return the digest of named texts: 64 hexadecimal digits; their order does not count.

    It is BLAKE2b-256 over the names in order, each followed by its text; each is written as `<characters>:<text>`.
    """
    form = "".join([f"{len(name)}:{name}{len(text)}:{text}" for name, text in sorted(parts.items())])
    digest = _parts_digest.copy()
    digest.update(form.encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def _form(encoder: Encoder, value: object, name: str) -> bytes:
    try:
        form = encoder.encode(value)
        shared = sharing(value)
        return encoder.named("shared", form, text(shared)) if shared else form
    except Refused as refusal:
        raise _unhashable(refusal, name) from refusal.cause
    except RecursionError:
        raise UnhashableValueError(
            f"no cache key can be made of {name!r}: it is nested too deeply to be walked through. "
            f"Leave it out of the key (INPUTS - {name!r}), or give the task a cache_key_fn.",
            parameter=name,
            path=name,
        ) from None


def _unhashable(refusal: Refused, name: str) -> UnhashableValueError:
    path = f"{name}{refusal.path}"
    problem = f"no cache key can be made of {name!r}: {path} is {refusal.kind}, {refusal.reason}. "
    if refusal.advice:
        return UnhashableValueError(f"{problem}{refusal.advice.format(path=path)}.", parameter=name, path=path)
    return UnhashableValueError(
        f"{problem}Leave it out of the key (INPUTS - {name!r}); or say what it stands for, in a function under "
        f"@hasher({refusal.type_name}), or with an __entrepot_key__ method where the class is yours; or give the task "
        f"a cache_key_fn.",
        parameter=name,
        path=path,
    )
