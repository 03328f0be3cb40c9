/* hearth study bet: the Shakespeare bet, line by line. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/jsonw.h"
#include "base/limits.h"
#include "cli/commands.h"
#include "cli/models.h"
#include "cli/table.h"
#include "study/bet.h"
#include "study/speed.h"

enum { MAX_MATCHES = 32 };

typedef struct wager {
    price_sheet sheet;
    hardware hardware;
    machine machine; /* with what the options say about it */
    char name[300];  /* when it is this one */
    money price;
    const price_row *api; /* NULL: all of them */
    char day[PRICE_DAY_BYTES];
    int64_t tokens;
    double stream_tps, kwh_price;
    int pace; /* -1: every reading */
} wager;

/* ---- what is asked ---- */

/* Several: they are listed, and the command ends with ERR_USAGE. */
static bool several(const char *option, const char *words, size_t n, const char *const *names,
                    err *e) {
    if (n == 1) return true;
    for (size_t i = 0; i < n && i < MAX_MATCHES; i++) note("  %s", names[i]);
    if (n > 0)
        return err_set(e, ERR_USAGE, "%s: \"%s\" can mean any of these %zu: which?", option, words,
                       n);
    return err_set(e, ERR_NOT_FOUND, "%s: nothing in the table has all the words of \"%s\"", option,
                   words);
}

static bool find_machine(wager *w, const char *words, err *e) {
    const machine *found[MAX_MATCHES];
    const char *names[MAX_MATCHES];
    size_t n = hardware_match(&w->hardware, words, found, MAX_MATCHES);
    for (size_t i = 0; i < n && i < MAX_MATCHES; i++) names[i] = found[i]->name;
    if (!several("--hardware", words, n, names, e)) return false;
    w->machine = *found[0];
    return true;
}

static bool find_api(wager *w, const char *words, err *e) {
    const price_row *found[MAX_MATCHES];
    const char *names[MAX_MATCHES];
    size_t n = price_match(&w->sheet, words, w->day, found, MAX_MATCHES);
    for (size_t i = 0; i < n && i < MAX_MATCHES; i++) names[i] = found[i]->id;
    if (!several("--api", words, n, names, e)) return false;
    w->api = found[0];
    return true;
}

/* This machine, by a model that runs on it now. */
static bool measure_machine(wager *w, const char *which, err *e) {
    models_ref r;
    hearth_err he = {0};
    speed s;
    if (!models_find(&r, which, e)) return false;
    hearth_model *m = models_open(&r, 0, 0, false, &he);
    bool ok = m && speed_measure(m, &s, &he);
    if (!ok) err_from_hearth(e, &he);
    hearth_model_close(m);
    if (!ok) return false;
    snprintf(w->name, sizeof w->name, "this machine (%d-token prompts, measured now)", s.prompt);
    w->machine = (machine){.name = w->name,
                           .speed_model = which,
                           .as_of = w->day,
                           .source = "measured",
                           .price = -1,
                           .idle_w = NAN,
                           .load_w = NAN,
                           .prefill_tps = s.prefill_tps,
                           .decode_tps = s.decode_tps};
    return true;
}

static double given(const cli_args *a, const char *option, double otherwise) {
    const cli_value *v = cli_get(a, option);
    return v->set ? v->real : otherwise;
}

static bool read_price(wager *w, const cli_args *a, err *e) {
    const char *price = cli_text(a, "price", NULL);
    int64_t micro = w->machine.price;
    if (price && !money_micro(price, &micro))
        return err_set(e, ERR_USAGE, "--price: \"%s\" is no amount of dollars like 8549", price);
    if (price) w->machine.by_hour = false;
    w->machine.price = micro;
    w->price = micro < 0 ? -1 : (money)micro * MONEY_MICRO;
    if (w->machine.by_hour) w->price *= 365 * 24;
    return true;
}

static bool read_wager(wager *w, const cli_args *a, err *e) {
    static const char *const paces[] = {"one-a-day", "saturated", "own"};
    const char *words = cli_text(a, "hardware", HARDWARE_ESSAY), *api = cli_text(a, "api", NULL);
    const char *pace = cli_text(a, "pace", ""), *day = cli_text(a, "day", NULL);
    w->tokens = cli_int(a, "tokens", BET_TOKENS);
    w->stream_tps = given(a, "stream", BET_STREAM_TPS);
    w->kwh_price = given(a, "kwh-price", 0.17);
    w->pace = -1;
    for (int i = 0; i < 3; i++)
        if (strcmp(pace, paces[i]) == 0) w->pace = i;
    if (day && (!price_is_day(day) || strlen(day) != 10))
        return err_set(e, ERR_USAGE, "--day: \"%s\" is no day like 2026-11-22", day);
    if (day) memcpy(w->day, day, PRICE_DAY_BYTES);
    else price_today(w->day);
    if (!price_sheet_open(&w->sheet, e) || !hardware_open(&w->hardware, e)) return false;
    if (api && !find_api(w, api, e)) return false;
    if (strcmp(words, "this") == 0 ? !measure_machine(w, cli_text(a, "model", "bard"), e)
                                   : !find_machine(w, words, e))
        return false;
    w->machine.prefill_tps = given(a, "prefill", w->machine.prefill_tps);
    w->machine.decode_tps = given(a, "decode", w->machine.decode_tps);
    w->machine.load_w = given(a, "load-watts", w->machine.load_w);
    return read_price(w, a, e);
}

static void ask(const wager *w, const price_row *api, bet *b) {
    bet_ask(b, &(bet_question){.machine = &w->machine,
                               .price = w->price,
                               .sheet = &w->sheet,
                               .api = api,
                               .day = w->day,
                               .tokens = w->tokens,
                               .stream_tps = w->stream_tps});
}

/* Its electricity when it never rests, dollars a year; NAN: its draw is not known. */
static double electricity(const wager *w) {
    return w->machine.load_w * 8.76 * w->kwh_price;
}

/* ---- as text ---- */

static void print_premises(const wager *w) {
    char text[2][MONEY_TEXT];
    const machine *m = &w->machine;
    out_puts("The collected works of Shakespeare go to an API and back, all day, every day, for a "
             "year,\nand the bill is a fraction of the machine's price.\n\n");
    out_printf("machine    %s: ", m->name);
    if (w->price < 0) out_puts("price not known\n");
    else if (m->by_hour)
        out_printf("$%s an hour, $%s a year\n", money_micro_text(m->price, text[0]),
                   money_cents(w->price, text[1]));
    else out_printf("$%s\n", money_cents(w->price, text[0]));
    if (!isnan(m->prefill_tps))
        out_printf("its speed  reads %.2f, writes %.2f tokens a second (%s)\n", m->prefill_tps,
                   m->decode_tps, m->speed_model);
    else if (!isnan(m->decode_tps))
        out_printf("its speed  writes %.2f tokens a second (%s); reading is not sourced\n",
                   m->decode_tps, m->speed_model);
    if (!isnan(m->load_w))
        out_printf("its power  %.1f W at work: %.0f kWh and $%.0f a year at $%.2f/kWh\n", m->load_w,
                   m->load_w * 8.76, electricity(w), w->kwh_price);
    out_printf("the works  %s tokens (vocabularies count 1.35 to 1.73 million)\n",
               money_thousands(w->tokens, text[0]));
    out_printf("prices     %s, in force on %s, SHA-256 %.16s\n", w->sheet.name, w->day,
               w->sheet.sha256);
}

static double millions(int64_t tokens) {
    return round((double)tokens / 1e3) / 1e3;
}

static void print_arithmetic(const wager *w, const bet *b, const bet_reading *r) {
    char text[7][MONEY_TEXT], in[MONEY_TEXT], out[MONEY_TEXT];
    int64_t in_price = (int64_t)(r->in ? r->bill_in / r->in : 0);
    int64_t out_price = (int64_t)(r->out ? r->bill_out / r->out : 0);
    if (r == &b->reading[BET_ONE_A_DAY])
        out_printf("    365 x %s = %s tokens each way\n", money_thousands(w->tokens, text[0]),
                   money_thousands(r->in, text[1]));
    if (r == &b->reading[BET_SATURATED])
        out_printf("    %g tokens/s x 31,536,000 s = %s tokens each way, %.2f trips a day\n",
                   w->stream_tps, money_thousands(r->in, text[0]), r->trips / 365);
    if (r == &b->reading[BET_OWN])
        out_printf("    %s / %.2f + %s / %.2f = %.0f s a trip, %.0f trips, %s tokens each way\n",
                   money_thousands(w->tokens, text[0]), w->machine.prefill_tps, text[0],
                   w->machine.decode_tps, b->trip_seconds, r->trips,
                   money_thousands(r->in, text[1]));
    out_printf("    %.10g M x $%s + %.10g M x $%s = $%s + $%s = $%s\n", millions(r->in),
               money_micro_text(in_price, in), millions(r->out), money_micro_text(out_price, out),
               money_cents(r->bill_in, text[2]), money_cents(r->bill_out, text[3]),
               money_cents(r->bill, text[4]));
    if (w->price > 0)
        out_printf("    $%s / $%s = %.2f times the machine: %s\n", text[4],
                   money_dollars(w->price, text[5]), r->ratio, bet_verdict_text(r->verdict));
}

/* What would turn this verdict around. */
static void print_turn(const bet *b, const bet_reading *r) {
    char price[MONEY_TEXT];
    bet_turn t = bet_turn_of(b, r);
    bool no = r->verdict == BET_FALSE;
    const char *way = no ? "below" : "above";
    out_printf("    %s with any of: ", no ? "TRUE" : "FALSE");
    if (!isnan(t.stream_tps)) out_printf("a stream %s %.3g tokens/s; ", way, t.stream_tps);
    if (!isnan(t.trips_a_day)) out_printf("%s %.2f trips a day; ", way, t.trips_a_day);
    if (!isnan(t.tokens)) out_printf("works %s %.3g M tokens; ", way, t.tokens / 1e6);
    out_printf("prices %s %.3g times these;\n        a machine %s $%s; %s %.3g years of it", way,
               t.factor, no ? "above" : "below", money_dollars(t.machine_price, price), way,
               t.factor);
    if (no) out_puts("\n");
    else out_printf("; %.0f of it side by side\n", floor(t.factor) + 1);
}

static void print_reading(const wager *w, const bet *b, const bet_reading *r) {
    out_printf("\n%s: %s\n", r->name, r->what);
    if (r->bill == 0) {
        out_printf("    not known: %s\n", r->unknown);
        return;
    }
    print_arithmetic(w, b, r);
    if (r->unknown) out_printf("    no verdict: %s\n", r->unknown);
    else print_turn(b, r);
}

static void print_own_power(const wager *w, const bet *b) {
    const bet_reading *r = &b->reading[BET_OWN];
    double own = electricity(w);
    if (r->bill == 0 || isnan(own)) return;
    out_printf("    beside it: the machine's electricity for that year, $%.0f, is %.2f times that "
               "bill\n",
               own, own / money_f64(r->bill));
}

static void print_one(const wager *w) {
    char in[MONEY_TEXT], out[MONEY_TEXT];
    bet b;
    ask(w, w->api, &b);
    out_printf("API        %s: $%s in, $%s out a million tokens (checked %s)\n", w->api->id,
               money_micro_text(w->api->in, in), money_micro_text(w->api->out, out), w->api->as_of);
    for (int i = 0; i < BET_READINGS; i++) {
        if (w->pace >= 0 && i != w->pace) continue;
        print_reading(w, &b, &b.reading[i]);
        if (i == BET_OWN) print_own_power(w, &b);
    }
    out_puts("\nverdict: ");
    const bet_reading *r = w->pace >= 0 ? &b.reading[w->pace] : NULL;
    if (r) out_printf("%s\n", bet_verdict_text(r->verdict));
    else if (b.verdict != BET_UNKNOWN)
        out_printf("%s at every pace\n", bet_verdict_text(b.verdict));
    else if (w->price <= 0) out_puts("not known without the machine's price\n");
    else
        out_printf("the pace decides: %s at one-a-day, %s saturated, %s at the machine's own\n",
                   bet_verdict_text(b.reading[BET_ONE_A_DAY].verdict),
                   bet_verdict_text(b.reading[BET_SATURATED].verdict),
                   bet_verdict_text(b.reading[BET_OWN].verdict));
    out_puts("         An API takes any number of streams at once: with enough of them it is FALSE "
             "for any model.\n");
}

static void reading_cells(table *t, const bet_reading *r) {
    char text[MONEY_TEXT];
    if (r->bill == 0) {
        table_cell(t, "-");
        table_cell(t, "-");
        return;
    }
    table_cell(t, "%s", money_dollars(r->bill, text));
    if (r->unknown) table_cell(t, "-");
    else table_cell(t, "%.2f", r->ratio);
}

static void add_row(const wager *w, table *t, const price_row *api, int count[4]) {
    bet b;
    ask(w, api, &b);
    table_cell(t, "%s", api->id);
    for (int i = 0; i <= BET_OWN; i++)
        if (w->pace < 0 || w->pace == i) reading_cells(t, &b.reading[i]);
    bet_verdict v = w->pace >= 0 ? b.reading[w->pace].verdict : b.verdict;
    if (w->pace < 0) {
        bet_turn turn = bet_turn_of(&b, &b.reading[BET_ONE_A_DAY]);
        if (w->price > 0) table_cell(t, "%.2f", turn.trips_a_day);
        else table_cell(t, "-");
    }
    table_cell(t, "%s",
               v == BET_UNKNOWN && w->price > 0 && w->pace < 0 ? "the pace decides"
                                                               : bet_verdict_text(v));
    count[v]++;
}

/* In force, or another source's word on what is. */
static bool in_table(const wager *w, const price_row *r) {
    if (price_in_force(r, w->day)) return true;
    char id[300];
    snprintf(id, sizeof id, "%s/%s", r->provider, r->model);
    const price_row *usual = price_find(&w->sheet, id, w->day);
    return strcmp(r->tier, "other-source") == 0 && usual &&
           (usual->in != r->in || usual->out != r->out);
}

static void print_all(const wager *w) {
    static const char *const columns[] = {"|>A $ a year|>x", "|>B $ a year|>x", "|>C $ a year|>x"};
    char heading[300] = "API";
    int count[4] = {0};
    for (int i = 0; i <= BET_OWN; i++)
        if (w->pace < 0 || w->pace == i)
            snprintf(heading + strlen(heading), sizeof heading - strlen(heading), "%s", columns[i]);
    snprintf(heading + strlen(heading), sizeof heading - strlen(heading), "%s|verdict",
             w->pace < 0 ? "|>even at" : "");
    table *t = table_new(heading);
    for (size_t i = 0; i < w->sheet.n; i++)
        if (in_table(w, &w->sheet.row[i])) add_row(w, t, &w->sheet.row[i], count);
    out_puts(
        "\nA one round trip a day; B one stream that never rests; C the machine's own pace; x the "
        "machine's price;\neven at: round trips a day whose bill is that price\n\n");
    table_print(t);
    table_free(t);
    if (w->price <= 0) {
        out_puts("\nverdict: not known without the machine's price (--price)\n");
        return;
    }
    out_printf("\nverdict: which API the machine is to replace decides: FALSE for %d of these "
               "models, TRUE for %d",
               count[BET_FALSE], count[BET_TRUE] + count[BET_BARELY]);
    if (count[BET_UNKNOWN]) out_printf("; for %d the pace decides", count[BET_UNKNOWN]);
    out_puts(
        ".\n         --api MODEL has the arithmetic and what would turn it. An API takes any "
        "number of streams at\n         once: with enough of them it is FALSE for any model.\n");
}

/* ---- as JSON ---- */

static void json_money(jsonw *j, const char *key, money m, bool known) {
    char text[MONEY_TEXT];
    jsonw_key(j, key);
    if (known) jsonw_raw(j, str_of(money_exact(m, text)));
    else jsonw_null(j);
}

static void json_f64(jsonw *j, const char *key, double v) {
    jsonw_key(j, key), jsonw_f64(j, v);
}

static void json_text(jsonw *j, const char *key, const char *v) {
    jsonw_key(j, key);
    if (v) jsonw_str(j, str_of(v));
    else jsonw_null(j);
}

static void json_reading(jsonw *j, const bet *b, const bet_reading *r) {
    bool known = r->bill != 0, judged = known && !r->unknown;
    bet_turn t = bet_turn_of(b, r);
    jsonw_object(j);
    json_text(j, "pace", r->name);
    json_text(j, "reading", r->what);
    json_f64(j, "trips", known ? r->trips : NAN);
    jsonw_key(j, "tokens_in"), jsonw_int(j, r->in);
    jsonw_key(j, "tokens_out"), jsonw_int(j, r->out);
    json_money(j, "bill_in", r->bill_in, known);
    json_money(j, "bill_out", r->bill_out, known);
    json_money(j, "bill", r->bill, known);
    json_f64(j, "times_machine", judged ? r->ratio : NAN);
    json_text(j, "verdict", judged ? bet_verdict_text(r->verdict) : NULL);
    json_text(j, "unknown", r->unknown);
    jsonw_key(j, "turns_at");
    if (judged) {
        jsonw_object(j);
        json_f64(j, "trips_a_day", t.trips_a_day);
        json_f64(j, "tokens_of_the_works", t.tokens);
        json_f64(j, "stream_tokens_per_s", t.stream_tps);
        json_f64(j, "times_these_prices", t.factor);
        json_f64(j, "years", t.factor);
        json_money(j, "machine_price", t.machine_price, true);
        jsonw_end(j);
    } else {
        jsonw_null(j);
    }
    jsonw_end(j);
}

static void json_api(jsonw *j, const wager *w, const price_row *api) {
    bet b;
    ask(w, api, &b);
    jsonw_object(j);
    json_text(j, "api", api->id);
    json_text(j, "as_of", api->as_of);
    jsonw_key(j, "readings");
    jsonw_array(j);
    for (int i = 0; i < BET_READINGS; i++)
        if (w->pace < 0 || w->pace == i) json_reading(j, &b, &b.reading[i]);
    jsonw_end(j);
    bet_verdict v = w->pace >= 0 ? b.reading[w->pace].verdict : b.verdict;
    bool decides = v == BET_UNKNOWN && w->pace < 0 && w->price > 0;
    json_text(j, "verdict",
              decides            ? "the pace decides"
              : v == BET_UNKNOWN ? NULL
                                 : bet_verdict_text(v));
    jsonw_end(j);
}

static void print_json(const wager *w) {
    buf out;
    buf_init(&out, LIMIT_JSON_BYTES);
    jsonw j;
    jsonw_init(&j, &out);
    jsonw_object(&j);
    json_text(&j, "machine", w->machine.name);
    json_money(&j, "price", w->price, w->price >= 0);
    json_f64(&j, "prefill_tokens_per_s", w->machine.prefill_tps);
    json_f64(&j, "decode_tokens_per_s", w->machine.decode_tps);
    json_f64(&j, "electricity_a_year", electricity(w));
    json_f64(&j, "kwh_price", w->kwh_price);
    jsonw_key(&j, "tokens"), jsonw_int(&j, w->tokens);
    json_text(&j, "day", w->day);
    json_text(&j, "sheet", w->sheet.name);
    json_text(&j, "sheet_sha256", w->sheet.sha256);
    jsonw_key(&j, "apis");
    jsonw_array(&j);
    for (size_t i = 0; i < w->sheet.n; i++)
        if (w->api ? &w->sheet.row[i] == w->api : in_table(w, &w->sheet.row[i]))
            json_api(&j, w, &w->sheet.row[i]);
    jsonw_end(&j);
    jsonw_end(&j);
    out_json(&out);
}

static int run(const cli_args *a) {
    err e = {0};
    wager w = {0};
    int code = ERR_NONE;
    if (!read_wager(&w, a, &e)) {
        code = cli_fail(&e);
    } else if (cli_flag(a, "json")) {
        print_json(&w);
    } else {
        print_premises(&w);
        if (w.api) print_one(&w);
        else print_all(&w);
    }
    hardware_close(&w.hardware);
    price_sheet_close(&w.sheet);
    return code;
}

static const cli_option options[] = {
    {"hardware", 0, CLI_TEXT, "WORDS",
     "a machine of the table, by words of its name, or: this; default the essay's", 0, 0},
    {"api", 0, CLI_TEXT, "WORDS", "a model of the price sheet, by words of its name; default all",
     0, 0},
    {"pace", 0, CLI_CHOICE, "one-a-day|saturated|own", "only this pace; default every reading", 0,
     0},
    {"tokens", 0, CLI_INT, "N", "tokens of the works; default 1500000", 1, 1e12},
    {"price", 0, CLI_TEXT, "DOLLARS", "the machine's price instead of the table's", 0, 0},
    {"prefill", 0, CLI_REAL, "N", "tokens a second that the machine reads", 1e-6, 1e12},
    {"decode", 0, CLI_REAL, "N", "tokens a second that the machine writes", 1e-6, 1e12},
    {"load-watts", 0, CLI_REAL, "W", "what the machine draws at work", 0, 1e9},
    {"kwh-price", 0, CLI_REAL, "DOLLARS", "price of electricity; default 0.17", 0, 1000},
    {"stream", 0, CLI_REAL, "N", "tokens a second of one stream of the API; default 50", 1e-6, 1e9},
    {"model", 'm', CLI_FILE, "MODEL", "with --hardware this: the model to measure; default bard", 0,
     0},
    {"day", 0, CLI_TEXT, "DAY", "prices in force on that day; default today", 0, 0},
    {"json", 0, CLI_FLAG, NULL, "print one JSON object", 0, 0},
    {0},
};

const cli_command cmd_study_bet = {
    .name = "study bet",
    .summary = "the Shakespeare bet, line by line",
    .args = "",
    .about =
        "Somebody bets: send the collected works of Shakespeare to an API and back, all day, every "
        "day, for a year, and the bill is a fraction of a machine's price. This prints the "
        "arithmetic for each way to read it: one round trip a day, one stream that never rests, as "
        "many trips as the machine itself can do; and the variants with the batch price, short "
        "answers and the API's cache.\n\nTRUE is a bill below two thirds of the price, barely TRUE "
        "one below the price, FALSE any other. Each verdict comes with what would turn it around.",
    .examples = "  hearth study bet\n  hearth study bet --api claude-opus-5\n"
                "  hearth study bet --hardware \"DGX Spark\" --prefill 2000 --api luna --pace own\n"
                "  hearth study bet --hardware this --price 1200 --model model.gguf",
    .options = options,
    .run = run,
};
