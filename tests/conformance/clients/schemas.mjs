// Judges documents by their schemas with ajv: node schemas.mjs SCHEMAS.jsonl DOCUMENTS.jsonl, lines of {"schema": ...}
// and of {"line": n, "text": "..."}. Prints {"checked": n, "wrong": [...], "not_compiled": {line: message},
// "siblings": [lines in which what stands beside a $ref was left out, as drafts before 2019 say and ajv does not]}.
import {readFileSync} from "node:fs";
import Ajv from "ajv";
import Ajv2019 from "ajv/dist/2019.js";
import Ajv2020 from "ajv/dist/2020.js";
import Draft4 from "ajv-draft-04";
import formats from "ajv-formats";

const lines = path => readFileSync(path, "utf8").trim().split("\n").map(line => JSON.parse(line));
const schemas = lines(process.argv[2]).map(row => row.schema);
const out = {checked: 0, wrong: [], not_compiled: {}, siblings: []};
const judges = {};

function alone(schema, line) {
    if (Array.isArray(schema)) return schema.map(x => alone(x, line));
    if (schema === null || typeof schema !== "object") return schema;
    const keep = typeof schema.$ref === "string" ? ["$ref", "definitions", "$defs"] : Object.keys(schema);
    if (Object.keys(schema).some(key => !keep.includes(key))) out.siblings.push(line);
    return Object.fromEntries(keep.filter(key => key in schema).map(key => [key, alone(schema[key], line)]));
}

function judge(schema, line) {
    const draft = schema.$schema ?? "";
    const old = /draft-0[3-7]/.test(draft);
    const Kind = /draft-0[34]/.test(draft) ? Draft4 : old ? Ajv : draft.includes("2019-09") ? Ajv2019 : Ajv2020;
    const ajv = new (Kind.default ?? Kind)({strict: false, logger: false});
    (formats.default ?? formats)(ajv);
    const own = old ? alone(schema, line) : {...schema};
    if (draft.includes("draft-06")) delete own.$schema; // by the rules of draft 7
    return ajv.compile(own);
}

for (const row of lines(process.argv[3])) {
    if (!("text" in row)) continue;
    if (!(row.line in judges)) {
        judges[row.line] = null;
        try {
            judges[row.line] = judge(schemas[row.line - 1], row.line);
        } catch (e) {
            out.not_compiled[row.line] = e.message;
        }
    }
    if (!judges[row.line]) continue;
    out.checked++;
    if (!judges[row.line](JSON.parse(row.text)))
        out.wrong.push({line: row.line, text: row.text, why: judges[row.line].errors});
}
console.log(JSON.stringify(out));
