"""Small templates, one feature each, with what Jinja2 makes of them in the environment that the
transformers library gives to chat templates. Writes snippets.json beside this file:

    python3 make_snippets.py            (needs jinja2)

Each entry: "t" the template, "text" what it gives, or "error". The variables are the same for all,
under "vars". test_jinja.c renders them; test_snippets.py makes them anew where jinja2 is at hand.
"""

import json
import os
import sys
from datetime import datetime

NOW = "2026-11-22T09:30:00"

VARS = {
    "i": 7, "neg": -7, "zero": 0, "f": 2.5, "big": 1e20, "tiny": 1e-7, "t": True, "n": None, "s": "Hello, World!",
    "empty": "", "pad": "  two words \n", "uni": "Grüße, 世界 🌍 ß", "html": "<b>\"a\" & 'b'</b>",
    "lines": "one\ntwo\n\nfour\n", "csv": "a,b,,c", "path": "a/b/c", "num": " 42 ", "flt": "3.75", "hex": "ff",
    "quote": "it's", "both": "it's \"so\"", "esc": "tab\there\\ \x01 \x7f \u2028 é",
    "l": [3, 1, 2], "ls": ["b", "A", "c", "a"], "lf": [1.5, 2, 0.25], "mixed": [1, "x", None, True, 2.0, [1], {"k": 1}],
    "nested": [[1, 2], [3, 4], [5, 6]], "el": [],
    "d": {"b": 2, "a": 1, "c": {"x": [1, 2, {"y": "deep"}]}}, "ed": {}, "keys": {"items": "mine", "get": 5, "a b": 1},
    "users": [{"name": "Bo", "age": 30, "tags": ["x"]}, {"name": "al", "age": 25, "tags": []},
              {"name": "Cy", "age": 30, "tags": ["x", "y"]}, {"name": "di", "age": None}],
    "tree": [{"v": 1, "kids": [{"v": 2, "kids": []}, {"v": 3, "kids": [{"v": 4, "kids": []}]}]}, {"v": 5, "kids": []}],
}


def environment():
    import jinja2
    from jinja2.ext import Extension
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(Extension):
        tags = {"generation"}

        def parse(self, parser):
            line = next(parser.stream).lineno
            body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
            return jinja2.nodes.CallBlock(self.call_method("_support"), [], [], body).set_lineno(line)

        def _support(self, caller):
            return caller()

    def raise_exception(message):
        raise jinja2.exceptions.TemplateError(message)

    def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True,
                                        extensions=[Generation, jinja2.ext.loopcontrols])
    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = lambda form: datetime.fromisoformat(NOW).strftime(form)
    return env


def expressions():
    atoms = ["i", "neg", "f", "t", "n", "s", "l", "undef", "0", "'x'", "(1, 2)"]
    for op in ["+", "-", "*", "/", "//", "%", "**", "~", "==", "!=", "<", "<=", ">", ">=", "in", "not in", "and", "or"]:
        for a in atoms:
            for b in atoms:
                if (op, a, b) == ("**", "neg", "f"):
                    continue  # complex numbers are none of ours
                yield f"{a} {op} {b}"
    yield from """
        1 + 2 * 3 - 4 | 5
        2 ** 3 ** 2
        -2 ** 2
        2 ** -1
        -7 // 2
        -7 % 3
        7 % -3
        -7.5 % 2
        7.5 // 2
        1 < 2 < 3
        1 < 3 < 2
        1 == 1.0 == true
        not i
        not not i
        not i == 7
        i if t else 'no'
        i if n else 'no'
        (i if n) ~ 'x'
        'a' if n else 'b' if n else 'c'
        'a' 'b' "c"
        'a\\nb\\tc\\x41\\u00e9\\'q\\\\'
        '\\q\\101\\U0001F30D'
        1_000
        0x1f
        0b101
        0o17
        1e3
        1.5e-3
        12.
        (1)
        (1,)
        ()
        []
        {}
        [1, 2,]
        {'a': 1, 'b': [2],}
        {1: 'x', none: 'y', true: 'z', 2.5: 'w'}
        {'a': 1}.a
        {'a': 1}['a']
        (1, 2) + (3,)
        [1] + [2]
        [1, 2] * 2
        'ab' * 3
        3 * 'ab'
        'ab' * -1
        l + (1,)
        s[0]
        s[-1]
        s[99]
        uni[8]
        uni[8:11]
        uni[::-1]
        s[1:4]
        s[:-1]
        s[::2]
        s[4:1:-1]
        s[:]
        s['0']
        l[0]
        l[-1]
        l[9]
        l[1:]
        l[::-1]
        l[5:9]
        l[:2:0]
        l['x']
        l.0
        nested.1.0
        nested[1][0]
        nested[0, 1]
        d.a
        d['a']
        d.zzz
        d.zzz.y
        d['zzz']
        d.c.x[2].y
        d.c['x'][2]['y']
        keys.items
        keys['items']
        keys.get
        keys['a b']
        undef
        undef.x
        undef['x']
        undef()
        undef + 1
        -undef
        undef == undef2
        undef in [1]
        'x' in undef
        1 in undef
        n.x
        n['x']
        n()
        i.x
        i()
        s()
        i[0]
        s.foo
        s.__class__
        d.__class__
        ''.__class__.__mro__
        s.upper
        l.append(1)
        l.pop()
        d.update({'x': 1})
        d.pop('a')
        d.setdefault('q', 1)
        l.sort()
        l.append is defined
        s.startswith is defined
        s.nothing is defined
        d.items is defined
        loop
        true and none
        none or 'x'
        '' or 0 or []
        1 and 2 and 3
        t + t
        t * 3
        true == 1
        'a' < 'b'
        'B' < 'a'
        [1, 2] < [1, 3]
        (1, 2) < (1, 2, 3)
        'x' < 1
        none < 1
        1 in l
        4 not in l
        'ell' in s
        'a' in d
        3 in (1, 2, 3)
        none in mixed
        1.0 in [1]
        1 in 1
        9223372036854775807
        9223372036854775807 + 0
        1 / 0
        1 // 0
        1 % 0
        1.0 / 0
        0.1 + 0.2
        1 / 3
        10 / 2
        1e16
        1e15
        123456789012345678.0
        1.0
        100.0
        1e100
        1e-5
        0.0001
        -0.0
        i.__add__
        range(3)
        range(1, 4)
        range(10, 0, -3)
        range(5)|list
        range(0)|list
        range(3)[1]
        range(5)[1:3]|list
        range(1000000)
        range(2, 1)|list
        range()
        range(1, 2, 0)
        dict(a=1, b='x')
        dict([(1, 2)])
        dict({'a': 1}, b=2)
        namespace(a=1).a
        namespace(a=1).b
        namespace({'q': 3}).q
        raise_exception('no ' ~ i)
        strftime_now('%Y-%m-%d')
        strftime_now('%d %B %Y, %H:%M:%S %A %j %p %y %b %a')
        strftime_now("%d %b %Y")
        """.strip().splitlines()
    yield from (f"mixed[{k}]" for k in range(-8, 8))


def filters():
    for value in ["s", "empty", "uni", "pad", "html", "i", "f", "n", "t", "l", "d", "undef", "ls", "mixed", "quote", "both", "esc", "lines"]:
        for name in ["upper", "lower", "title", "capitalize", "trim", "string", "length", "count", "first", "last", "list", "reverse|list",
                     "tojson", "e", "escape", "int", "float", "abs", "default('D')", "d('D', true)", "join('-')", "wordcount", "items|list",
                     "striptags", "urlencode", "unique|list", "sort", "max", "min", "sum", "safe", "forceescape", "center(20)", "indent",
                     "round", "replace('l', 'L')", "truncate(5)", "batch(2)|list", "slice(2)|list", "select|list", "reject|list", "map('string')|list"]:
            yield f"{value}|{name}"
    yield from """
        s|nosuch
        s|replace('l', 'L', 1)
        s|replace('', '-')
        s|replace('o', '')
        s|replace('o')
        s|replace(old='o', new='0')
        uni|replace('ß', 'ss')
        i|replace('7', '8')
        pad|trim(' ')
        'xxaxx'|trim('x')
        s|truncate(9, true)
        s|truncate(9)
        s|truncate(11, false, '...', 0)
        s|truncate(5, true, '')
        s|truncate(5, end='~', leeway=0)
        'foo bar baz qux'|truncate(9)
        'foo bar baz qux'|truncate(11, False, '...', 0)
        lines|indent
        lines|indent(2)
        lines|indent(2, true)
        lines|indent(2, true, true)
        lines|indent('> ', blank=true)
        lines|indent(width=3, first=true)
        'a'|indent(0)
        l|join
        l|join(', ')
        users|join(', ', attribute='name')
        users|map(attribute='name')|join('|')
        users|map(attribute='age', default=0)|list
        users|map(attribute='nope', default='-')|list
        users|map(attribute='nope')|list
        users|map(attribute='tags.0')|list
        nested|map(attribute=1)|list
        nested|map('first')|list
        nested|map('join', '+')|list
        ls|map('upper')|join
        ls|map('replace', 'a', 'b')|join
        ls|map('nosuch')|list
        ls|map
        users|selectattr('tags')|map(attribute='name')|list
        users|selectattr('age', 'equalto', 30)|map(attribute='name')|list
        users|selectattr('age', '==', 30)|list|length
        users|selectattr('age', 'ge', 30)|list
        users|selectattr('age', 'none')|map(attribute='name')|list
        users|selectattr('tags', 'defined')|map(attribute='name')|list
        users|selectattr('tags', 'undefined')|map(attribute='name')|list
        users|rejectattr('tags')|map(attribute='name')|list
        users|rejectattr('name', 'in', ['Bo', 'di'])|map(attribute='name')|list
        users|selectattr('name', 'lower')|map(attribute='name')|list
        users|selectattr
        users|selectattr('name', 'nosuch')|list
        l|select('odd')|list
        l|select('gt', 1)|list
        l|select('>', 1)|list
        l|reject('odd')|list
        l|select('in', [1, 2])|list
        l|select('divisibleby', 3)|list
        mixed|select('string')|list
        mixed|select('number')|list
        users|groupby('age')
        users|rejectattr('age', 'none')|groupby('age')
        users|rejectattr('age', 'none')|groupby('age')|map('first')|list
        users|groupby('name')|map(attribute='grouper')|list
        users|groupby('name', case_sensitive=true)|map(attribute='grouper')|list
        users|groupby('tags.0', default='none')
        l|sort
        l|sort(reverse=true)
        ls|sort
        ls|sort(case_sensitive=true)
        ls|sort(true, true)
        users|sort(attribute='name')|map(attribute='name')|list
        users|rejectattr('age', 'none')|sort(attribute='age,name')|map(attribute='name')|list
        users|sort(attribute='age')
        d|dictsort
        {'b': 1, 'A': 2, 'c': 0}|dictsort
        {'b': 1, 'A': 2, 'c': 0}|dictsort(true)
        {'b': 1, 'A': 2, 'c': 0}|dictsort(false, 'value')
        {'b': 1, 'A': 2, 'c': 0}|dictsort(reverse=true)
        {'b': 1, 'A': 2}|dictsort(by='zzz')
        ls|unique|list
        ls|unique(true)|list
        ['x', 'X', 'y', 'x']|unique|join
        users|unique(attribute='age')|map(attribute='name')|list
        lf|sum
        l|sum(start=10)
        users|rejectattr('age', 'none')|sum(attribute='age')
        ls|sum
        lf|min
        lf|max
        ls|min
        ls|max(case_sensitive=true)
        users|max(attribute='name')
        el|max
        el|first
        el|last
        el|sum
        d|list
        d|length
        d|items|list
        d|first
        range(5)|last
        l|map('string')|first
        l|map('string')|length
        l|map('string')|last
        l|reverse|first
        s|reverse
        l|batch(2)|list
        l|batch(2, 'x')|list
        range(7)|slice(3)|list
        range(7)|slice(3, 'x')|list
        '3.7'|int
        '3,7'|int
        'x'|int
        'x'|int(5)
        'x'|int(default=9)
        '0x1f'|int(base=16)
        'ff'|int(0, 16)
        '101'|int(0, 2)
        '1_000'|int
        ' 42 '|int
        3.99|int
        -3.99|int
        none|int
        true|int
        '1e3'|int
        'inf'|int
        'nan'|float
        '1e3'|float
        'x'|float
        'x'|float(1.5)
        ' 2.5 '|float
        '1_0.5'|float
        i|float
        42.55|round
        42.55|round(1)
        42.55|round(1, 'floor')
        42.55|round(1, 'ceil')
        2.5|round
        3.5|round
        -2.5|round
        1234.5678|round(-2)
        7|round
        7|round(2)
        1234|round(-2)
        2.675|round(2)
        f|round(0, 'x')
        f|round|int
        1|filesizeformat
        999|filesizeformat
        1000|filesizeformat
        1000000|filesizeformat
        1234567|filesizeformat(true)
        '%s, %s!'|format('a', 'b')
        '%(x)s'|format(x=5)
        '%d'|format('x')
        '%s'|format
        '%.2f|%5d|%-5d|%05d|%+d'|format(1.005, 42, 42, 42, 42)
        '%x %X %o %e %g %c %%'|format(255, 255, 8, 12345.678, 0.00001, 'z')
        '%r %s'|format('a', 'a')
        '%5s|%-5s|%.2s'|format('ab', 'ab', 'abc')
        '%d items' % 3
        '%s and %s' % (1, 'two')
        '%s' % [1, 2]
        '%s' % {'a': 1}
        '%(a)s-%(b)d' % {'a': 1, 'b': 2}
        '%s' % none
        '%d' % 3.9
        '%s %s' % (1,)
        'x' % 1
        '%i|%u' % (3, 4)
        '%08.3f' % 3.14159
        '% d' % 5
        '%#x' % 255
        'a b&c/d?é'|urlencode
        {'a b': 1, 'c': 'x&y'}|urlencode
        html|striptags
        '<p>a  <b>b</b>\\n c</p>'|striptags
        {'a': 1, 'b': none, 'c': '<'}|xmlattr
        {'a': 1}|xmlattr(false)
        html|e|e
        html|safe|e
        html|e|forceescape
        html|e + '<'
        '<' + html|e
        html|e ~ '<'
        s|center(21)
        'ab'|center(7)
        'ab'|center(1)
        d|attr('items')
        d|attr('a')
        s|attr('upper')()
        namespace(a=1)|attr('a')
        n|default('x')
        n|default('x', true)
        ''|default('x', boolean=true)
        undef|default
        undef.x|default('y')
        d.q|default('y')
        d.q.r|default('y')
        html|length
        uni|length
        n|length
        i|length
        n|list
        i|list
        s|list
        d.items()|list
        d.keys()|list
        d.values()|list
        d.items()
        d.keys()
        d.items()|length
        d.items()[0]
        l|tojson
        d|tojson
        d|tojson(indent=2)
        d|tojson(indent=4)
        d|tojson(indent=0)
        d|tojson(separators=(',', ':'))
        d|tojson(indent=1, separators=(',', ': '))
        d|tojson(sort_keys=true)
        d|tojson(true, none, none, true)
        uni|tojson
        uni|tojson(ensure_ascii=true)
        esc|tojson
        esc|tojson(ensure_ascii=true)
        html|tojson
        mixed|tojson
        mixed|tojson(indent='--')
        el|tojson(indent=2)
        ed|tojson(indent=2)
        [[], {}]|tojson(indent=2)
        {1: 2, none: 3, true: 4, 1.5: 5}|tojson
        {(1, 2): 3}|tojson
        (1, 2)|tojson
        undef|tojson
        d.zzz|tojson
        [undef]|tojson
        range(3)|tojson
        namespace(a=1)|tojson
        1e20|tojson
        1e-7|tojson
        2.0|tojson
        s.upper|tojson
        '\u2028\\u007f'|tojson
        d|string
        mixed|string
        quote|string
        [quote, both]|string
        [esc]|string
        [uni]|string
        [none, true, 1.0]|string
        ('a',)|string
        d|pprint is string
        tree|tojson
        lines.splitlines()|map('trim')|select|join(';')
        """.strip().splitlines()


def tests():
    names = ["defined", "undefined", "none", "boolean", "true", "false", "integer", "float", "number", "string", "mapping", "iterable",
             "sequence", "callable", "odd", "even", "upper", "lower", "escaped", "filter", "test"]
    for value in ["s", "empty", "i", "zero", "f", "t", "false", "n", "l", "d", "undef", "(1, 2)", "range(3)", "s.upper", "namespace()", "'upper'", "'ABC'", "l|map('string')", "undef.x"]:
        for name in names:
            yield f"{value} is {name}"
            yield f"{value} is not {name}"
    yield from """
        i is divisibleby 7
        i is divisibleby(3)
        i is eq 7
        i is equalto 7
        i is ne 7
        i is lt 8
        i is gt(8)
        i is ge 7
        i is le 6
        i is == 7
        i is greaterthan 3
        i is lessthan 3
        i is in [7]
        i is in l
        'a' is in 'abc'
        i is not in l
        n is sameas none
        t is sameas true
        i is sameas i
        i is nosuch
        i is divisibleby 7 and t
        i is odd or n
        not i is odd
        i is odd is even
        s is string and s is not mapping
        i + 1 is odd
        l|length is odd
        (i is odd) ~ 'x'
        i is defined if t else n
        undef is defined and undef.x
        d.a is defined
        d.q is defined
        d.q.r is defined
        d['a'] is defined
        s.upper is callable
        """.strip().splitlines()


def methods():
    yield from """
        s.upper()
        s.lower()
        s.title()
        "they're bill's".title()
        s.capitalize()
        s.swapcase()
        s.casefold()
        uni.upper()
        uni.lower()
        'ß'.upper()
        'ﬁ'.upper()
        'éa ÉA'.title()
        pad.strip()
        pad.lstrip()
        pad.rstrip()
        'xxaxx'.strip('x')
        'xyaxy'.strip('yx')
        'xxaxx'.lstrip('x')
        'xxaxx'.rstrip('x')
        'a\\n\\n'.rstrip('\\n')
        ' \\u00a0\\u2003a'.strip()
        s.startswith('Hell')
        s.startswith(('x', 'H'))
        s.startswith('W', 7)
        s.startswith(1)
        s.endswith('!')
        s.endswith(('?', '!'))
        s.endswith('o', 0, 5)
        s.find('o')
        s.find('o', 5)
        s.find('zz')
        s.rfind('o')
        uni.find('世')
        uni.rfind('🌍')
        s.index('W')
        s.index('zz')
        s.rindex('o')
        s.count('l')
        s.count('')
        s.count('l', 4)
        'aaaa'.count('aa')
        s.replace('o', '0')
        s.replace('o', '0', 1)
        s.replace('', '.')
        'aaa'.replace('a', 'b', -1)
        'aaa'.replace('', 'b', 2)
        csv.split(',')
        csv.split(',', 1)
        csv.split(',', maxsplit=2)
        csv.split(sep=',')
        csv.rsplit(',', 1)
        csv.rsplit(',')
        pad.split()
        pad.split(' ')
        ' a  b c '.split(none, 1)
        ' a  b c '.rsplit(none, 1)
        ' a  b c '.rsplit()
        ''.split()
        ''.split(',')
        'abc'.split('')
        path.split('/')[-1]
        path.partition('/')
        path.rpartition('/')
        path.partition('x')
        path.rpartition('x')
        lines.splitlines()
        lines.splitlines(true)
        'a\\r\\nb\\rc\\x0bd\\u2028e'.splitlines()
        ', '.join(ls)
        ','.join(l)
        ''.join([])
        '-'.join('abc')
        ','.join(d)
        'ab'.ljust(5)
        'ab'.ljust(5, '.')
        'ab'.rjust(5)
        'ab'.center(5)
        'abc'.center(6)
        'ab'.center(7, '*')
        'ab'.rjust(5, 'xy')
        '42'.zfill(5)
        '-42'.zfill(5)
        'a\\tb'.expandtabs()
        'a\\tb'.expandtabs(4)
        'abc'.removeprefix('a')
        'abc'.removesuffix('c')
        'abc'.removeprefix('x')
        'abc'.isalpha()
        'ab1'.isalpha()
        'ab1'.isalnum()
        '12'.isdigit()
        ''.isdigit()
        ' \\t'.isspace()
        'AB'.isupper()
        'ab'.islower()
        'Ab Cd'.istitle()
        'ab'.isascii()
        'é'.isascii()
        'a_1'.isidentifier()
        '1a'.isidentifier()
        '12'.isdecimal()
        '12'.isnumeric()
        'a\\n'.isprintable()
        '{} and {}'.format(1, 'x')
        '{1} {0}'.format('a', 'b')
        '{a}-{b}'.format(a=1, b='x')
        '{:>5}|{:<5}|{:^5}|{:*^7}'.format('a', 'b', 'c', 'd')
        '{:05d}|{:+d}|{:,}|{:x}|{:#x}|{:b}'.format(42, 42, 1234567, 255, 255, 5)
        '{:.2f}|{:8.3f}|{:e}|{:g}|{:%}'.format(3.14159, 2.5, 12345.6, 0.0001, 0.25)
        '{!r} {!s}'.format('a', 'b')
        '{{}} {}'.format(1)
        '{0.a} {0[a]}'.format({'a': 1})
        '{0[a]}'.format({'a': 1})
        '{} {}'.format(1)
        '{'.format()
        '}'.format()
        '{:>{w}}'.format('a', w=4)
        '{:d}'.format('x')
        '{:5}|{:5}'.format(1, 'a')
        '{}'.format(1.0)
        '{:.3}'.format('abcdef')
        '{:.3}'.format(3.14159)
        '{0}{}'.format(1, 2)
        '{} {a}'.format(1, a=2)
        '{:_}'.format(1234567)
        '{:,.2f}'.format(1234567.891)
        s.nosuch()
        s.upper(1)
        l.index(1)
        l.index(9)
        l.count(1)
        l.copy()
        (1, 2, 1).count(1)
        (1, 2, 1).index(2)
        d.get('a')
        d.get('q')
        d.get('q', 'dflt')
        d.get('q', default='x')
        d.get()
        d.keys()|sort
        d.values()|list|length
        d.copy()
        d.items()|list
        users[0].get('name').upper()
        (2.0).is_integer()
        'İ'.lower()
        'İ'.swapcase()
        'ΟΔΟΣ Σ ΣΑ'.lower()
        'Σ'|title
        'Straße ﬁ'.casefold()
        '²½'.isdigit()
        '²½'.isnumeric()
        '²3'.isdigit()
        '²'.isdecimal()
        'a²'.isalnum()
        ''.replace('', 'x')
        ''.replace('', 'x', 0)
        'abc'.endswith(('c', 1))
        '{:05}|{:5}|{:c}|{:n}|{:#g}|{!a}'.format('ab', true, 65, 2.5, 7, 'é')
        '{:s}'.format(true)
        '%a|%c|%c' % ('é\U0001F30D', true, 'x')
        '%c' % undef
        '%c' % 'xy'
        strftime_now('%Y %f|%z|%Z|%%z')
        dict(undef)
        n[1:]
        i[1:]
        d[1:]
        -0.0 // 3
        neg|round(-1, 'ceil')
        '12'|int(5, 2)
        'x'|filesizeformat
        '12'|filesizeformat
        [undef, undef2]|sort
        [none, none]|sort
        [{}, {}]|sort
        f.is_integer()
        """.strip().splitlines()


STATEMENTS = [
    "{% if t %}a{% elif n %}b{% else %}c{% endif %}",
    "{% if n %}a{% elif t %}b{% else %}c{% endif %}",
    "{% if n %}a{% elif n %}b{% else %}c{% endif %}",
    "{% if undef %}a{% endif %}b",
    "{% if undef.x %}a{% endif %}b",
    "{% if l %}a{% endif %}{% if el %}b{% endif %}{% if ed %}c{% endif %}{% if zero %}d{% endif %}",
    "{% for x in l %}{{ x }},{% endfor %}",
    "{% for x in el %}{{ x }}{% else %}none{% endfor %}",
    "{% for x in undef %}{{ x }}{% else %}none{% endfor %}",
    "{% for x in n %}{{ x }}{% endfor %}",
    "{% for x in 5 %}{{ x }}{% endfor %}",
    "{% for c in uni %}[{{ c }}]{% endfor %}",
    "{% for k in d %}{{ k }}{% endfor %}",
    "{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}",
    "{% for k, v in d|items %}{{ k }}={{ v }};{% endfor %}",
    "{% for k, v in d|dictsort %}{{ k }}{% endfor %}",
    "{% for a, b in nested %}{{ a }}-{{ b }} {% endfor %}",
    "{% for a, b, c in nested %}{{ a }}{% endfor %}",
    "{% for a, in [[1]] %}{{ a }}{% endfor %}",
    "{% for (a, b) in nested %}{{ a + b }} {% endfor %}",
    "{% for a, (b, c) in [(1, (2, 3))] %}{{ a }}{{ b }}{{ c }}{% endfor %}",
    "{% for x in l if x > 1 %}{{ loop.index }}:{{ x }} {% endfor %}",
    "{% for x in l if x > 9 %}{{ x }}{% else %}no{% endfor %}",
    "{% for x in l if loop.first %}{{ x }}{% endfor %}",
    "{% for x in l %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }} {% endfor %}",
    "{% for x in l %}{{ loop.previtem }}<{{ x }}>{{ loop.nextitem }} {% endfor %}",
    "{% for x in l %}{{ loop.previtem is defined }}{{ loop.nextitem is defined }} {% endfor %}",
    "{% for x in l %}{{ loop.previtem.x }}{% endfor %}",
    "{% for x in l %}{{ loop.cycle('a', 'b') }}{% endfor %}",
    "{% for x in [1, 1, 2, 2, 1] %}{{ loop.changed(x) }} {% endfor %}",
    "{% for x in l %}{{ loop.depth }}{{ loop.depth0 }}{% endfor %}",
    "{% for x in l %}{% for y in l %}{{ loop.index }}{% endfor %}{{ loop.index }};{% endfor %}",
    "{% for x in l %}{% set outer = loop %}{% for y in [1, 2] %}{{ outer.index }}{{ loop.index }} {% endfor %}{% endfor %}",
    "{% for x in l %}{% if x == 1 %}{% continue %}{% endif %}{{ x }}{% endfor %}",
    "{% for x in l %}{% if x == 1 %}{% break %}{% endif %}{{ x }}{% endfor %}",
    "{% for x in l %}{{ x }}{% break %}{% else %}e{% endfor %}",
    "{% for x in l %}{{ x }}{% else %}e{% endfor %}",
    "{% for x in l %}{% continue %}{% else %}e{% endfor %}",
    "{% for x in l %}{% if loop.last %}{% break %}{% endif %}{{ x }}{% else %}e{% endfor %}",
    "{% for n1 in tree recursive %}{{ n1.v }}{% if n1.kids %}({{ loop(n1.kids) }}){% endif %}{% endfor %}",
    "{% for n1 in tree recursive %}{{ loop.depth }}:{{ n1.v }} {{ loop(n1.kids) }}{% endfor %}",
    "{% for x in l %}{{ loop(l) }}{% endfor %}",
    "{% for x in range(3) %}{{ x }}{% endfor %}",
    "{% for x in l|sort %}{{ x }}{% endfor %}",
    "{% for x in l[::-1] %}{{ x }}{% endfor %}",
    "{% for x in l, ls %}{{ x }}{% endfor %}",
    "{% for x in l %}{{ x }}{% endfor %}{{ x }}",
    "{% for x in l %}{% endfor %}{{ loop }}",
    "{% break %}",
    "{% set x = 1 %}{{ x }}",
    "{% set x, y = 1, 2 %}{{ x }}{{ y }}",
    "{% set x, y = l %}{{ x }}",
    "{% set x = 1, 2 %}{{ x }}",
    "{% set x = 1 %}{% for y in l %}{% set x = y %}{{ x }}{% endfor %}{{ x }}",
    "{% set x = 1 %}{% for y in l %}{{ x }}{% set x = y %}{{ x }}{% endfor %}{{ x }}",
    "{% set x = 1 %}{% if t %}{% set x = 2 %}{% endif %}{{ x }}",
    "{% if n %}{% set x = 2 %}{% endif %}{{ x }}",
    "{% if n %}{% set i = 2 %}{% endif %}{{ i }}",
    "{% for y in l %}{% if n %}{% set i = 2 %}{% endif %}{{ i }}{% endfor %}",
    "{% set ns = namespace(c=0) %}{% for y in l %}{% set ns.c = ns.c + y %}{% endfor %}{{ ns.c }}",
    "{% set ns = namespace() %}{% set ns.a, ns.b = 1, 2 %}{{ ns.a }}{{ ns.b }}{{ ns.c }}",
    "{% set ns = namespace(a=1) %}{{ ns }}",
    "{% set d.x = 1 %}",
    "{% set x.y = 1 %}",
    "{% set x %}a{{ i }}b{% endset %}[{{ x }}]",
    "{% set x | upper %}abc{% endset %}[{{ x }}]",
    "{% set x | replace('a', 'b') | upper %}aca{% endset %}[{{ x }}]",
    "{% set x %}{% set y = 1 %}{{ y }}{% endset %}{{ x }}{{ y }}",
    "{% set ns = namespace() %}{% set ns.x %}abc{% endset %}{{ ns.x }}",
    "{% set 1 = 2 %}",
    "{% set true = 2 %}",
    "{% macro m(a, b=2) %}{{ a }}-{{ b }}{% endmacro %}{{ m(1) }} {{ m(1, 3) }} {{ m(b=5, a=4) }} {{ m() }}",
    "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, 2) }}",
    "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(z=2) }}",
    "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, a=2) }}",
    "{% macro m(a) %}{{ a }}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, 2, 3, x=4) }}",
    "{% macro m(a=i, b=a) %}{{ a }}{{ b }}{% endmacro %}{{ m() }}{{ m(1) }}",
    "{% macro m(a, b=1, c) %}{% endmacro %}",
    "{% macro m() %}{{ x }}{% endmacro %}{% set x = 5 %}{{ m() }}",
    "{% set x = 1 %}{% macro m() %}{{ x }}{% set x = 2 %}{{ x }}{% endmacro %}{{ m() }}{{ x }}",
    "{% macro m(n) %}{{ n }}{% if n > 0 %}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(3) }}",
    "{% macro m(a, b) %}{% endmacro %}{{ m.name }}{{ m.arguments }}{{ m.catch_kwargs }}{{ m.catch_varargs }}{{ m.caller }}",
    "{% macro m() %}<{{ caller() }}>{% endmacro %}{% call m() %}x{{ i }}{% endcall %}",
    "{% macro m() %}<{{ caller(1, 2) }}>{% endmacro %}{% call(a, b=5) m() %}{{ a }}{{ b }}{% endcall %}",
    "{% macro m(l) %}{% for x in l %}{{ caller(x) }}{% endfor %}{% endmacro %}{% call(x) m(l) %}[{{ x }}]{% endcall %}",
    "{% macro m() %}{{ caller() }}{% endmacro %}{{ m() }}",
    "{% macro m() %}a{% endmacro %}{% call m() %}x{% endcall %}",
    "{% macro m() %}{% if caller %}yes{% else %}no{% endif %}{% endmacro %}{{ m() }}{% call m() %}{% endcall %}",
    "{% macro a() %}{{ b() }}{% endmacro %}{% macro b() %}B{% endmacro %}{{ a() }}",
    "{% macro m(x) %}{{ x|upper }}{% endmacro %}{{ m('a') ~ m('b') }}{{ m('c')|length }}",
    "{% for x in l %}{% macro m() %}{{ x }}{% endmacro %}{{ m() }}{% endfor %}",
    "{% macro m(*a) %}{% endmacro %}",
    "{% macro m(a, b) %}{{ a }}{{ b }}{% endmacro %}{{ m(*[1, 2]) }}{{ m(**{'a': 3, 'b': 4}) }}{{ m(1, **{'b': 2}) }}{{ m(*[1], b=2) }}",
    "{% filter upper %}abc{{ s }}{% endfilter %}",
    "{% filter replace('a', 'b')|upper %}aca{% endfilter %}",
    "{% filter length %}abc{% endfilter %}",
    "{% filter list %}abc{% endfilter %}",
    "{% macro m() %}{{ kwargs }}{% endmacro %}{% call m() %}x{% endcall %}",
    "{% with x = 1, y = 2 %}{{ x }}{{ y }}{% endwith %}{{ x }}",
    "{% with x = i %}{% set x = 3 %}{{ x }}{% endwith %}{{ x }}",
    "{% set x = 9 %}{% with x = 1, y = x %}{{ y }}{% endwith %}",
    "{% with %}{% set q = 1 %}{{ q }}{% endwith %}{{ q }}",
    "{% generation %}abc{{ i }}{% endgeneration %}",
    "{% generation %}{% set x = 1 %}{{ x }}{% endgeneration %}{{ x }}",
    "{% for x in l %}{% generation %}{{ x }}{{ loop.index }}{% endgeneration %}{% endfor %}",
    "{% raw %}{{ x }}{% y %}{# z #}{% endraw %}",
    "{%- raw -%}  {{ x }}  {%- endraw -%}  z",
    "{% raw %}\n  a\n{% endraw %}\nb",
    "a{# comment #}b",
    "a {#- comment -#} b",
    "a\n{# comment #}\nb",
    "a\n  {# comment #}\nb",
    "{# {{ unclosed #}x",
    "{# unclosed",
    "{% block b %}x{{ i }}{% endblock %}",
    "{% block b %}x{% endblock b %}",
    "{% autoescape false %}{{ html }}{% endautoescape %}",
    "{% include 'x' %}",
    "{% import 'x' as y %}",
    "{% extends 'x' %}",
    "{% do l %}",
    "{% nosuch %}",
    "{% if t %}",
    "{% endif %}",
    "{% for x in l %}{% endif %}",
    "{% if %}{% endif %}",
    "{{ }}",
    "{{ i",
    "{{ 'a }}",
    "{{ i }",
    "{{ i + }}",
    "{{ [1, }}",
    "{{ (1 }}",
    "{{ 1) }}",
    "{{ {'a': 1} }}",
    "{{ {'a': {'b': 1}} }}",
    "{{ {'a': {'b': 1}}['a']['b'] }}",
    "{{ i }}{{ i }}",
    "{{i}}{{-i-}}{{+i}}",
    "{{ 1, 2 }}",
    "{{ a.b.c }}",
    "{{ 'x' | upper ~ 'y' }}",
    "{{ ('x' ~ 'y') | upper }}",
    "{{ -5 | abs }}",
    "{{ 5 - 3 | abs }}",
    "{{ s.upper().lower() }}",
    "{{ s.upper()[0] }}",
    "{{ s|upper|lower|title }}",
    "{{ d['c']['x'][0] + 1 }}",
    "{{ cycler }}",
    "{% set c = cycler('a', 'b') %}{{ c.next() }}{{ c.next() }}{{ c.next() }}{{ c.current }}{% set _ = c.reset() %}{{ c.current }}",
    "{% set j = joiner('; ') %}{{ j() }}a{{ j() }}b{{ j() }}c",
    "{% set j = joiner() %}{{ j() }}a{{ j() }}b",
    "{% set x = [] %}{% set _ = x.append(1) %}{{ x }}",
    "{% set x = l + [4] %}{{ x }}",
    "{% set x = dict(d, z=1) %}{{ x.z }}{{ x|length }}",
    "{{ 'a' if undef else 'b' }}",
    "{{ undef if undef is defined else 'b' }}",
    "{% if 'a' in d and d.a == 1 %}yes{% endif %}",
    "{% if not (n or el) %}yes{% endif %}",
    "{% if i == 7 and s.startswith('H') or n %}yes{% endif %}",
    "{% for m in users if m.age is not none and m.age > 26 %}{{ m.name }}{{ ', ' if not loop.last }}{% endfor %}",
    "{% for m in users %}{{ m['name'] }}{% if not loop.last %}, {% endif %}{% endfor %}",
    "{{ users|map(attribute='name')|map('lower')|sort|join(',') }}",
    "{{ (users|selectattr('age', 'none')|first).name }}",
    "{%- set a = namespace(found=false) -%}{%- for u in users -%}{%- if u.name == 'al' -%}{%- set a.found = true -%}{%- endif -%}{%- endfor -%}{{ a.found }}",
    "{% set x = 'é' %}{{ x }}",
    "{{ 'a\nb' }}",
    "{% set x = 'line1\nline2' %}{{ x }}",
    "{{ raise_exception('bad') if n else 'fine' }}",
    "{% if n %}{{ s|nosuch }}{% endif %}ok",
    "{% if n %}{{ s is nosuch }}{% endif %}ok",
    "{% if t %}{{ s|nosuch }}{% endif %}ok",
    "{{ loop.index }}",
    "{{ l is sequence }}{{ l|length > 2 }}",
    "{% for x in d.c.x %}{{ x }}{% if not loop.last %};{% endif %}{% endfor %}",
    "{{ '%s' | format(d) }}",
    "{{ 'x' * i }}",
    "{% set x = s.split(', ') %}{{ x[0] }}|{{ x[-1] }}|{{ x|length }}",
    "{{ '</think>' in s }}{{ s.split('</think>')[-1].lstrip('\\n') }}",
    "{% for i in range(3) %}{{ i }}{% endfor %}{{ i }}",
    "{% for x in (1, 2, 3) %}{{ x }}{% endfor %}",
    "{% for x in [1, 2] + [3] %}{{ x }}{% endfor %}",
    "{% for x in 'a' ~ 'b' %}{{ x }}.{% endfor %}",
    "{% for x in l if t else el %}{{ x }}{% endfor %}",
    "{% for x in (l if t else el) %}{{ x }}{% endfor %}",
    "{{ {'a': 1, 'a': 2} }}",
    "{% set x = {} %}{{ x.y is defined }}{{ x }}",
    "{{ [l, d]|string }}",
    "{% if s is string %}S{% elif s is mapping %}M{% endif %}",
    "{{ none }}{{ true }}{{ None }}{{ True }}{{ False }}",
    "{{ 'a'\n~ 'b' }}",
    "{{ not_a_var|default('x')|upper }}",
    "{{ dict }}x{{ range }}"[:0] or "{{ i|string|length }}",
    "{% set ns = namespace(l=[]) %}{% for x in ls %}{% set ns.l = ns.l + [x|upper] %}{% endfor %}{{ ns.l|join }}",
    "{% macro outer() %}{% macro inner() %}I{{ i }}{% endmacro %}{{ inner() }}{% endmacro %}{{ outer() }}",
    "{% macro p(o) %}{% if o is mapping %}{% for k, v in o.items() %}{{ k }}:{{ p(v) }},{% endfor %}{% elif o is iterable and o is not string %}[{% for x in o %}{{ p(x) }} {% endfor %}]{% else %}{{ o }}{% endif %}{% endmacro %}{{ p(d) }}",
]


def whitespace():
    ends = [("{%", "%}"), ("{%-", "%}"), ("{%", "-%}"), ("{%-", "-%}"), ("{%+", "%}"), ("{%", "+%}"), ("{%+", "+%}")]
    for a, b in ends:
        for c, e in ends[:4]:
            yield f"x \n  {a} if t {b} \n y \n  {c} endif {e} \n z"
        yield f"  {a} if t {b}\n\n  a\n  {a} endif {b}\n\n"
        yield f"a {a} if t {b} b {a} endif {b} c\n"
        yield f"\t{a} set x = 1 {b}\n\t{{{{ x }}}}\n"
        yield f"a\n   {a} raw {b}\n b \n  {a} endraw {b}\n c" if "+%}" != b else "z"
    for a in ["{{", "{{-", "{{+"]:
        for b in ["}}", "-}}"]:
            yield f" x \n {a} i {b} \n y \n"
    for a in ["{#", "{#-", "{#+"]:
        for b in ["#}", "-#}", "+#}"]:
            yield f" x \n {a} c {b} \n y \n"
    yield from ["a\n", "a\n\n", "\n", "", "a\r\nb\rc\n", "\r\n", "{{ 'a\r\nb' }}", "  {% if t %}\u00a0{% endif %}", "\n\n{%- if t %} a{% endif %}",
                "{% if t %}\n{% endif %}\n{% if t %}\n{% endif %}x", "{{ i }}\n{{ i }}\n", "{% set a=1 %}  {% set b=2 %}\n  {{ a }}", "x{%if t%}y{%endif%}z"]


def all_templates():
    seen = []
    for group in (expressions(), filters(), tests(), methods()):
        seen += ["{{ " + e.strip() + " }}" for e in group]
    seen += STATEMENTS
    seen += whitespace()
    return list(dict.fromkeys(seen))


SKIPPED = ["random", "pprint", "lipsum", "urlize"]  # not part of the dialect


def addresses(text):
    return " at 0x" in text or "generator object" in text or "<built-in" in text or "bound method" in text


def main():
    env = environment()
    out = []
    for t in all_templates():
        if any(w in t for w in SKIPPED):
            continue
        try:
            text = env.from_string(t).render(**json.loads(json.dumps(VARS)))
            if addresses(text) or "<class" in text:
                continue
            entry = {"t": t, "text": text}
        except Exception as e:
            entry = {"t": t, "error": str(e).split("\n")[0][:120] or type(e).__name__}
            if "0x" in entry["error"]:
                entry["error"] = type(e).__name__
        out.append(entry)
    json.dump({"now": NOW, "vars": VARS, "snippets": out}, sys.stdout, ensure_ascii=True, indent=0, separators=(",", ":"))
    print()


if __name__ == "__main__":
    if len(sys.argv) == 1 and sys.stdout.isatty():
        sys.stdout = open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "snippets.json"), "w", encoding="utf-8")
    main()
