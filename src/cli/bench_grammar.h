/* hearth bench --grammar: what structured answers cost, over a file of schemas.
 *
 * A line of the file is {"schema": ..., "tests": [{"data": ..., "valid": true}, ...]}. Each schema
 * is compiled, and each instance, written compactly and with ordinary spaces, followed token by
 * token under the model's vocabulary; so it also counts wrong verdicts. The weights are not
 * needed.
 */
#ifndef HEARTH_CLI_BENCH_GRAMMAR_H
#define HEARTH_CLI_BENCH_GRAMMAR_H

#include "cli/cli.h"
#include "cli/models.h"
#include "cli/obey.h"

typedef struct bench_grammar {
    int schemas, refused, wrong_schemas;
    int instances, wrong;
    obey_times compile, mask;
} bench_grammar;

bool bench_grammar_run(const models_ref *r, const char *path, bench_grammar *out, err *e);
/* As text, or as a JSON object. */
void bench_grammar_print(bench_grammar *b, const char *name, bool json);
void bench_grammar_deinit(bench_grammar *b);

#endif
