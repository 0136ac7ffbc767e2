"""Values without a class of the user's: numbers, texts, containers, times."""

from entrepot_test_pairs import Pairs

numbers = Pairs("numbers")
numbers.values(
    things="""
        from decimal import Decimal
        from fractions import Fraction

        nan, inf = float("nan"), float("inf")
    """,
    differ=[
        ("1", "1.0"),
        ("1", "True"),
        ("0", "False"),
        ("1.0", "True"),
        ("1", "'1'"),
        ("1.0", "'1.0'"),
        ("0.0", "-0.0"),
        ("0.1 + 0.2", "0.3"),
        ("1", "1 + 0j"),
        ("1.0", "1 + 0j"),
        ("complex(0, 0.0)", "complex(0, -0.0)"),
        ("2**63", "float(2**63)"),
        ("2**64", "2**64 + 1"),
        ("-1", "2**64 - 1"),
        ("10**400", "10**400 + 1"),
        ("None", "'None'"),
        ("None", "0"),
        ("None", "False"),
        ("True", "'True'"),
        ("True", "'true'"),
        ("None", "'null'"),
        ("nan", "None"),
        ("nan", "'nan'"),
        ("nan", "inf"),
        ("inf", "-inf"),
        ("Decimal('1')", "1"),
        ("Decimal('1')", "'1'"),
        ("Decimal('1.0')", "Decimal('1.00')"),
        ("Decimal('0')", "Decimal('-0')"),
        ("Decimal('NaN')", "nan"),
        ("Decimal('0.1')", "Decimal(0.1)"),
        ("Fraction(1, 2)", "0.5"),
        ("Fraction(1)", "1"),
        ("...", "'...'"),
        ("...", "None"),
        ("NotImplemented", "None"),
    ],
    agree=[
        ("1000", "10**3"),
        ("2**100", "1 << 100"),
        ("0.5", "1 / 2"),
        ("1_000.0", "1e3"),
        ("1e400", "inf"),
        ("nan", "inf - inf"),
        ("nan", "-nan"),
        ("[nan]", "[float('nan')]"),
        ("1 + 2j", "complex(1, 2)"),
        ("True", "1 == 1"),
        ("int('7')", "7"),
        ("Fraction(1, 2)", "Fraction(2, 4)"),
        ("Decimal('1.10')", "Decimal('0.10') + 1"),
        ("Decimal('0.5')", "Decimal(0.5)"),
    ],
)

texts = Pairs("texts, bytes, paths")
texts.values(
    things="""
        import re
        from array import array
        from pathlib import Path, PurePosixPath, PureWindowsPath
        from uuid import UUID
    """,
    differ=[
        ("'a'", "b'a'"),
        ("b'a'", "bytearray(b'a')"),
        ("bytearray(b'a')", "memoryview(b'a')"),
        ("b'a'", "memoryview(b'a')"),
        ("b'a'", "[97]"),
        ("b'a'", "\"b'a'\""),
        ("'\\u00e9'", "'e\\u0301'"),
        ("''", "None"),
        ("''", "b''"),
        ("''", "[]"),
        ("'a'", "'A'"),
        ("'a'", "'a '"),
        ("'a'", "'a\\0'"),
        ("'a\\r\\n'", "'a\\n'"),
        ("'\\ud800'", "'?'"),
        ("'1e3'", "'1000.0'"),
        ("'a' * 100_000", "'a' * 100_001"),
        ("b'a' * 100_000", "b'a' * 99_999 + b'b'"),
        ("Path('a/b')", "'a/b'"),
        ("Path('a/b')", "Path('b/a')"),
        ("Path('a')", "Path('./a').absolute()"),
        ("PurePosixPath('a/b')", "PureWindowsPath('a/b')"),
        ("PurePosixPath('a/b')", "Path('a/b')"),
        ("UUID(int=1)", "str(UUID(int=1))"),
        ("UUID(int=1)", "UUID(int=2)"),
        ("re.compile('a')", "'a'"),
        ("re.compile('a')", "re.compile('a', re.I)"),
        ("re.compile('a')", "re.compile(b'a')"),
        ("array('b', [1])", "array('h', [1])"),
        ("array('b', [1])", "b'\\1'"),
    ],
    agree=[
        ("'ab'", "'a' + chr(98)"),
        ("'a' * 1000", "''.join(['a' for _ in range(1000)])"),
        ("'\\u00e9'", "'e\\u0301'.encode().decode().replace('e\\u0301', '\\u00e9')"),
        ("b'a'", "bytes([97])"),
        ("b'ab' * 50_000", "bytes(bytearray(b'ab' * 50_000))"),
        ("bytearray(b'a')", "bytearray('a'.encode())"),
        ("memoryview(b'abcdef')[::2]", "memoryview(b'ace')"),
        ("Path('a//b/')", "Path('a/b')"),
        ("Path('a') / 'b'", "Path('a/b')"),
        ("PureWindowsPath('a/b')", "PureWindowsPath('a\\\\b')"),
        ("UUID(int=1)", "UUID('00000000-0000-0000-0000-000000000001')"),
        ("re.compile('a', re.I)", "re.compile('a', re.IGNORECASE | re.UNICODE)"),
        ("array('h', [1, 2])", "array('h', [1, 2, 3][:2])"),
    ],
)

containers = Pairs("containers")
containers.values(
    things="""
        from array import array
        from collections import ChainMap, Counter, OrderedDict, defaultdict, deque
        from types import MappingProxyType, SimpleNamespace

        def cycle(*items):
            one = list(items)
            one.append(one)
            return one
    """,
    differ=[
        ("(lambda x: [x, x])([1])", "[[1], [1]]"),
        ("(lambda x: {'a': x, 'b': x})([1])", "{'a': [1], 'b': [1]}"),
        ("(lambda x: [x, x, [1]])([1])", "(lambda x: [x, [1], x])([1])"),
        ("(1,)", "[1]"),
        ("[1]", "{1}"),
        ("{1}", "frozenset({1})"),
        ("[1]", "1"),
        ("[]", "()"),
        ("{}", "set()"),
        ("{}", "[]"),
        ("[]", "None"),
        ("[[]]", "[]"),
        ("[[], []]", "[[[]]]"),
        ("[[1], 2]", "[1, [2]]"),
        ("[1, 2]", "[2, 1]"),
        ("['ab', 'c']", "['a', 'bc']"),
        ("['a', 'b']", "[\"a', 'b\"]"),
        ("['1', 2]", "[1, '2']"),
        ("[1, 2, 3]", "[1, 2, 3.0]"),
        ("[1] * 20", "[True] * 20"),
        ("[*range(20)]", "[float(n) for n in range(20)]"),
        ("[*range(20)]", "(*range(20),)"),
        ("[None] * 16", "[None] * 17"),
        ("[*range(10_000), 'end']", "[*range(10_000), 'END']"),
        ("[float('nan')]", "[None]"),
        ("[0.0] * 40", "[0.0] * 39 + [-0.0]"),
        ("{(1, 2)}", "{(1, 2.0)}"),
        ("{'x', 'y'}", "{'x', 'z'}"),
        ("{1, 'a'}", "{1.0, 'a'}"),
        ("range(3)", "[0, 1, 2]"),
        ("slice(3)", "slice(0, 3)"),
        ("deque([1])", "[1]"),
        ("deque([1])", "deque([1], maxlen=5)"),
        ("Counter(a=1)", "{'a': 1}"),
        ("ChainMap({'a': 1})", "{'a': 1}"),
        ("ChainMap({'a': 1}, {'a': 2})", "ChainMap({'a': 1}, {'a': 3})"),
        ("MappingProxyType({'a': 1})", "{'a': 1}"),
        ("SimpleNamespace(a=1)", "{'a': 1}"),
        ("SimpleNamespace(a=1)", "SimpleNamespace(a=2)"),
        ("cycle(1)", "cycle(2)"),
        ("cycle(1)", "[1, cycle(1)]"),
        ("cycle(1)", "[1, [1]]"),
    ],
    agree=[
        ("[1] * 3", "[1, 1, 1]"),
        ("[*range(3)]", "[0, 1, 2]"),
        ("[*range(3)]", "[n for n in (0, 1, 2)]"),
        ("tuple([1])", "(1,)"),
        ("(lambda x: [x, x])([1])", "[[1]] * 2"),
        ("(lambda x: [x, x])((1, 'a'))", "[(1, 'a'), (1, ''.join('a'))]"),
        ("(lambda s: [s, s])('x' * 99)", "['x' * 99, ''.join(['x'] * 99)]"),
        ("(lambda n: [n, n])(10**30)", "[10**30, int('1' + '0' * 30)]"),
        ("deque([1, 2])", "deque(reversed([2, 1]))"),
        ("cycle(1)", "cycle(1)"),
        ("range(3)", "range(0, 3, 1)"),
        ("SimpleNamespace(a=1, b=2)", "SimpleNamespace(b=2, a=1)"),
        ("array('h', [1, 2])", "array('h', (1, 2))"),
        ("[str(n) for n in range(10_000)]", "[f'{n}' for n in range(10_000)]"),
    ],
)

_TWO = "row = [0]\ndef work(a, b): return a is b, a is b[0]\nINPUTS = {'a': row, 'b': row}"
containers.differ("one list in two arguments, and two equal ones", _TWO, "'b': row", "'b': [0]")
containers.differ("a list that is inside another argument", _TWO.replace("'b': row", "'b': [row]"), "[row]", "[[0]]")
containers.agree("two equal lists in two arguments", _TWO.replace("'b': row", "'b': [0]"), "[0]}", "list(row)}")

mappings = Pairs("keys and order of dicts and sets")
mappings.values(
    things="from collections import Counter, OrderedDict, defaultdict",
    differ=[
        ("{1: 'a'}", "{'1': 'a'}"),
        ("{1: 'a'}", "{1.0: 'a'}"),
        ("{1: 'a'}", "{True: 'a'}"),
        ("{None: 1}", "{'None': 1}"),
        ("{None: 1}", "{'null': 1}"),
        ("{True: 1}", "{'true': 1}"),
        ("{(1, 2): 3}", "{'(1, 2)': 3}"),
        ("{'a': 1}", "{'a': '1'}"),
        ("{'a': 1}", "{b'a': 1}"),
        ("{'a': [1]}", "{'a': (1,)}"),
        ("{'a': None}", "{}"),
        ("{'a': 1, 'b': 2}", "{'a': 2, 'b': 1}"),
        ("{'a': 1}", "[('a', 1)]"),
        ("{'a': {'b': 1}}", "{'a': {}, 'b': 1}"),
        ("{'x': {1: 2}}", "{'x': {'1': 2}}"),
        ("[{1: 'a'}]", "[{'1': 'a'}]"),
        ("{1: 'a', '1': 'b'}", "{1: 'b', '1': 'a'}"),
        ("OrderedDict(a=1, b=2)", "OrderedDict(b=2, a=1)"),
        ("OrderedDict(a=1)", "{'a': 1}"),
        ("defaultdict(int)", "defaultdict(list)"),
        ("defaultdict(int, a=1)", "{'a': 1}"),
        ("{n: n for n in range(6_000)}", "{n: n for n in range(5_999)} | {5_999: 0}"),
        ("{'a': 1}.keys()", "['a']"),
        ("{frozenset({1}): 1}", "{frozenset({1.0}): 1}"),
    ],
    agree=[
        ("{'a': 1, 'b': 2}", "{'b': 2, 'a': 1}"),
        ("{'a': {'x': 1, 'y': 2}}", "{'a': {'y': 2, 'x': 1}}"),
        ("[{'x': 1, 'y': 2}]", "[{'y': 2, 'x': 1}]"),
        ("{1: 'x', 'b': 2, (1, 2): 3}", "{(1, 2): 3, 'b': 2, 1: 'x'}"),
        ("{1: 'x', '1': 'y', None: 'z'}", "{None: 'z', '1': 'y', 1: 'x'}"),
        ("dict(a=1)", "{'a': 1}"),
        ("{**{'a': 1}, 'b': 2}", "{'b': 2} | {'a': 1}"),
        ("{'a': 0, 'b': 1, 'c': 2}", "dict(zip('cab', (2, 0, 1)))"),
        ("{'a', 'b', 'c', 'd'}", "{'d', 'c', 'b', 'a'}"),
        ("set('abcdefgh')", "set('hgfedcba')"),
        ("frozenset('abcdefgh')", "frozenset('hgfedcba')"),
        ("{'k': {'x', 'y', 'z'}}", "{'k': {'z', 'y', 'x'}}"),
        ("{1, 'a', None, (1, 2)}", "{(1, 2), None, 'a', 1}"),
        ("{frozenset('ab'), frozenset('cd')}", "{frozenset('dc'), frozenset('ba')}"),
        ("{('a', 1), ('b', 2)}", "{('b', 2), ('a', 1)}"),
        ("[set('xyz'), set('xyz')]", "[set('zyx'), set('yxz')]"),
        ("Counter('aab')", "Counter('baa')"),
        ("defaultdict(int, a=1, b=2)", "defaultdict(int, b=2, a=1)"),
        ("{n: str(n) for n in range(6_000)}", "{n: str(n) for n in reversed(range(6_000))}"),
        ("{float('nan'): 1}", "{-float('nan'): 1}"),
    ],
)

times = Pairs("times and zones")
times.values(
    things="""
        from datetime import UTC, date, datetime, time, timedelta, timezone
        from zoneinfo import ZoneInfo

        noon = datetime(2024, 5, 1, 12)
        seoul, paris, berlin = ZoneInfo("Asia/Seoul"), ZoneInfo("Europe/Paris"), ZoneInfo("Europe/Berlin")
    """,
    differ=[
        ("noon", "noon.replace(tzinfo=UTC)"),
        ("noon.replace(tzinfo=UTC)", "noon.replace(tzinfo=UTC).astimezone(seoul)"),
        ("noon.replace(tzinfo=seoul)", "noon.replace(tzinfo=timezone(timedelta(hours=9)))"),
        ("noon.replace(tzinfo=paris)", "noon.replace(tzinfo=berlin)"),
        ("noon.replace(tzinfo=UTC)", "noon.replace(tzinfo=timezone(timedelta(0), 'zero'))"),
        ("noon", "noon.replace(fold=1)"),
        ("noon", "noon.replace(microsecond=1)"),
        ("noon", "noon.isoformat()"),
        ("noon", "noon.timestamp()"),
        ("date(2024, 5, 1)", "datetime(2024, 5, 1)"),
        ("date(2024, 5, 1)", "'2024-05-01'"),
        ("time(12)", "time(12, tzinfo=UTC)"),
        ("time(12)", "'12:00:00'"),
        ("timedelta(days=1)", "86400"),
        ("timedelta(days=1)", "86400.0"),
        ("timedelta(days=1)", "timedelta(days=1, microseconds=1)"),
        ("seoul", "'Asia/Seoul'"),
        ("seoul", "paris"),
        ("UTC", "ZoneInfo('UTC')"),
        ("[noon]", "[noon.isoformat()]"),
    ],
    agree=[
        ("noon", "datetime.fromisoformat('2024-05-01T12:00:00')"),
        ("noon", "datetime.strptime('1.5.2024 12', '%d.%m.%Y %H')"),
        ("noon.replace(tzinfo=UTC)", "datetime(2024, 5, 1, 12, tzinfo=timezone.utc)"),
        ("noon.replace(tzinfo=UTC)", "noon.replace(tzinfo=timezone(timedelta(0)))"),
        ("noon.replace(tzinfo=seoul)", "noon.replace(tzinfo=ZoneInfo.no_cache('Asia/Seoul'))"),
        ("timedelta(hours=24)", "timedelta(days=1)"),
        ("timedelta(seconds=90)", "timedelta(minutes=1, seconds=30)"),
        ("date(2024, 5, 1)", "noon.date()"),
        ("time(12)", "noon.time()"),
        ("timezone(timedelta(hours=1))", "timezone(timedelta(minutes=60))"),
    ],
)
