"""The judgement of jsonschema on documents: judge_schemas.py SCHEMAS.jsonl DOCUMENTS.jsonl, as for schemas.mjs beside it.
Prints {"checked": n, "wrong": [...]}; a document in which a key comes twice is wrong as well."""
import json
import sys

import jsonschema


def once_each(pairs):
    if len({key for key, _ in pairs}) != len(pairs):
        raise ValueError(f"a key comes twice: {[key for key, _ in pairs]}")
    return dict(pairs)


def lines(path):
    with open(path, encoding="utf-8") as f:
        return [json.loads(line) for line in f]


schemas = [row["schema"] for row in lines(sys.argv[1])]
judges, checked, wrong = {}, 0, []
for row in lines(sys.argv[2]):
    if "text" not in row:
        continue
    line = row["line"]
    if line not in judges:
        kind = jsonschema.validators.validator_for(schemas[line - 1], jsonschema.Draft202012Validator)
        judges[line] = kind(schemas[line - 1])
    try:
        judges[line].validate(json.loads(row["text"], object_pairs_hook=once_each))
    except (ValueError, jsonschema.ValidationError) as e:
        wrong.append({"line": line, "text": row["text"], "why": str(e)})
    checked += 1
print(json.dumps({"checked": checked, "wrong": wrong}))
