"""Random templates from a grammar, the same for the same seed. In a rule, <name> is a part of that kind.

Expressions are typed, so that most of them render; the variables are those of make_snippets.py. Left
out is what Hearth does otherwise on purpose: whole numbers of more than 64 bits, the names of Python's
own objects, generators that fail only when they are read.
"""

import random
import re

RULES = {
    "str": """s|pad|uni|html|lines|csv|path|num|flt|hex|quote|both|esc|'a'|'Hello'|''|' x '|'a,b'|'\\n'|'ß'|'12'|'-3.5'|'0x1F'
        'aBc dEf'|'<i>'|'İ'|'Σς'|'ſ'|'1e5'|(<str> ~ <any>)|(<str> + <str>)|(<str> * <small>)|(<str>)[<slice>]|(<str> if <bool> else <str>)
        (<str>).upper()|(<str>).lower()|(<str>).title()|(<str>).capitalize()|(<str>).swapcase()|(<str>).casefold()|(<str>).strip()
        (<str>).lstrip(<str>)|(<str>).rstrip(<str>)|(<str>).removeprefix(<str>)|(<str>).replace(<str>, <str>)|(<str>).replace(<str>, <str>, 1)
        (<str>).center(9, '*')|(<str>).ljust(7)|(<str>).zfill(6)|(<str>).expandtabs()|(<str>).join(<list>)|(<str>).partition(<str>)[0]
        (<str>).split(<str>)[-1]|(<str>).splitlines()[0]|<any>¦string|<any>¦upper|<any>¦title|<any>¦trim|<any>¦e|<any>¦striptags|<any>¦urlencode
        <any>¦tojson|<any>¦tojson(indent=2)|<any>¦tojson(ensure_ascii=true)|<any>¦tojson(sort_keys=true)|<list>¦join(<str>)|<list>¦join(', ', attribute=<attr>)
        <str>¦replace(<str>, <str>)|<str>¦indent(2)|<str>¦indent(1, true, true)|<str>¦truncate(5)|<str>¦truncate(9, true, '~', 0)|<str>¦center(12)
        ('%s <percent>' % (<any>, <num>))|'%(a)s' % <dict>|'<field> <field>'.format(<any>, <num>)|<any>¦default(<str>)|<any>¦default(<str>, true)
        <dict>¦xmlattr|<list>¦map(<map>)¦join|<int>¦filesizeformat|<str>¦reverse|strftime_now('%Y-%m-%d %H:%M %j %b %-d %f %z')""",
    "int": """i|neg|zero|1|2|-3|255|1_000|0b11|(<int> + <int>)|(<int> - <int>)|(<int> // <int>)|(<int> % <int>)|(<small> ** <small>)|-(<int>)
        <list>¦length|<str>¦length|<any>¦int|<str>¦int(7, 16)|<str>¦int(-1, 2)|<int>¦abs|(<str>).find(<str>)|(<str>).count(<str>)|<str>¦wordcount
        (<int> if <bool> else <int>)|(<list>).index(<any>)|(<list>).count(<any>)""",
    "small": "0|1|2|3|-1",
    "num": "<int>|f|tiny|big|1.5|-2.25|1e22|2.675|-0.0|(<num> + <num>)|(<num> * <num>)|(<num> / <num>)|(<num> // <num>)|(<num> % <num>)"
           "|<any>¦float|<num>¦round|<num>¦round(1)|<num>¦round(2, 'floor')|<num>¦round(-1, 'ceil')|<num>¦abs|(2 ** 0.5)",
    "list": """l|ls|lf|mixed|nested|el|users|tree|[]|[<any>, <any>]|(<any>, 'z')|['b', 'B', 'a', 'A']|(<list> + <list>)|(<list> * <small>)|(<list>)[<slice>]
        <list>¦sort|<list>¦sort(true)|<list>¦sort(attribute=<attr>)|<list>¦unique¦list|<list>¦select(<test>)¦list|<list>¦reject(<test>)¦list
        <list>¦selectattr(<attr>)¦list|<list>¦selectattr(<attr>, <test>)¦list|<list>¦rejectattr(<attr>, <test>)¦list|<list>¦map(<map>)¦list
        <list>¦batch(2)¦list|<list>¦batch(2, 'x')¦list|<list>¦slice(2)¦list|<list>¦groupby(<attr>)¦list|<list>¦reverse¦list|<dict>¦dictsort
        <dict>¦dictsort(false, 'value')|<dict>¦items¦list|<dict>.keys()¦list|<dict>.items()¦list|(<str>).split()|(<str>).split(<str>, 1)|(<str>).rsplit(<str>, 1)
        (<str>).rpartition(<str>)|(<str>).splitlines(true)|<str>¦list|range(<small>, 6)¦list""",
    "dict": "d|ed|keys|users[0]|tree[0]|{'a': 1}|{<key>: <any>, <key>: <any>}|dict(<dict>, z=<any>)|dict(a=<any>)|(<dict>).copy()",
    "bool": """t|n|true|false|undef|not <bool>|(<bool> and <bool>)|(<bool> or <any>)|(<any> == <any>)|(<any> != <any>)|(<num> < <num> <= <num>)|(<str> < <str>)
        (<str> in <str>)|(<any> in <list>)|(<any> not in <dict>)|(<list> < <list>)|(<any> is <is>)|(<any> is not <is>)|(<str>).startswith(<str>)
        (<str>).endswith((<str>, <str>), 1)|(<str>).isalpha()|(<str>).isdigit()|(<str>).isupper()|(<str>).istitle()|(<str>).isprintable()""",
    "any": "<str>|<str>|<str>|<int>|<num>|<list>|<list>|<dict>|<bool>|n|undef|undef.x|s.foo|d.zzz|d['c']|d.c.x|keys['a b']|users[9]|nested[0][1]"
           "|(<dict>).get(<key>)|(<dict>)[<key>]|(<list>)[<small>]|<list>¦first|<list>¦last|<list>¦sum|<list>¦max|v|w|loop.index|loop.last|loop.previtem",
    "key": "'a'|'b'|'name'|1|'k'|none|true|2.5|(1, 2)",
    "attr": "'name'|'age'|'v'|'a'|'tags.0'|'nope'|0|'kids'|'name,age'",
    "map": "'upper'|'string'|'length'|'tojson'|'trim'|'int'|'first'|'replace', 'a', 'b'|'default', 'x'|attribute='name'|attribute='age', default=0",
    "test": "'string'|'number'|'defined'|'none'|'odd'|'mapping'|'gt', 1|'equalto', <any>|'in', <list>|'lower'|'divisibleby', 2|'sameas', none",
    "is": "string|number|defined|none|odd|mapping|iterable|sequence|gt(1)|eq <small>|lower|divisibleby 2|true|boolean|integer|float|sameas none|in <list>",
    "slice": ":|1:|:2|-2:|::-1|1:3|::2|3:0:-1|:-1",
    "percent": "%5s|%-5s|%.2f|%x|%e|%g|%o|%#x|%.3s|%r|%a|%X|%8.2e|% d|%%",
    "field": "{}|{:>8}|{:^7}|{:*^9}|{:+}|{:05}|{:.2f}|{:,}|{:e}|{!r}|{:g}|{:#x}|{:8.3f}|{:.1%}",
    "open": "{%|{%|{%|{%-|{%-|{%+",
    "close": "%}|%}|%}|-%}|-%}",
    "text": "| |\n|  \n|a|text |\n\n|  x\n|\t|<¦im_start¦>|é|{ }|{# c #}|{#- c -#}\n|  {# c #}\n|{% raw %}{{ x }}\n{% endraw %}",
    "out": "{{ <any> }}|{{ <any> }}|{{- <any> }}|{{ <any> -}}",
    "body": "<text><part><text>|<part><text><part>|<text><part><text><part><text>",
    "part": """<out>|<out>|<out>|<open> set v = <any> <close>|<open> set v, w = <list> <close>|<open> set v <close><body><open> endset <close>
        <open> set v ¦ upper <close><body><open> endset <close>|<open> if <bool> <close><body><open> endif <close>
        <open> if <bool> <close><body><open> elif <bool> <close><body><open> else <close><body><open> endif <close>
        <open> for v in <list> <close><body><open> endfor <close>|<open> for v in <list> if <bool> <close><body><open> else <close><body><open> endfor <close>
        <open> for v, w in <dict>.items() <close><body><open> endfor <close>|<open> for v in <list> <close><body><open> if <bool> <close><jump><open> endif <close><body><open> endfor <close>
        <open> for v in tree recursive <close>{{ v.v }}<text>{{ loop(v.kids) }}<text><open> endfor <close>
        <open> macro m(v, w=<any>) <close><body>{{ caller() if caller else 'none' }}<open> endmacro <close>{{ m(<any>) }}<open> call m(<any>) <close><body><open> endcall <close>
        <open> filter <filter> <close><body><open> endfilter <close>|<open> with v = <any> <close><body><open> endwith <close>|<open> generation <close><body><open> endgeneration <close>
        {% set ns = namespace(v=<any>) %}{% for w in <list> %}<open> set ns.v = <any> <close>{% endfor %}{{ ns.v }}{{ ns.w¦default('u') }}""",
    "jump": "<open> break <close>|<open> continue <close>",
    "filter": "upper|trim|indent(2)|replace('a', 'b')|title|tojson|lower|reverse|e|center(30)",
}

# Alternatives are separated by | or new lines; ¦ is a bar of the template.
ALTERNATIVES = {
    kind: [a for line in ([rules] if kind == "text" else re.split(r"\n {8,}", rules)) for a in line.split("|")]
    for kind, rules in RULES.items()
}
PLAIN = {kind: [a for a in of if not re.search(r"<[a-z]{2}", a)] or of for kind, of in ALTERNATIVES.items()}
PLAIN |= {"body": ["<text>"], "part": ["<out>"], "out": ["{{ <any> }}"], "jump": ["{% break %}"]}
PART = re.compile("<(" + "|".join(RULES) + ")>")


def grow(rng, kind, depth):
    choice = rng.choice((ALTERNATIVES if depth > 0 else PLAIN)[kind])
    return PART.sub(lambda m: grow(rng, m.group(1), depth - 1), choice)


def template(seed):
    rng = random.Random(seed)
    kind = rng.choice(["out", "body"])
    return grow(rng, kind, rng.randrange(2, 6)).replace("¦", "|")
