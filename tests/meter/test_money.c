/* Whole numbers of money: parsing, exact products, rounding, texts; and CSV. */
#include "base/csv.h"
#include "meter/hardware.h"
#include "meter/money.h"
#include "meter/prices.h"
#include "support/cmocka_all.h"

static void test_parsing(void **state) {
    (void)state;
    const struct {
        const char *text;
        int64_t micro;
    } good[] = {{"0", 0},          {"5", 5000000},
                {"0.0028", 2800},  {"0.003625", 3625},
                {"15.", 15000000}, {".5", 500000},
                {"007", 7000000},  {"8549", 8549000000},
                {"0.000001", 1},   {"99999999999", 99999999999000000}};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        int64_t micro = -1;
        assert_true(money_micro(good[i].text, &micro));
        assert_int_equal(micro, good[i].micro);
    }
    const char *bad[] = {"",
                         ".",
                         "-1",
                         "+1",
                         "1e3",
                         " 1",
                         "1 ",
                         "1,000",
                         "0.0000001",
                         "1.2.3",
                         "free",
                         "0x1",
                         "inf",
                         "9999999999999999999999",
                         "1000000000000000"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        int64_t micro;
        assert_false(money_micro(bad[i], &micro));
    }
}

static void test_texts(void **state) {
    (void)state;
    char t[MONEY_TEXT];
    assert_string_equal(money_cents(money_tokens(547500000, 30000000), t), "16,425.00");
    assert_string_equal(money_cents(MONEY_ONE / 200, t), "0.00"); /* half a cent: to the even one */
    assert_string_equal(money_cents(MONEY_ONE / 200 * 3, t), "0.02");
    assert_string_equal(money_cents(MONEY_ONE / 200 + 1, t), "0.01");
    assert_string_equal(money_cents(-MONEY_ONE / 200 - 1, t), "-0.01");
    assert_string_equal(money_cents(MONEY_ONE * 1234567, t), "1,234,567.00");
    assert_string_equal(money_dollars(MONEY_ONE * 38325 / 2, t), "19,162");
    assert_string_equal(money_exact(MONEY_ONE * 5, t), "5");
    assert_string_equal(money_exact(1, t), "0.000000000001");
    assert_string_equal(money_exact(-MONEY_ONE / 4, t), "-0.25");
    assert_string_equal(money_exact(0, t), "0");
    assert_string_equal(money_micro_text(2800, t), "0.0028");
    assert_string_equal(money_thousands(-1234567, t), "-1,234,567");
    assert_string_equal(money_thousands(999, t), "999");
    assert_string_equal(money_short(MONEY_ONE / 3, t), "0.333");
}

static void test_arithmetic(void **state) {
    (void)state;
    assert_int_equal((int64_t)money_energy(3600000000, 170000), (int64_t)(MONEY_ONE * 17 / 100));
    assert_int_equal((int64_t)money_energy(1, 170000), 47); /* 47.2 */
    assert_int_equal((int64_t)money_ratio(7, 1, 2), 4);     /* 3.5: to the even one */
    assert_int_equal((int64_t)money_ratio(5, 1, 2), 2);
    assert_int_equal((int64_t)money_ratio(-5, 1, 2), -2);
    money year = money_tokens(INT64_C(1) << 40, INT64_C(1) << 40); /* far beyond 64 bits */
    assert_true(year / ((money)1 << 40) == (money)1 << 40);
}

static void test_csv(void **state) {
    (void)state;
    csv c;
    err e = {0};
    str text = STR("\xEF\xBB\xBF"
                   "a, b,c\r\n1,\"x, \"\"y\"\"\nz\",\r\n\n4,5,\" 6\"\n");
    assert_true(csv_read(&c, text, "t", &e));
    assert_int_equal(c.n_columns, 3);
    assert_int_equal(c.n_rows, 2);
    assert_int_equal(csv_column(&c, "b"), 1);
    assert_int_equal(csv_column(&c, "d"), -1);
    assert_string_equal(csv_cell(&c, 0, 1), "x, \"y\"\nz");
    assert_string_equal(csv_cell(&c, 0, 2), "");
    assert_string_equal(csv_cell(&c, 1, 2), "6");
    assert_string_equal(csv_cell(&c, 1, -1), "");
    assert_int_equal(c.line[1], 5);
    buf b;
    buf_init(&b, 1000);
    for (int i = 0; i < 3; i++) csv_write(&b, csv_cell(&c, 0, i), i == 2);
    assert_string_equal(b.data, "1,\"x, \"\"y\"\"\nz\",\n");
    buf_deinit(&b);
    csv_deinit(&c);
}

static void test_tiers(void **state) {
    (void)state;
    price_sheet s;
    err e = {0};
    str text = STR(
        "provider,model,tier,above_tokens,input_usd_per_mtok,cached_input_usd_per_mtok,"
        "output_usd_per_mtok,cache_write_factor,batch_factor,valid_from,valid_until,as_of,"
        "weights,source\n"
        "a,m,intro,,1,0.1,2,1.25,0.5,,2026-12-31,2026-01-01,,s\n"
        "a,m,standard,,2,0.2,4,1.25,0.5,2027-01-01,,2026-01-01,,s\n"
        "a,m,long,1000,10,1,20,1.25,0.5,,,2026-01-01,,s\n"
        "b,llama-3.1-8b,,,3,,6,,,,,2026,open,s\n");
    assert_true(price_sheet_read(&s, text, "t", &e));
    const price_row *r = price_find(&s, "a/m", "2026-12-31");
    assert_string_equal(r->id, "a/m@intro");
    assert_string_equal(price_find(&s, "a/m", "2027-01-01")->id, "a/m");
    assert_null(price_find(&s, "a/n", "2027-01-01"));
    /* 500 fresh, 300 cached, 200 written, 10 out */
    price_usage u = {.in = 1000, .cached = 300, .written = 200, .out = 10};
    assert_int_equal((int64_t)price_bill(&s, r, &u, "2026-12-31"),
                     500000000 + 30000000 + 250000000 + 20000000);
    u.batch = true;
    assert_int_equal((int64_t)price_bill(&s, r, &u, "2026-12-31"), 400000000);
    u = (price_usage){.in = 1001, .out = 1};
    assert_int_equal((int64_t)price_bill(&s, r, &u, "2026-12-31"), 1001 * 10000000LL + 20000000);
    r = price_find(&s, "b/llama-3.1-8b", "2026-12-31");
    u = (price_usage){.in = 100, .cached = 50, .out = 1, .batch = true};
    assert_int_equal((int64_t)price_bill(&s, r, &u, "2026-12-31"),
                     306000000); /* no discount known */
    assert_ptr_equal(price_same_weights(&s, "Llama-3.1-8B-Instruct-Q4_K_M", "2026-12-31"), r);
    assert_null(price_same_weights(&s, "llama-3.2-8b", "2026-12-31"));
    assert_null(price_same_weights(&s, "llama-3.1-80b", "2026-12-31"));
    assert_int_equal(price_days_between("2026", "2026-03-01"), 59);
    assert_int_equal(price_days_between("2024-02-28", "2024-03-01"), 2);
    price_sheet_close(&s);
}

/* The reference's worked break-evens: 8549 dollars, 3 years, 40 % back, 250 and 9 W, 0.17 a kWh. */
static void test_owning(void **state) {
    (void)state;
    owning o = {
        .price = 8549, .years = 3, .resale = 0.4, .kwh_price = 0.17, .idle_w = 9, .load_w = 250};
    owning_year y = owning_ask(&o, 23774.56);
    assert_int_equal((int)(y.fixed + 0.5), 1723);
    assert_int_equal((int)(y.variable + 0.5), 359);
    assert_int_equal((int)(y.break_even * 1000 + 0.5), 74);
    assert_true(owning_ask(&o, 332.84).break_even > 1e300);
    assert_int_equal((int)(owning_ask(&o, 1109.48).break_even * 1000 + 0.5), 2296);
    assert_int_equal((int)(owning_ask(&o, 3566.18).break_even * 1000 + 0.5), 537);
    assert_int_equal((int)(owning_cost(&o, 1) / 792.485 * 100 + 0.5), 263);
    assert_int_equal((int)(owning_cost(&o, 0.1) / 79.2485 * 100 + 0.5), 2220);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parsing),    cmocka_unit_test(test_texts),
        cmocka_unit_test(test_arithmetic), cmocka_unit_test(test_csv),
        cmocka_unit_test(test_tiers),      cmocka_unit_test(test_owning),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
